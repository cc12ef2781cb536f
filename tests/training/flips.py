"""Flips bytes of a checkpoint, one at a time, and reads it as training and as predictors do.

`python -m tests.training.flips [EVERY]` flips one in EVERY of the bytes of each file, by default all, and prints what
became of them.
"""

import collections
import contextlib
import io
import logging
import random
import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import optax

from bginv_jax.config import default_config
from bginv_jax.data.dataset import Description
from bginv_jax.training import checkpoints
from bginv_jax.training.state import TrainState
from tests.conftest import same_bits

DESCRIPTION = Description("toy", (2, 2, 1), 16, ("a",), 3, 1, "abc")


def make_state(step):
    """Two networks, one with statistics; large enough for files of data beside those of Orbax's trees."""
    key = jax.random.key(step)
    params = {"f": {"kernel": jax.random.normal(key, (30, 20))}, "f_b": {"bias": jax.random.normal(key, (7,))}}
    moments = {name: optax.adam(1e-3).init(own) for name, own in params.items()}
    opt_state = jax.tree.map(lambda leaf: leaf + jnp.asarray(step, leaf.dtype), moments)
    statistics = {"f": {"batch_stats": {"mean": jnp.full(300, step / 7)}}, "f_b": {}}
    return TrainState(jnp.int32(step), jax.random.key(7), params, opt_state, statistics)


def write(workdir):
    """Checkpoints after steps 2 and 4; what each holds, by step."""
    with checkpoints.open_manager(workdir, kept=2) as manager:
        for step in (2, 4):
            checkpoints.save(manager, make_state(step), default_config(), DESCRIPTION, {"commit": "0123"})
    return {step: make_state(step) for step in (2, 4)}


def read_to_train(workdir):
    """(step, state, meta) as training goes on from."""
    with checkpoints.open_manager(workdir) as manager:
        state, meta = checkpoints.restore(manager, lambda meta: jax.eval_shape(lambda: make_state(0)))
    return int(state.step), state, meta


def read_to_predict(workdir):
    """(step, networks, meta) as predictors read."""
    with checkpoints.open_manager(workdir) as manager:
        trained = checkpoints.restore_networks(manager, lambda meta: jax.eval_shape(lambda: make_state(0).networks()))
    return trained.steps, trained.networks, trained.meta


class _Lines(logging.Handler):
    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


@contextlib.contextmanager
def listening():
    """What is said meanwhile: a list of the project's warnings, and all else on the standard error."""
    handler, log, errors = _Lines(), logging.getLogger("bginv_jax"), io.StringIO()
    log.addHandler(handler)
    log.propagate = False
    try:
        with contextlib.redirect_stderr(errors):
            yield handler.lines, errors
    finally:
        log.removeHandler(handler)
        log.propagate = True


def judge(workdir, read, expected, meta):
    """What became of a damaged checkpoint 4: "noticed" or "no effect"; anything else is an AssertionError."""
    with listening() as (lines, errors):
        step, found, found_meta = read(workdir)
    assert errors.getvalue() == ""
    assert same_bits(found, expected[step])
    assert found_meta["config"] == meta["config"]
    assert found_meta["dataset"] == meta["dataset"]
    assert found_meta["origin"] == meta["origin"]
    if step == 4:
        assert lines == []
        return "no effect"
    assert len(lines) == 1
    assert lines[0].startswith(f"checkpoint 4 of {workdir / 'checkpoints'} cannot be read and is passed over: ")
    assert "\n" not in lines[0]
    return "noticed"


def flip(path, place, mask):
    """Changes one byte of a file by exclusive or; twice is not at all."""
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ mask]))


def flip_some(workdir, choose):
    """Flips the bytes of each file of checkpoint 4 that choose(size) gives; counts by file, reader and outcome."""
    states = write(workdir)
    readers = {read_to_train: states, read_to_predict: {step: state.networks() for step, state in states.items()}}
    meta = read_to_train(workdir)[2]
    counts, randomness = collections.Counter(), random.Random(0)
    for path in sorted((workdir / "checkpoints" / "4").rglob("*")):
        for place in choose(path.stat().st_size) if path.is_file() else ():
            mask = randomness.choice([1, 2, 4, 8, 16, 32, 64, 128, 255])
            flip(path, place, mask)
            for read, expected in readers.items():
                try:
                    outcome = judge(workdir, read, expected, meta)
                except Exception as error:
                    error.add_note(f"{path}: byte {place} changed by {mask}, {read.__name__}")
                    raise
                counts[path.relative_to(workdir / "checkpoints" / "4").parts[-1][:20], read.__name__, outcome] += 1
            flip(path, place, mask)
    return counts


def main():
    every = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    with tempfile.TemporaryDirectory() as folder:
        counts = flip_some(Path(folder), lambda size: range(0, size, every))
    for what, count in sorted(counts.items()):
        print(*what, count)


if __name__ == "__main__":
    main()
