"""Who is timed is alone, waits for those that work, and comes before those that were timed already."""

import fcntl
import subprocess
import sys
import threading
import time

import pytest

from bginv_jax.errors import InputError
from bginv_jax.speed import timing, turns


@pytest.fixture
def other(tmp_path):
    """Another process's open file, of one that shares it with this process."""
    turns.share(tmp_path / "new" / "turns")
    with (tmp_path / "new" / "turns").open("a") as file:
        yield file
    turns.share(None)


def _is_free(file, how) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def test_others_work_beside_one_that_works_and_not_beside_one_that_is_timed(other):
    assert _is_free(other, fcntl.LOCK_SH)
    fcntl.flock(other, fcntl.LOCK_UN)
    with turns.alone():
        assert not _is_free(other, fcntl.LOCK_SH)
    assert _is_free(other, fcntl.LOCK_SH)
    assert not _is_free(other, fcntl.LOCK_EX)  # it works


def test_who_is_timed_waits_for_who_works(other):
    fcntl.flock(other, fcntl.LOCK_SH)
    steps, timed = [], threading.Thread(target=lambda: timing.warm_up(steps.append), daemon=True)
    timed.start()
    timed.join(0.2)
    assert timed.is_alive()
    assert steps == [1]  # compiling goes on
    fcntl.flock(other, fcntl.LOCK_UN)
    timed.join(30)
    assert not timed.is_alive()
    assert len(steps) > 3


_TAKE_TURNS = """
import sys, time
from pathlib import Path
from bginv_jax.speed import turns
folder, name, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
turns.share(folder / "turns")
(folder / name).touch()
while not (folder / "go").exists():
    time.sleep(0.001)
for _ in range(rounds):
    time.sleep(0.02)  # works
    with turns.alone(), (folder / "order").open("a") as order:
        order.write(name)
        time.sleep(0.02)
"""


def test_nobody_waits_while_another_is_timed_again_and_again(tmp_path):
    rounds, names = 5, "abcd"
    command = [sys.executable, "-c", _TAKE_TURNS, str(tmp_path)]
    takers = [subprocess.Popen([*command, name, str(rounds)]) for name in names]
    while not all((tmp_path / name).exists() for name in names):
        assert all(taker.poll() is None for taker in takers)
        time.sleep(0.01)
    (tmp_path / "go").touch()
    assert [taker.wait(60) for taker in takers] == [0] * len(names)
    found = (tmp_path / "order").read_text()
    assert sorted(found) == sorted(names * rounds)
    first_done = min(found.rindex(name) for name in names)
    assert set(found[: first_done + 1]) == set(names), found


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(InputError, match=f"--turns is '{tmp_path}', a folder; expected a file"):
        turns.share(tmp_path)


def test_alone_without_a_file_waits_for_nobody():
    with turns.alone():
        pass
