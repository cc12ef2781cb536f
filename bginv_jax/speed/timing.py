"""What a step costs: our step and its PyTorch peer as functions that take so many steps, their seconds and memory."""

import dataclasses
import functools
import logging
import re
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from bginv_jax.data import sources
from bginv_jax.data.dataset import Dataset
from bginv_jax.errors import InputError
from bginv_jax.methods.schedule import Phase
from bginv_jax.training import devices as hardware
from bginv_jax.training import wiring
from bginv_jax.training.feed import BatchPlan, Resident
from bginv_jax.training.state import TrainState, init_state, stack_seeds
from bginv_jax.training.step import train_step

_LOG = logging.getLogger(__name__)

SIDES = ("jax", "eager", "compile", "reduce-overhead")  # ours, then the variants of the peer
_TRIAL_STEPS = 3
_TRIAL_SECONDS = 0.3

TakeSteps = Callable[[int], object]
"""Takes so many steps of one phase and returns when they are done."""


class Runner(NamedTuple):
    """run, the operations of one step by XLA's count, and over how many devices and slices the batch is split."""

    run: TakeSteps
    flop: float
    plan: BatchPlan


def ready_masks(run: wiring.Run, phase: Phase) -> np.ndarray | None:
    """Masks for a phase that takes them ready made, wherever an image is above 0: what they show costs nothing."""
    if not run.method.takes_masks(phase.networks):
        return None
    masks = (run.dataset.train.images > 0).any(axis=-1, keepdims=True)
    return 255 * masks.astype(np.uint8) if run.method.binary_masks else masks.astype(np.float32)


def _count_flop(run: wiring.Run, phase: Phase, initial: TrainState, data: Resident) -> float:
    """The operations of a step by XLA's count."""
    # XLA counts the body of a loop once, however often it runs, so the step is counted without its loop over slices.
    plan = run.plan._replace(devices=1, slices=1)
    whole = functools.partial(train_step, device=0, learning=dataclasses.replace(run.learning(phase), plan=plan))
    order = jax.ShapeDtypeStruct(run.dataset.train.targets.shape[:1], jnp.int32)
    shapes = jax.eval_shape(lambda *trees: trees, initial, data._replace(order=order))
    with hardware.counting():
        return jax.jit(whole).lower(*shapes).cost_analysis()["flops"] * max(1, len(run.config.seeds))


def make_runner(config: ConfigDict, dataset: Dataset, active: tuple[str, ...]) -> Runner:
    """The step of `active` networks, of one seed or of `config.seeds`, wired as train wires it."""
    run, phase = wiring.wire(config, dataset), Phase(active, 0, np.iinfo(np.int32).max)
    weights_key = jax.random.key(config.seed, impl="rbg")  # compiles in a quarter of the time
    initial = jax.jit(lambda: init_state(config.seed, lambda _: run.method.init(weights_key), run.optimizers))()
    masks = ready_masks(run, phase)
    flop = _count_flop(run, phase, initial, Resident(dataset.train.images, dataset.train.targets, masks, run.pictures))
    if run.several_seeds:  # all alike, which costs what different ones do
        initial = stack_seeds([initial] * len(config.seeds))
        masks = None if masks is None else np.stack([masks] * len(config.seeds))
    feed = run.make_feed(phase, initial.networks(), masks=masks)
    train_state, take = hardware.replicate(initial, run.devices), run.make_step(phase, feed)
    done = 0

    def take_steps(steps):
        nonlocal train_state, done
        goal = done + steps
        while done < goal:
            stop = min(goal, feed.last(done))
            arrays = feed.arrays(train_state.key, done, stop)
            train_state, metrics, _ = take(train_state, arrays, np.int32(stop - done))
            done = stop
        return jax.block_until_ready(metrics)

    return Runner(take_steps, flop, run.plan)


def make_peer(config: ConfigDict, source: Dataset, active: tuple[str, ...], variant: str) -> TakeSteps:
    import torch

    from bginv_jax.speed import torch_peer

    device = "cuda" if not hardware.on_cpu() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--peer=torch: JAX runs on a GPU, but this PyTorch was built without CUDA")
    masks = ready_masks(wiring.wire(config, source), Phase(active, 0, 1))
    classes, train = len(source.class_names), source.train
    return torch_peer.Trainer(
        config, train.images, masks, train.targets, classes=classes, active=active, variant=variant, device=device
    ).run


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
    usual = seconds_per_step(run, _TRIAL_STEPS)
    usual = seconds_per_step(run, max(_TRIAL_STEPS, round(_TRIAL_SECONDS / usual)))
    return max(first - usual, 0.0), usual


def fastest_peer(config, source, active) -> tuple[str, TakeSteps, float, float]:
    """The faster of eager and compiled PyTorch in a short trial: (variant, run, compile seconds, seconds a step)."""
    tried = []
    for variant in SIDES[1:] if not hardware.on_cpu() else SIDES[1:3]:
        try:
            run = make_peer(config, source, active, variant)
            tried.append((variant, run, *warm_up(run)))
        except Exception as error:  # whatever torch.compile's compilers raise
            if variant == "eager":
                raise
            _LOG.warning("PyTorch %s fails, left out: %s", variant, str(error).strip().partition("\n")[0])
    return min(tried, key=lambda one: one[3])


def matmul_rate() -> float:
    """The machine's measured rate of float32 matrix products, on all local devices at once, GFLOP/s."""
    devices = hardware.local()
    sizes = (1024, 2048) if devices[0].platform == "cpu" else (4096, 8192)
    product, best = hardware.map_program(jnp.matmul, devices, in_axes=None), 0.0
    for size in sizes:
        a = hardware.replicate(jax.random.normal(jax.random.key(0), (size, size)), devices)
        jax.block_until_ready(product(a, a))
        for _ in range(5):
            start = time.perf_counter()
            jax.block_until_ready(product(a, a))
            best = max(best, 2e-9 * len(devices) * size**3 / (time.perf_counter() - start))
    return best


def _resident_mb() -> float:
    """The process's peak resident set so far, MB."""
    try:
        # Linux counts the parent's memory into a child's ru_maxrss, but not into this.
        status = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
        return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) * 1024 / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on macOS


def memory_of_this_process(config: ConfigDict, active: tuple[str, ...], side: str) -> dict[str, float]:
    """Takes a few steps of one side and says what memory this took at its peak."""
    source = sources.load(config.data)
    if side != "jax":
        import torch
    first_device = hardware.local()[0]
    imports = _resident_mb()
    run = make_runner(config, source, active).run if side == "jax" else make_peer(config, source, active, side)
    run(_TRIAL_STEPS)
    if first_device.platform == "cpu":
        return {"peak_mb": _resident_mb(), "imports_mb": imports}
    stats = first_device.memory_stats() or {}
    peak = stats.get("peak_bytes_in_use", 0) if side == "jax" else torch.cuda.max_memory_allocated()
    return {"peak_mb": peak / 1e6, "imports_mb": 0.0}
