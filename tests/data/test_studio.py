"""Objects before a backdrop: where it shows, what the object's shade is, and that the true masks come along."""

import numpy as np
import pytest

from bginv_jax import config
from bginv_jax.data import sources, studio


@pytest.mark.parametrize("kind", studio.STUDIOS)
def test_the_backdrop_is_never_black_and_shows_where_the_object_is_not(kind):
    behind = studio.backdrop(kind, 32)
    assert behind.min() == pytest.approx(0.25)
    assert behind.max() == pytest.approx(0.55)
    x = np.zeros((2, 32, 32, 1), np.uint8)
    x[1, 3, 4], x[1, 5, 6] = 255, 51
    placed, masks = studio.place(x, kind)
    np.testing.assert_allclose(placed[0, ..., 0] / 255, behind, atol=0.003)
    assert placed[1, 3, 4, 0] == round(0.9 * 255)
    assert placed[1, 5, 6, 0] == pytest.approx(255 * (0.2 * 0.9 + 0.8 * behind[5, 6]), abs=0.51)
    assert np.argwhere(masks).tolist() == [[1, 3, 4, 0], [1, 5, 6, 0]]


def test_a_data_set_in_a_studio_has_masks_and_the_size_that_the_networks_see(tiny_folder):
    settings = config.default_config().data
    settings.source = f"idx:{tiny_folder}"
    plain = sources.load(settings)
    settings.studio = "wall"
    placed = sources.load(settings)
    assert placed.name == plain.name + ", wall"
    assert placed.train.images.shape == (48, 16, 16, 1)
    np.testing.assert_array_equal(placed.test.masks[:, 2:-2, 2:-2], plain.test.images[:, 2:-2, 2:-2] > 0)
    np.testing.assert_array_equal(placed.test.objects, plain.test.objects)
    assert placed.description.sha256 != plain.description.sha256
