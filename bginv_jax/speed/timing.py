"""What a step costs: our step as a function that takes so many steps, its operations and its seconds.

The step is wired by `training.wiring` and its feed is walked as `training.loop` does, so what is timed is what trains.
"""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from bginv_jax.data.dataset import Dataset
from bginv_jax.methods.schedule import Phase, make_phases
from bginv_jax.speed import turns
from bginv_jax.training import devices as hardware
from bginv_jax.training import wiring
from bginv_jax.training.feed import BatchPlan, Resident
from bginv_jax.training.state import TrainState, init_state, stack_seeds
from bginv_jax.training.step import train_step

PHASES = {"vanilla": ("f",), "mask": ("f_m",), "adversarial": ("f", "f_b"), "joint": ("f", "f_m", "f_b")}
_TRIAL_STEPS = 3
_TRIAL_SECONDS = 0.3

TakeSteps = Callable[[int], object]
"""Takes so many steps of one phase and returns when they are done."""


class Runner(NamedTuple):
    """Our step, ready to be timed.

    run: takes steps.
    state: what the state has become.
    flop: operations of one step by XLA's count, of all seeds together; None where nobody counts.
    plan: over how many devices and slices the batch is split.
    """

    run: TakeSteps
    state: Callable[[], TrainState]
    flop: float | None
    plan: BatchPlan


def with_phase(config: ConfigDict, active: tuple[str, ...]) -> ConfigDict:
    """The config with a phase in which `active` train together, and f_m before it where it takes f_m's masks.

    One that has such a phase is as it was.
    """
    phases = [phase.networks for phase in make_phases(config.schedule, config.steps)]
    if any(set(networks) == set(active) for networks in phases):
        return config
    added = [(*active,)]
    needs_masks = "f_b" in active and "f_m" not in active and config.mask.kind == "learned"
    if needs_masks and not any("f_m" in networks for networks in phases):
        added.insert(0, ("f_m",))
    config = config.copy_and_resolve_references()
    config.schedule = (*config.schedule, *("+".join(networks) + ":1" for networks in added))
    config.steps = max(config.steps, len(config.schedule))
    return config


def wire(config: ConfigDict, dataset: Dataset, active: tuple[str, ...]) -> tuple[wiring.Run, Phase]:
    """The run of a config, and a phase without an end in which `active` train."""
    return wiring.wire(with_phase(config, active), dataset), Phase(active, 0, np.iinfo(np.int32).max)


def ready_masks(run: wiring.Run, phase: Phase) -> np.ndarray | None:
    """Masks for a phase that takes them ready made, wherever an image is above 0: what they show costs nothing.

    (M, S, S, 1), of several seeds with a leading axis of seeds, as `wiring` makes them.
    """
    if not run.method.takes_masks(phase.networks):
        return None
    objects = np.any(run.dataset.train.images > 0, axis=-1, keepdims=True)
    masks = 255 * objects.astype(np.uint8) if run.method.binary_masks else objects.astype(np.float32)
    return np.stack([masks] * len(run.config.seeds)) if run.several_seeds else masks


def initial_state(run: wiring.Run) -> TrainState:
    """A state before the first step, of several seeds all alike, which costs what different ones do."""
    weights_key = jax.random.key(0, impl="rbg")  # compiles in a quarter of the time

    def init() -> TrainState:
        return init_state(run.config.seed, lambda _: run.method.init(weights_key), run.optimizers)

    one = jax.jit(init)()
    return stack_seeds([one] * len(run.config.seeds)) if run.several_seeds else one


def _flop_of(analysis: Any) -> float | None:
    """The operations in an analysis of XLA: a dict, on some versions and devices a list of them, or nothing."""
    parts = analysis if isinstance(analysis, list | tuple) else [analysis]
    counts = [part.get("flops", 0.0) for part in parts if part]
    return sum(count for count in counts if count > 0) or None  # XLA writes -1 for what it does not know


