"""What a run writes of itself, and when a mask counts as collapsed."""

import errno
import json
import os

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from tensorboardX.record_writer import RecordWriter

from bginv_jax.methods.schedule import Phase
from bginv_jax.training.progress import Progress, mask_collapse, read_backgrounds, write_backgrounds


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
    assert words in mask_collapse({"mask_area": area, "mask_contrast": contrast})


def test_a_mask_that_has_just_begun_to_learn_is_no_collapse():
    metrics = {"mask_area": 0.5, "mask_contrast": 0.01}
    assert mask_collapse(metrics, trained=False) is None
    assert "the same everywhere" in mask_collapse(metrics)


@pytest.mark.parametrize("metrics", [{"mask_area": 0.15, "mask_contrast": 0.98}, {"loss": 1.0}])
def test_a_sound_mask_or_none_is_no_collapse(metrics):
    assert mask_collapse(metrics) is None


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
                write_backgrounds(tmp_path, 5, np.zeros((8, 4, 4, 1), np.float32))
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


@pytest.mark.parametrize("channels", [1, 3])
def test_backgrounds_are_read_as_they_were_written(tmp_path, channels):
    random = np.random.RandomState(0)
    written = {step: random.randint(0, 256, (8, 16, 16, channels), np.uint8) for step in (6, 40, 123456789)}
    for step, backgrounds in written.items():
        write_backgrounds(tmp_path, step, backgrounds / np.float32(255))
    read = read_backgrounds(tmp_path)
    assert read.keys() == written.keys()
    for step, backgrounds in written.items():
        np.testing.assert_array_equal(read[step], backgrounds[..., 0] if channels == 1 else backgrounds)
        assert read[step].dtype == np.uint8


def test_a_workdir_without_backgrounds_has_none(tmp_path):
    assert read_backgrounds(tmp_path) == {}


def test_what_is_no_strip_is_passed_over_with_a_warning(tmp_path, caplog):
    for step in (6, 8):
        write_backgrounds(tmp_path, step, np.full((8, 16, 16, 1), step / 255, np.float32))
    folder = tmp_path / "backgrounds"
    strip = (folder / "00000006.png").read_bytes()
    for name in (
        "00000006 (1).png",
        "copy.png",
        "6.png",
        "-0000007.png",
        "\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0667.png",
        "00000007.PNG",
        "notes.txt",
    ):
        (folder / name).write_bytes(strip)
    (folder / "._00000006.png").write_bytes(b"\0\5\x16\7 of a Mac")
    (folder / "00000010.png").write_bytes(strip[: len(strip) // 2])
    (folder / "00000011.png").touch()
    (folder / "00000012.png").mkdir()
    Image.new("L", (32, 32)).save(folder / "00000013.png")  # no eight squares
    Image.new("L", (8 * 4, 4)).save(folder / "00000014.png")  # eight of another size
    read = read_backgrounds(tmp_path)
    assert list(read) == [6, 8]
    assert all((backgrounds == step).all() for step, backgrounds in read.items())
    warned = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(warned) == 13
    assert all(record.getMessage().startswith(f"passed over: {folder}/") for record in warned)
    assert "00000010.png: it cannot be decoded" in caplog.text
    assert "00000013.png: it has 32x32 pixels; expected 8 squares in a row" in caplog.text
    assert "00000014.png: its backgrounds have another size than those of most files" in caplog.text


def test_stray_lines_do_not_take_the_valid_ones_with_them(tmp_path, caplog):
    lines = [b'{"step": 2, "loss": NaN}', b'{"note": "by hand"}', b"[3]", b"\xff", b'{"step": 4, "loss": 1.0}', b'{"st']
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join(lines))
    with _progress(tmp_path, step=4, log_every=2) as progress:
        for step in (5, 6):
            progress.record(step, PHASE, {"loss": jnp.float32(jnp.nan)}, 1)
    assert [(line["step"], line["loss"]) for line in _lines(tmp_path)] == [(2, None), (4, 1.0), (6, None)]
    assert "metrics.jsonl: no record of step, passed over: line 2, 3, 4, 6" in caplog.text
