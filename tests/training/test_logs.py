"""Logs on disks that are full, for a while or for good."""

import errno
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.methods.schedule import Phase
from bginv_jax.training import logs
from bginv_jax.training.logs import Events, Lines
from bginv_jax.training.progress import Progress, write_backgrounds


class _Disk:
    """The stream of a file on a disk with room for so many more bytes."""

    def __init__(self, stream, room):
        self._stream, self.room = stream, room

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, data):
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._stream.write(data[: self.room])
        self.room -= written
        return written


def test_lines_wait_for_room_and_none_is_half_or_lost(tmp_path, caplog):
    lines = Lines(tmp_path / "metrics.jsonl", step=0)
    disk = lines._stream = _Disk(lines._stream, room=30)
    for step in range(1, 5):
        lines.write({"step": step})  # of 12 bytes
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1}\n{"step": 2}\n'
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}/metrics.jsonl: No space left on device; the training goes on, and the lines are written when "
        "there is room"
    ]
    disk.room = 1000
    lines.write({"step": 5})
    disk.room = 0
    lines.write({"step": 6})
    lines.close()
    assert [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [
        1,
        2,
        3,
        4,
        5,
    ]
    assert "metrics.jsonl: its last 1 lines could not be written" in caplog.text


def test_lines_that_wait_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "_MOST_WAITING", 24)
    lines = Lines(tmp_path / "metrics.jsonl", step=0)
    lines._stream = _Disk(lines._stream, room=0)
    for step in range(1, 10):
        lines.write({"step": step})
    assert len(lines._waiting) == 24
    lines.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_a_full_disk_stops_no_training(tmp_path, monkeypatch, caplog):
    """Every log there is; before, TensorBoard's writer waited for its thread for ever after some ten values."""
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda path, *mode, **how: opened(Path("/dev/full"), *mode, **how))
    monkeypatch.setattr("tensorboardX.record_writer.open_file", lambda path: open("/dev/full", "wb"))
    with Progress(tmp_path, step=0, steps=99, images_per_step=1, log_every=1) as progress:
        for step in range(1, 41):
            progress.record(step, Phase(("f",), 0, 99), {"loss": jnp.float32(1), "accuracy": jnp.float32(1)}, 1)
    monkeypatch.undo()
    full = "No space left on device"
    warned = [record.getMessage() for record in caplog.records]
    assert len(warned) == 3
    assert any(line.startswith(f"{tmp_path}/tensorboard: {full}; the training goes on") for line in warned)
    assert any(line.startswith(f"{tmp_path}/metrics.jsonl: {full}; the training goes on") for line in warned)
    assert "metrics.jsonl: its last 40 lines could not be written" in caplog.text


def test_a_strip_that_cannot_be_written_is_warned_of(tmp_path, caplog):
    (tmp_path / "backgrounds").touch()
    write_backgrounds(tmp_path, 3, np.zeros((8, 4, 4, 1)))
    assert "backgrounds/00000003.png: " in caplog.text
    assert "figure 4 lacks this step" in caplog.text


def test_events_are_there_when_they_were_written(tmp_path):
    events = Events(tmp_path, step=4)
    events.write(5, {"loss": 1.5})
    (file,) = tmp_path.iterdir()
    data = file.read_bytes()  # of a process that is killed now
    assert b"loss" in data
    assert data.count(b"brain.Event:2") == 2
    events.close()
