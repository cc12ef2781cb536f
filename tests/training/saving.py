"""What saving costs: `python -m tests.training.saving [PHASE]` on experiments/mnist_5k_proposal.py, by default phase f.

The seconds of a save, of which training waits for a part while the rest is written beside it, and the seconds of the
steps between two; f's steps are the fastest, so there saving weighs most.
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
    """Medians of the seconds that training waits, and until all is written."""
    waits, whole, origin = [], [], provenance.describe()
    with tempfile.TemporaryDirectory() as folder, checkpoints.open_manager(folder, kept=2) as manager:
        for i in range(_SAVES):
            state = state._replace(step=jax.numpy.int32(i))
            begun = time.perf_counter()
            checkpoints.save(manager, state, run.config, run.description, origin)
            waits.append(time.perf_counter() - begun)
            manager.wait_until_finished()
            whole.append(time.perf_counter() - begun)
    return statistics.median(waits[1:]), statistics.median(whole[1:])


def _steps(run, phase, state):
    """Seconds of a step."""
    state = devices.replicate(state, run.devices)._replace(step=jax.numpy.int32(phase.start))
    feed = run.make_feed(phase, state.networks())
    take, done = run.make_step(phase, feed), phase.start
    for count in (1, _STEPS):
        begun, stop = time.perf_counter(), done + count
        while done < stop:
            until = min(stop, feed.last(done))
            state, *_ = take(state, feed.arrays(state.key, done, until), np.int32(until - done))
            done = until
        jax.block_until_ready(state.params)
    return (time.perf_counter() - begun) / _STEPS


def main():
    devices.use_all_processors()
    config = runpy.run_path(str(_EXPERIMENT))["get_config"]()
    run = wiring.wire(config, sources.load(config.data))
    name = sys.argv[1] if len(sys.argv) > 1 else run.phases[0].name
    phase = next(phase for phase in run.phases if phase.name == name)
    state = run.init()
    step = _steps(run, phase, jax.tree.map(jax.numpy.copy, state))
    wait, whole = _saves(run, state)
    between = step * config.checkpoint_every
    print(f"{1000 * wait:.0f} ms of waiting, {1000 * whole:.0f} ms until all is written")
    print(f"{config.checkpoint_every} steps of phase {name}: {between:.1f} s, at {1000 * step:.1f} ms a step")
    print(f"saving costs {100 * wait / between:.2f} % of the time, at most {100 * whole / between:.2f} %")


if __name__ == "__main__":
    main()
