"""Several processes that train one run, on one machine: of one dense layer, which compiles at once."""

import contextlib
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from bginv_jax import config as configs
from bginv_jax.data import sources
from bginv_jax.errors import InputError
from bginv_jax.training import agreement, checkpoints, distributed, reading, wiring
from tests.conftest import door, run_door, same_bits, write_tiny_folder

_STEPS, _EVERY = 40, 8  # few: on a busy machine processes wait for each other in every step
_LOST = "error: another process of this training has ended or cannot be reached; started again in all of them"
# The door, where silence is death sooner.
_IMPATIENT = """
import runpy
from bginv_jax.training import distributed
distributed.join.__kwdefaults__["silent_seconds"] = 10
runpy.run_module("bginv_jax.train", run_name="__main__")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_folder(tmp_path_factory.mktemp("data") / "tiny")


def _flags(folder, workdir):
    fields = {
        "data.source": f"idx:{folder}",
        "classifier": "tests.training.toys:Linear",
        "schedule": ("f:1",),
        "steps": _STEPS,
        "batch_size": 16,
        "log_every": _EVERY,
        "checkpoint_every": _EVERY,
    }
    given = [f"--config.{name}={value}" for name, value in fields.items()]
    return ["--config=experiments/mnist_5k_vanilla.py", f"--workdir={workdir}", *given]


@contextlib.contextmanager
def _processes(count, devices, *flags, own=None):
    """So many processes that join each other, and are gone at the end; `own` are more flags of each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{free.getsockname()[1]}"
    started = []
    try:
        for i in range(count):
            joined = ("--distributed", f"--coordinator={where}", f"--process_count={count}", f"--process_id={i}")
            command = door("train", *flags, *joined, *(own[i] if own else ()), devices=devices)
            python, _, _, *rest = command["args"]
            command["args"] = [python, "-c", _IMPATIENT, *rest]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            started.append(subprocess.Popen(**command, **pipes))
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def _run(count, devices, *flags):
    """Output and errors of each process, none of which fails."""
    with _processes(count, devices, *flags) as started:
        texts = [process.communicate(timeout=240) for process in started]
        assert [process.returncode for process in started] == [0] * count, texts
    return texts


def _state(workdir):
    with checkpoints.open_manager(workdir) as manager:
        restored = checkpoints.restore(manager, _shapes)
    return restored[0]


def _shapes(meta):
    config = configs.saved_config(meta["config"])
    return wiring.wire(config, sources.load(config.data)).shapes()


