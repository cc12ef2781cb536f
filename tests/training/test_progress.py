"""What a run writes of itself."""

import errno
import json
import os

import jax.numpy as jnp
import numpy as np
from PIL import Image
from tensorboardX.record_writer import RecordWriter

from bginv_jax.methods.schedule import Phase
from bginv_jax.training import background_strips
from bginv_jax.training.progress import Progress


def _lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


PHASE = Phase(("f",), 0, 8)
MASK_PHASE = Phase(("f_m",), 8, 10)


def _progress(folder, *, step=0, log_every=5):
    return Progress(folder, step=step, steps=10, images_per_step=4, log_every=log_every)


def test_interval_means_go_to_the_log_the_lines_and_the_events(tmp_path, caplog):
    caplog.set_level("INFO", "bginv_jax")
    with _progress(tmp_path) as progress:
        for step in range(1, 9):
            progress.record(step, PHASE, {"loss": jnp.float32(step), "accuracy": jnp.float32(0.25)}, 1)
        for step in (9, 10):
            progress.record(step, MASK_PHASE, {"mask_area": jnp.float32(0), "mask_contrast": jnp.float32(0)}, 1)
    first, second, third = _lines(tmp_path)
    assert (first["step"], first["phase"], first["loss"], first["accuracy"]) == (5, "f", 3.0, 0.25)
    assert first["images_per_second"] > 0
    assert (second["step"], second["loss"]) == (8, 7.0)  # the end of the phase
    assert (third["step"], third["phase"], third["mask_area"]) == (10, "f_m", 0)
    assert "step 5/10  phase f  loss 3.000  accuracy 0.250" in caplog.text
    assert "step 10: mask collapsed: the mask is 0 almost everywhere (mean 0.0000)" in caplog.text
    events = list((tmp_path / "tensorboard").iterdir())
    assert len(events) == 1
    assert b"mask_area" in events[0].read_bytes()


def _no_room(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_said_once_and_the_run_goes_on(tmp_path, monkeypatch, caplog):
    """The lines, the events and the backgrounds cannot be written, then can again."""
    with _progress(tmp_path) as progress:
        with monkeypatch.context() as full:
            full.setattr("bginv_jax.files.open", _no_room, raising=False)
            full.setattr(RecordWriter, "write", _no_room)
            full.setattr(Image.Image, "save", _no_room)
            for step in range(1, 6):
                progress.record(step, PHASE, {"loss": jnp.float32(1)}, 1)
            with progress.tolerating():
                background_strips.write(tmp_path, 5, np.zeros((8, 4, 4, 1), np.float32))
        for step in range(6, 9):
            progress.record(step, PHASE, {"loss": jnp.float32(2)}, 1)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"{tmp_path / 'metrics.jsonl'}: No space left on device; training goes on, and what cannot be written of its "
        "log is left out from here on"
    ]
    assert [line["step"] for line in _lines(tmp_path)] == [8]
    assert b"loss" in b"".join(path.read_bytes() for path in (tmp_path / "tensorboard").iterdir())
    assert not list((tmp_path / "backgrounds").glob("*"))


def test_a_resumed_run_leaves_each_step_once(tmp_path):
    with _progress(tmp_path, log_every=2) as progress:
        for step in range(1, 7):
            progress.record(step, PHASE, {"loss": jnp.float32(1)}, 1)
    with (tmp_path / "metrics.jsonl").open("a") as lines:
        lines.write('{"step": 8, "pha')  # the process was killed while it wrote
    with _progress(tmp_path, step=4, log_every=2) as progress:
        for step in (5, 6):
            progress.record(step, PHASE, {"loss": jnp.float32(2)}, 1)
    assert [(line["step"], line["loss"]) for line in _lines(tmp_path)] == [(2, 1.0), (4, 1.0), (6, 2.0)]


def test_what_was_not_reported_is_continued(tmp_path):
    with _progress(tmp_path) as progress:
        for step in (1, 2, 3):
            progress.record(step, PHASE, {"loss": jnp.float32([step, 2 * step])}, 1)
        unreported = json.loads(json.dumps(progress.unreported()))
        assert unreported == {"steps": 3, "means": {"loss": [2.0, 4.0]}}
    options = {"step": 3, "steps": 10, "images_per_step": 4, "log_every": 5}
    with Progress(tmp_path, **options, unreported=unreported) as progress:
        progress.record(5, PHASE, {"loss": jnp.float32([4.5, 9])}, 2)
        assert progress.unreported() is None
    assert [(line["step"], line["loss"]) for line in _lines(tmp_path)] == [(5, [3.0, 6.0])]


def test_stray_lines_do_not_take_the_valid_ones_with_them(tmp_path, caplog):
    lines = [b'{"step": 2, "loss": NaN}', b'{"note": "by hand"}', b"[3]", b"\xff", b'{"step": 4, "loss": 1.0}', b'{"st']
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join(lines))
    with _progress(tmp_path, step=4, log_every=2) as progress:
        for step in (5, 6):
            progress.record(step, PHASE, {"loss": jnp.float32(jnp.nan)}, 1)
    assert [(line["step"], line["loss"]) for line in _lines(tmp_path)] == [(2, None), (4, 1.0), (6, None)]
    assert "metrics.jsonl: no record of step, passed over: line 2, 3, 4, 6" in caplog.text
