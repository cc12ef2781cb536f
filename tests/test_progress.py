"""What a run writes of itself, and when a mask counts as collapsed."""

import json

import pytest

from bginv_jax.progress import Progress, mask_collapse


@pytest.mark.parametrize(("area", "contrast", "words"), [
    (0.001, 0.01, "0 almost everywhere"), (0.0001, 0.4, "0 almost everywhere"), (0.99, 0.02, "1 almost everywhere"),
    (0.5, 0.01, "the same everywhere"),
])  # fmt: skip
def test_a_collapsed_mask_is_noticed(area, contrast, words):
    assert words in mask_collapse({"mask_area": area, "mask_contrast": contrast})


@pytest.mark.parametrize("metrics", [{"mask_area": 0.15, "mask_contrast": 0.98}, {"loss": 1.0}])
def test_a_sound_mask_or_none_is_no_collapse(metrics):
    assert mask_collapse(metrics) is None


def _lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_metrics_go_to_the_log_the_lines_and_the_events(tmp_path, caplog):
    caplog.set_level("INFO", "bginv_jax")
    with Progress(tmp_path, step=0, steps=10, batch_size=4) as progress:
        progress.advance("f")
        progress.report(5, "f", {"loss": 0.5, "score": 0.25})
        progress.report(10, "f_m", {"mask_loss": 0.1, "mask_area": 0.0, "mask_contrast": 0.0})
    first, second = _lines(tmp_path)
    assert (first["step"], first["phase"], first["loss"], first["score"]) == (5, "f", 0.5, 0.25)
    assert first["images_per_second"] > 0
    assert second["mask_area"] == 0
    assert "step 5/10  phase f  loss 0.500  score 0.250" in caplog.text
    assert "step 10: mask collapsed: the mask is 0 almost everywhere (mean 0.0000)" in caplog.text
    events = list((tmp_path / "tensorboard").iterdir())
    assert len(events) == 1
    assert b"mask_area" in events[0].read_bytes()


def test_a_resumed_run_leaves_each_step_once(tmp_path):
    with Progress(tmp_path, step=0, steps=10, batch_size=4) as progress:
        for step in (2, 4, 6):
            progress.report(step, "f", {"loss": 1.0})
    with (tmp_path / "metrics.jsonl").open("a") as lines:
        lines.write('{"step": 8, "pha')  # the process was killed while it wrote
    with Progress(tmp_path, step=4, steps=10, batch_size=4) as progress:
        progress.report(6, "f", {"loss": 2.0})
    assert [(line["step"], line["loss"]) for line in _lines(tmp_path)] == [(2, 1.0), (4, 1.0), (6, 2.0)]
