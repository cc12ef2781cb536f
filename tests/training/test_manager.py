"""Which checkpoints stay, and what a disk that fails leaves of them: one error, and all that were whole."""

import contextlib
import errno
import os
import re
import resource

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.config import default_config
from bginv_jax.data.dataset import Description
from bginv_jax.training import checkpoints
from bginv_jax.training.state import TrainState
from tests.training.toys import assert_same_bits

_DESCRIPTION = Description("toy", (2, 2, 1), 16, ("a",), 3, 1, "abc")


def _state(step, size=2):
    params = {"f": {"kernel": jax.random.normal(jax.random.key(step), (size, 100))}}
    return TrainState(jnp.int32(step), jax.random.key(7), params, {"f": ()}, {"f": {}})


def _save(manager, step, measure=None, size=2):
    checkpoints.save(manager, _state(step, size), default_config(), _DESCRIPTION, {}, measure=measure)


def _steps(workdir):
    return sorted(path.name for path in (workdir / "checkpoints").iterdir())


def test_the_newest_those_of_a_multiple_and_the_best_stay(tmp_path):
    with checkpoints.open_manager(tmp_path, kept=1, keep_every=4) as manager:
        for step, measure in {1: 0.5, 2: None, 3: 0.9, 4: 0.2, 5: np.nan, 6: 0.9}.items():
            _save(manager, step, measure)
    assert _steps(tmp_path) == ["4", "6"]  # of equal ones the later
    with checkpoints.open_manager(tmp_path, kept=1, keep_every=4) as manager:  # which knows them from the disk
        for step in (7, 8, 9):
            _save(manager, step, 0.1)
    assert _steps(tmp_path) == ["4", "6", "8", "9"]


def test_by_default_the_newest_alone_stay(tmp_path):
    with checkpoints.open_manager(tmp_path, kept=2) as manager:
        for step in range(1, 6):
            _save(manager, step)
    assert _steps(tmp_path) == ["4", "5"]


@contextlib.contextmanager
def _full(workdir):
    """A disk on which a file may have 10,000 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        yield os.strerror(errno.EFBIG)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def _gone(workdir):
    """No folder where the workdir was, but a file."""
    aside = workdir.with_name("aside")
    workdir.rename(aside)
    workdir.touch()
    try:
        yield os.strerror(errno.ENOTDIR)
    finally:
        workdir.unlink()
        aside.rename(workdir)


def _write_until_it_fails(workdir, disk, steps):
    with checkpoints.open_manager(workdir, kept=1) as manager:
        _save(manager, 2)
        manager.wait_until_finished()
        with disk(workdir):
            for step in steps:
                _save(manager, step, size=500)
            manager.wait_until_finished()


@pytest.mark.parametrize("steps", [(4,), (4, 6)])
@pytest.mark.parametrize("disk", [_full, _gone])
def test_a_disk_that_fails_is_one_error_and_the_checkpoints_before_stay(tmp_path, caplog, capfd, disk, steps):
    run = tmp_path / "run"
    run.mkdir()
    reason = {_full: errno.EFBIG, _gone: errno.ENOTDIR}[disk]
    message = f"{os.strerror(reason)}; the checkpoint is not written; "
    with pytest.raises(OSError, match=re.escape(message)) as caught:
        _write_until_it_fails(run, disk, steps)
    assert caught.value.filename == str(run / "checkpoints")
    if disk is _full:
        assert "those before it stay, the newest of step 2" in str(caught.value)
    assert _steps(run) == ["2"]
    with checkpoints.open_manager(run, kept=1) as manager:
        assert_same_bits(checkpoints.restore(manager, lambda meta: _state(0))[0], _state(2))
    assert caplog.text == ""
    assert capfd.readouterr().err == ""
