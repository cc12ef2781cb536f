"""Signals end a training after a checkpoint, and the run that continues has the bits of one that nobody stopped."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from bginv_jax.data import sources
from bginv_jax.training import checkpoints, loop, progress
from bginv_jax.training.stopping import Stop, StoppedError
from tests.conftest import ROOT, same_bits
from tests.training import registered
from tests.training.registered import lines, steps_kept

pytestmark = pytest.mark.usefixtures("registry")
NUMBERS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}


def _config(**changes):
    """Two phases of ten steps, a report every four and a checkpoint every nine."""
    fields = {"schedule": ("f:1", "f:1"), "steps": 20, "log_every": 4, "checkpoint_every": 9}
    return registered.config(**{**fields, **changes})


@pytest.fixture(scope="module")
def finished(registry, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished")
    return workdir, loop.train(_config(), workdir)


@pytest.fixture(autouse=True)
def _heard():
    """As in a terminal: whoever runs the tests may ignore some, and processes inherit that."""
    usual = {"SIGINT": signal.default_int_handler, "SIGTERM": signal.SIG_DFL, "SIGHUP": signal.SIG_DFL}
    before = {name: signal.signal(getattr(signal, name), handler) for name, handler in usual.items()}
    yield
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


@pytest.fixture
def signalled(monkeypatch):
    """(step, signal): such a signal comes while that step is reported."""

    def at(step, number):
        record = progress.Progress.record

        def record_and_signal(report, done, *rest):
            record(report, done, *rest)
            if done == step:
                signal.raise_signal(number)

        monkeypatch.setattr(progress.Progress, "record", record_and_signal)

    yield at
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert all(thread.name != "signals" for thread in threading.enumerate())


def _reports(workdir):
    """Steps and values of metrics.jsonl."""
    return [(one["step"], one["phase"]) for one in lines(workdir)], [one["loss"] for one in lines(workdir)]


@pytest.mark.parametrize(("name", "step"), [("SIGTERM", 1), ("SIGINT", 2), ("SIGHUP", 8), ("SIGTERM", 16)])
def test_a_signal_saves_the_next_call_and_the_run_continues_bit_for_bit(finished, tmp_path, signalled, name, step):
    with pytest.MonkeyPatch.context():
        signalled(step, getattr(signal, name))
        with pytest.raises(StoppedError) as stopped:
            loop.train(_config(), tmp_path, signals=True)
    saved = steps_kept(tmp_path)[-1]
    assert step < saved <= step + 4
    assert stopped.value.status == NUMBERS[name]
    assert str(stopped.value) == (
        f"stopped by {name} after step {saved} of 20: checkpoint {saved} of {tmp_path}/checkpoints is saved, and the "
        "same command continues from it"
    )
    assert same_bits(loop.train(_config(), tmp_path), finished[1])
    (steps, losses), (expected_steps, expected) = _reports(tmp_path), _reports(finished[0])
    assert steps == expected_steps
    np.testing.assert_allclose(losses, expected, rtol=1e-6)  # calls of other steps have means that round otherwise


def test_a_signal_after_the_last_step_says_that_all_is_done(tmp_path, signalled):
    signalled(18, signal.SIGTERM)
    with pytest.raises(StoppedError, match="after step 20 of 20: the training is complete, and checkpoint 20 of"):
        loop.train(_config(), tmp_path, signals=True)


def test_before_the_first_step_it_says_that_there_is_nothing(tmp_path, monkeypatch, finished, registry):
    load = sources.load

    def load_and_signal(config):
        signal.raise_signal(signal.SIGTERM)
        return load(config)

    monkeypatch.setattr(sources, "load", load_and_signal)
    with pytest.raises(StoppedError) as stopped:
        loop.train(_config(), tmp_path, signals=True)
    assert str(stopped.value) == "stopped by SIGTERM: there is no checkpoint yet, and the same command begins again"
    with pytest.raises(StoppedError) as stopped:
        loop.train(_config(), finished[0], signals=True)
    assert "checkpoint 20 of" in str(stopped.value)
    assert "is the newest, and the same command continues from it" in str(stopped.value)


def test_a_program_of_its_own_keeps_its_handlers(tmp_path, signalled):
    signalled(4, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as interrupted:
        loop.train(_config(), tmp_path)
    assert not isinstance(interrupted.value, StoppedError)


def test_what_is_ignored_stays_ignored_and_threads_hear_nothing(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with Stop(tmp_path, listens=True):
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    heard = []
    thread = threading.Thread(target=lambda: heard.append(Stop(tmp_path, listens=True).listens))
    thread.start()
    thread.join()
    assert heard == [False]


def test_slow_steps_are_taken_in_short_calls_to_the_same_bits(finished, tmp_path, monkeypatch):
    counts, record = [], progress.Progress.record

    def count(report, step, phase, metrics, steps):
        counts.append(steps)
        record(report, step, phase, metrics, steps)

    monkeypatch.setattr(progress.Progress, "record", count)
    assert same_bits(loop.train(_config(), tmp_path / "fast"), finished[1])
    assert counts == [1, 1, 1, 1, 2, 2, 1, 1, 1, 1, 3, 1, 2, 2]  # to the ends of epochs, too
    counts.clear()
    monkeypatch.setattr(loop, "_LONGEST", 1e-9)
    assert same_bits(loop.train(_config(), tmp_path / "slow"), finished[1])
    assert counts == [1] * 20
    (steps, losses), (expected_steps, expected) = _reports(tmp_path / "slow"), _reports(finished[0])
    assert steps == expected_steps
    np.testing.assert_allclose(losses, expected, rtol=1e-6)


def test_a_run_that_is_killed_before_it_saves_has_painted_the_step(module_config, tmp_path, monkeypatch):
    """The run that continues from that checkpoint, were it there, would paint no more of it: figure 4 had a gap."""
    painted = []
    monkeypatch.setattr(loop._Painter, "show", lambda painter, phase, state: painted.append(int(state.step)))

    def save(manager, state, *rest, **options):
        assert int(state.step) in painted
        checkpoints_save(manager, state, *rest, **options)

    checkpoints_save = checkpoints.save
    monkeypatch.setattr(checkpoints, "save", save)
    loop.train(_config(), tmp_path)
    assert painted == [0, 9, 10, 18, 20]


_SCRIPT = """
    import sys, time
    from pathlib import Path
    from bginv_jax import command_line
    from bginv_jax.data.sources import SOURCES
    from bginv_jax.networks.classifiers import CLASSIFIERS
    from bginv_jax.training import checkpoints, loop, wiring
    from tests.training import registered, toys

    SOURCES["toy"], CLASSIFIERS["linear"] = registered.source("toy"), toys.Linear
    make_step, save, (what, workdir) = wiring.Run.make_step, checkpoints.save, sys.argv[1:]

    def compile(run, phase, feed):
        if what == "compiling" and phase.start:
            Path(workdir, "ready").touch()
            time.sleep(60)  # as the compiler, this lets no exception through
        return make_step(run, phase, feed)

    def save_slowly(*arguments, **options):
        if what == "saving":
            Path(workdir, "ready").touch()
            time.sleep(60)
        return save(*arguments, **options)

    wiring.Run.make_step, checkpoints.save = compile, save_slowly
    config = registered.config(schedule=("f:1", "f:1"), steps=20, log_every=4, checkpoint_every=9)
    with command_line._ends_well(resumes=True):
        loop.train(config, workdir, signals=True)
