"""What saving costs: `python -m tests.training.saving [PHASE]` on experiments/mnist_5k_proposal.py, by default phase f.

The seconds of a save, of which training waits for a part while the rest is written beside it, and of the steps between
two; and of the processors' time, which other programs beside it do not change. f's steps are the fastest, so there
saving weighs most.
"""

import runpy
import statistics
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

from bginv_jax.data import sources
from bginv_jax.training import checkpoints, devices, provenance, wiring

_STEPS, _SAVES = 40, 9
_EXPERIMENT = Path(__file__).parents[2] / "experiments" / "mnist_5k_proposal.py"


def _saves(run, state):
    """Medians of the seconds that training waits, until all is written, and of the processors."""
    seconds, origin = [], provenance.describe()
    with tempfile.TemporaryDirectory() as folder, checkpoints.open_manager(folder, kept=2) as manager:
        for i in range(_SAVES):
            state = state._replace(step=jax.numpy.int32(i))
            begun, processors = time.perf_counter(), time.process_time()
            checkpoints.save(manager, state, run.config, run.description, origin)
            waited = time.perf_counter() - begun
            manager.wait_until_finished()
            seconds.append((waited, time.perf_counter() - begun, time.process_time() - processors))
    return [statistics.median(column) for column in zip(*seconds[1:], strict=True)]


def _steps(run, phase, state):
    """Seconds of a step, and of the processors."""
    state = devices.replicate(state, run.devices)._replace(step=jax.numpy.int32(phase.start))
    feed = run.make_feed(phase, state.networks())
    take, done = run.make_step(phase, feed), phase.start
    for count in (1, 2, _STEPS):  # the first two compile: what a step returns lies elsewhere than what it began with
        begun, processors, stop = time.perf_counter(), time.process_time(), done + count
        while done < stop:
            until = min(stop, feed.last(done))
            state, *_ = take(state, feed.arrays(state.key, done, until), np.int32(until - done))
            done = until
        jax.block_until_ready(state.params)
    return (time.perf_counter() - begun) / _STEPS, (time.process_time() - processors) / _STEPS


def main():
    devices.use_all_processors()
    config = runpy.run_path(str(_EXPERIMENT))["get_config"]()
    run = wiring.wire(config, sources.load(config.data))
    name = sys.argv[1] if len(sys.argv) > 1 else run.phases[0].name
    phase = next(phase for phase in run.phases if phase.name == name)
    state, every = run.init(), config.checkpoint_every
    step, step_processors = _steps(run, phase, jax.tree.map(jax.numpy.copy, state))
    wait, whole, processors = _saves(run, state)
    print(f"a save: {1000 * wait:.0f} ms of waiting, {1000 * whole:.0f} ms until all is written")
    print(f"{every} steps of phase {name}: {every * step:.1f} s, at {1000 * step:.1f} ms a step")
    print(
        f"saving costs {100 * wait / (every * step):.2f} % of the time, at most {100 * whole / (every * step):.2f} %, "
        f"and {100 * processors / (every * step_processors):.2f} % of the processors'"
    )


if __name__ == "__main__":
    main()