def _losses(workdir):
    return [json.loads(line)["loss"] for line in (Path(workdir) / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def alone(folder, tmp_path_factory):
    """The workdir of one process that has eight devices."""
    workdir = tmp_path_factory.mktemp("alone") / "run"
    result = run_door("train", *_flags(folder, workdir), devices=8)
    assert result.returncode == 0, result.stderr
    return workdir


@pytest.fixture(scope="module")
def two(folder, tmp_path_factory):
    """The workdir of two processes of four devices each, and what they printed."""
    workdir = tmp_path_factory.mktemp("two") / "run"
    return workdir, _run(2, 4, *_flags(folder, workdir))


def _assert_close(state, other):
    """To rounding: gradients are float32 sums over eight devices, in another order."""
    for a, b in zip(jax.tree.leaves(state.params), jax.tree.leaves(other.params), strict=True):
        # Each of 40 steps adds about a rounding, 2**-24: 2.4e-6 if none cancelled another.
        assert np.linalg.norm(a - b) <= 3e-6 * np.linalg.norm(b)
    assert same_bits((state.step, state.key), (other.step, other.key))


def test_two_processes_of_four_devices_train_as_one_of_eight(alone, two):
    workdir, _ = two
    _assert_close(_state(workdir), _state(alone))
    np.testing.assert_allclose(_losses(workdir), _losses(alone), rtol=1e-5)


def test_the_first_alone_writes(two):
    workdir, (first, second) = two
    assert "trained: " in first[0]
    assert "8 devices of 8 cpu in 2 processes" in first[1]
    assert "trained: " not in second[0]
    assert "images to train" not in second[1]
    assert "images/s" not in second[1]
    assert len(_losses(workdir)) == _STEPS // _EVERY
    assert len(list((workdir / "tensorboard").iterdir())) == 1
    assert sorted(path.name for path in (workdir / "checkpoints").iterdir()) == ["32", "40"]
    assert not list(workdir.glob(".seen*"))


def test_four_processes_that_stream_their_shares_take_the_same_steps(folder, two, tmp_path):
    _run(4, 2, *_flags(folder, tmp_path / "run"), "--config.data.stream=always")
    _assert_close(_state(tmp_path / "run"), _state(two[0]))


def test_one_is_killed_all_end_and_the_same_command_continues(folder, two, tmp_path):
    workdir = tmp_path / "run"
    with _processes(2, 4, *_flags(folder, workdir)) as (first, second):
        while not (workdir / "checkpoints" / str(_EVERY)).is_dir() and first.poll() is None:
            time.sleep(0.02)
        second.kill()
        killed = time.monotonic()
        errors = first.communicate(timeout=60)[1]
    assert time.monotonic() - killed < 60
    assert first.returncode == 1
    assert errors.splitlines()[-1].startswith(_LOST)
    texts = _run(2, 4, *_flags(folder, workdir))
    assert "continuing after step" in texts[0][1]
    assert same_bits(_state(workdir), _state(two[0]))


@pytest.mark.parametrize(
    ("raised", "last"),
    [
        ("lost", _LOST),
        ("OSError('none can be written')", _LOST),  # as Orbax passes an error on
        ("room", "jax.errors.JaxRuntimeError: RESOURCE_EXHAUSTED: Out of memory"),
    ],
)
def test_an_error_of_another_process_s_end_is_told_wherever_it_is_raised(raised, last):
    program = f"""
import jax
from bginv_jax.training import distributed
jax.process_count, jax.distributed.is_initialized = lambda: 2, lambda: True
lost = jax.errors.JaxRuntimeError("UNKNOWN: Gloo AllGather failed: [pair.cc:538] Connection reset by peer\\nmore")
room = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
with distributed.leaving_at_once():
    try:
        raise room if {raised!r} == "room" else lost
    except RuntimeError:
        raise {raised}
"""
    ended = subprocess.run(**door("train") | {"args": [sys.executable, "-c", program]}, text=True, capture_output=True)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith(last)


def test_what_cannot_be_read_since_a_process_ended_is_not_called_damaged(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)

    class Lonely:
        def restore(self, *_, **__):
            raise jax.errors.JaxRuntimeError("DEADLINE_EXCEEDED: Barrier timed out")

    with pytest.raises(ConnectionError, match="another process of this training has ended .* Barrier timed out"):
        reading.read_meta(Lonely(), 1)


def test_processes_of_different_commands_are_refused(folder, tmp_path):
    own = [("--config.seed=1", "--config.data.stream=never"), ()]
    with _processes(2, 1, *_flags(folder, tmp_path / "run"), own=own) as started:
        texts = [process.communicate(timeout=60) for process in started]
    for process, (_, errors) in zip(started, texts, strict=True):
        assert process.returncode == 2, errors
        assert "error: not the same in all processes: config.data.stream, config.seed; expected" in errors


def test_processes_that_see_different_folders_are_refused(folder, tmp_path):
    own = [(), (f"--workdir={tmp_path / 'other'}",)]
    with _processes(2, 1, *_flags(folder, tmp_path / "run"), own=own) as started:
        texts = [process.communicate(timeout=60) for process in started]
    for process, (_, errors) in zip(started, texts, strict=True):
        assert process.returncode == 2, errors
        assert "another folder in process 1 than in the first; expected one that all processes share" in errors


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"coordinator": "a:1"}, "--coordinator is 'a:1' without --process_count and --process_id"),
        ({"process_id": 0}, "--process_id is 0 without --coordinator and --process_count"),
        ({"coordinator": "a", "process_count": 1, "process_id": 0}, "--coordinator is 'a'; expected HOST:PORT"),
        ({"coordinator": "a:99999", "process_count": 1, "process_id": 0}, "--coordinator is 'a:99999'"),
        ({"coordinator": "a:1", "process_count": 0, "process_id": 0}, "--process_count is 0"),
        ({"coordinator": "a:1", "process_count": 2, "process_id": 2}, "--process_id is 2 of 2; expected 0 to 1"),
        ({"coordinator": "a:1", "process_count": 2, "process_id": -1}, "--process_id is -1 of 2"),
        ({"distributed": False, "process_count": 2}, "--process_count is 2 without --distributed"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(given, message):
    none = {"distributed": True, "coordinator": None, "process_count": None, "process_id": None}
    with pytest.raises(InputError, match=message):
        distributed.check_flags(**none | given)


@pytest.mark.parametrize("coordinator", ["[::1]:1234", "node-7.cluster:65535"])
def test_flags_that_go_together_are_taken(coordinator):
    distributed.check_flags(distributed=True, coordinator=coordinator, process_count=2, process_id=1)
    distributed.check_flags(distributed=True, coordinator=None, process_count=None, process_id=None)
    distributed.check_flags(distributed=False, coordinator=None, process_count=None, process_id=None)


def test_a_coordinator_that_nobody_is_at_ends_in_one_line():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and does not listen
        where = f"127.0.0.1:{held.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(ConnectionError, match=rf"--coordinator is '{where}', which cannot be reached within 1 s"):
            distributed._await(where, 1)
    assert time.monotonic() - started < 5


def test_one_process_is_the_first_and_agrees_with_itself(tmp_path):
    assert distributed.is_first()
    np.testing.assert_array_equal(agreement.gather(np.arange(3)), [[0, 1, 2]])
    tree = {"a": np.arange(2)}
    assert agreement.from_first(tree) is tree
    agreement.check_same({"a": 1})
    agreement.check_shared(tmp_path / "none", field="--workdir")
    assert not (tmp_path / "none").exists()