"""


def _start(what, workdir):
    """A process that trains, once it is at what takes long."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}  # with as many devices, for the same bits
    command = [sys.executable, "-c", textwrap.dedent(_SCRIPT), what, str(workdir)]
    workdir.mkdir()
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (workdir / "ready").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    return process


def test_while_it_compiles_it_saves_what_is_not_saved_and_ends(finished, tmp_path):
    process = _start("compiling", tmp_path / "run")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    folder = tmp_path / "run" / "checkpoints"
    assert errors.splitlines()[-1] == (
        f"stopped by SIGTERM: checkpoint 10 of {folder} is the newest, and the same command continues from it"
    )
    assert process.returncode == 143
    assert steps_kept(tmp_path / "run") == [9, 10]
    assert same_bits(loop.train(_config(), tmp_path / "run"), finished[1])


def test_a_second_signal_ends_it_at_once(tmp_path):
    process = _start("saving", tmp_path / "run")
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert errors.splitlines()[-1] == (
        "stopped by SIGINT: ended at once; there is no checkpoint yet, and the same command begins again"
    )
    assert process.returncode == 130


_TOGETHER = """
    import sys, time
    from pathlib import Path
    import jax
    from bginv_jax.training.stopping import Stop, StoppedError

    jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
    with Stop(Path("nowhere"), listens=True) as stop, stop.gently():
        for call in range(1, 1000):
            time.sleep(0.03 + 0.02 * int(sys.argv[2]))
            if call == 3:
                print("ready", flush=True)
            if stop.after_call():
                try:
                    stop.end(call, 1000)
                except StoppedError as stopped:
                    print(stopped.status, stopped, flush=True)
                break
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_several_processes_end_after_the_same_call(name):
    """JAX's preemption service has them agree, though one alone hears the signal, and each is at another call."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", textwrap.dedent(_TOGETHER), address]
    options = {"env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    processes = [subprocess.Popen([*command, str(i)], **options) for i in range(2)]
    assert processes[1].stdout.readline() == "ready\n"
    processes[1].send_signal(getattr(signal, name))
    ends = [process.communicate(timeout=120)[0].splitlines()[-1] for process in processes]
    assert ends[0] == ends[1]
    assert ends[0].startswith("143 stopped by SIGTERM after step ")