def count_flop(function: Callable, *shapes: Any) -> float | None:
    """The operations of function(*shapes) by XLA's count, which costs no compiling where it can be had so."""
    try:
        with hardware.counting():
            flop = _flop_of(jax.jit(function).lower(*shapes).cost_analysis())
    except RuntimeError:  # JAX was told to leave the host's processors alone
        flop = None
    if flop is None:
        flop = _flop_of(jax.jit(function).lower(*shapes).compile().cost_analysis())
    return flop


def _step_flop(run: wiring.Run, phase: Phase, masks: np.ndarray | None) -> float | None:
    """The operations of a step, of all seeds together."""
    # XLA counts the body of a loop once, however often it runs, so the step is counted for one seed, and without its
    # loop over slices.
    plan = run.plan._replace(devices=1, slices=1)
    whole = functools.partial(train_step, device=0, learning=dataclasses.replace(run.learning(phase), plan=plan))
    if masks is not None and run.several_seeds:
        masks = masks[0]
    train = run.dataset.train
    order = jax.ShapeDtypeStruct((len(train.images),), jnp.int32)
    arrays = (train.images, train.targets, masks, run.pictures, order)
    shapes = jax.eval_shape(
        lambda arrays: (init_state(run.config.seed, run.method.init, run.optimizers), Resident(*arrays)), arrays
    )
    flop = count_flop(whole, *shapes)
    return flop and flop * max(1, len(run.config.seeds))


def make_runner(config: ConfigDict, dataset: Dataset, active: tuple[str, ...]) -> Runner:
    """The step of `active` networks, of one seed or of `config.seeds`, as training takes it in such a phase."""
    run, phase = wire(config, dataset, active)
    initial, masks = initial_state(run), ready_masks(run, phase)
    flop = _step_flop(run, phase, masks)
    feed = run.make_feed(phase, initial.networks(), masks=masks)
    train_state, take = hardware.replicate(initial, run.devices), run.make_step(phase, feed)
    done = int(initial.step)

    def take_steps(steps: int) -> object:
        nonlocal train_state, done
        goal = done + steps
        while done < goal:
            stop = min(goal, feed.last(done))
            arrays = feed.arrays(train_state.key, done, stop)
            train_state, metrics, _ = take(train_state, arrays, np.int32(stop - done))
            done = stop
        return jax.block_until_ready(metrics)

    return Runner(take_steps, lambda: train_state, flop, run.plan)


def seconds_per_step(run: TakeSteps, steps: int) -> float:
    """Seconds a step. The step before the clock starts is where the other side's threads and data make room."""
    run(1)
    start = time.perf_counter()
    run(steps)
    return (time.perf_counter() - start) / steps


def warm_up(run: TakeSteps) -> tuple[float, float]:
    """Seconds that the first call took beyond a step, which is compiling; and seconds a step."""
    start = time.perf_counter()
    run(1)
    first = time.perf_counter() - start
    with turns.alone():
        usual = seconds_per_step(run, _TRIAL_STEPS)
        usual = seconds_per_step(run, max(_TRIAL_STEPS, round(_TRIAL_SECONDS / usual)))
    return max(first - usual, 0.0), usual


def matmul_rate(*, sizes: tuple[int, ...] = ()) -> float:
    """The machine's measured rate of float32 matrix products, on all local devices at once, GFLOP/s.

    Args:
      sizes: sides of the matrices, of which the fastest counts; by default what keeps the devices busy.
    """
    devices = hardware.local()
    sizes = sizes or ((1024, 2048) if hardware.on_cpu() else (4096, 8192))
    product, best = hardware.map_program(jnp.matmul, devices), 0.0
    for size in sizes:
        matrix = np.random.default_rng(0).standard_normal((size, size), np.float32)
        a = hardware.split(np.broadcast_to(matrix, (len(devices), size, size)), devices)
        jax.block_until_ready(product(a, a))
        with turns.alone():
            for _ in range(5):
                start = time.perf_counter()
                jax.block_until_ready(product(a, a))
                best = max(best, 2e-9 * len(devices) * size**3 / (time.perf_counter() - start))
    return best
