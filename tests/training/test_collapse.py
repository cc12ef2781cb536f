"""When a mask counts as collapsed."""

import pytest

from bginv_jax.training import collapse


@pytest.mark.parametrize(
    ("area", "contrast", "words"),
    [
        (0.001, 0.01, "0 almost everywhere"),
        (0.0001, 0.4, "0 almost everywhere"),
        (0.99, 0.02, "1 almost everywhere"),
        (0.5, 0.01, "the same everywhere"),
    ],
)
def test_a_collapsed_mask_is_noticed(area, contrast, words):
    assert words in collapse.describe({"mask_area": area, "mask_contrast": contrast})


def test_a_mask_that_has_just_begun_to_learn_is_no_collapse():
    metrics = {"mask_area": 0.5, "mask_contrast": 0.01}
    assert collapse.describe(metrics, trained=False) is None
    assert "the same everywhere" in collapse.describe(metrics)


@pytest.mark.parametrize("metrics", [{"mask_area": 0.15, "mask_contrast": 0.98}, {"loss": 1.0}])
def test_a_sound_mask_or_none_is_no_collapse(metrics):
    assert collapse.describe(metrics) is None
