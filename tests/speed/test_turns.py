"""Who is timed is alone: it waits for those that work, and they for it."""

import fcntl
import threading

import pytest

from bginv_jax.speed import timing, turns


@pytest.fixture
def other(tmp_path):
    """Another process's open file, of one that shares it with this process."""
    turns.share(tmp_path / "turns")
    with (tmp_path / "turns").open("a") as file:
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


def test_alone_without_a_file_waits_for_nobody():
    with turns.alone():
        pass
