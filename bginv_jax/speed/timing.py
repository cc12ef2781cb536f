"""What a step costs: our step and its PyTorch peer as functions that take so many steps, their seconds and memory."""

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
from bginv_jax.images.pixels import pad_to
from bginv_jax.methods import registry
from bginv_jax.training import state, step

_LOG = logging.getLogger(__name__)

SIDES = ("jax", "eager", "compile", "reduce-overhead")  # ours, then the variants of the peer
_TRIAL_STEPS = 3
_TRIAL_SECONDS = 0.3

Run = Callable[[int], object]
"""Takes so many steps of one phase and returns when they are done."""


class Runner(NamedTuple):
    """run, the operations of one step by XLA's count, and over how many devices and slices the batch is split."""

    run: Run
    flop: float
    plan: step.BatchPlan


def _training_arrays(source: Dataset, active: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Padded images, masks where the phase takes them ready made, and targets."""
    padded = pad_to(source.train.images, source.size)
    masks = None
    if "f_b" in active and "f_m" not in active:
        masks = 255 * (padded > 0).any(axis=-1, keepdims=True).astype(np.uint8)
    return padded, masks, source.train.targets


def make_runner(config: ConfigDict, source: Dataset, active: tuple[str, ...]) -> Runner:
    """The phase's step, of one seed or of `config.seeds`, wired as train does it."""
    method = registry.make_method(config, source.describe())
    optimizers = state.make_optimizers(config)
    plan = step.plan_batch(config.batch_size, config.background.plain_share if "f_b" in active else 1.0, source.size)
    devices = jax.local_devices()[: plan.devices]
    options = {
        "method": method,
        "optimizers": optimizers,
        "active": active,
        "augmentation": config.augment.to_dict(),
    }
    training = step.TrainingData(*_training_arrays(source, active))
    count, seeds = len(training.images), len(config.seeds)
    weights_key = jax.random.key(config.seed, impl="rbg")  # compiles in a quarter of the time
    initial = jax.jit(lambda: state.init_state(config.seed, lambda _: method.init(weights_key), optimizers))()
    # XLA counts the body of a loop once, however often it runs, so the step is counted without its loop over slices.
    whole = functools.partial(step.train_step, plan=plan._replace(devices=1, slices=1), **options)
    shapes = jax.eval_shape(lambda *trees: trees, initial, training, jnp.zeros(count, jnp.int32))
    flop = jax.jit(whole).lower(*shapes, 0).cost_analysis()["flops"] * max(1, seeds)
    draw_order = step.make_draw_order(count, several_seeds=bool(seeds))
    if seeds:  # all alike, which costs what different ones do
        initial = state.stack_seeds([initial] * seeds)
        masks = None if training.masks is None else np.stack([training.masks] * seeds)
        training = training._replace(masks=masks)
    training, train_state = step.replicate(training, devices), step.replicate(initial, devices)
    train_step = step.make_train_step(devices, plan=plan, several_seeds=bool(seeds), **options)
    batches, done, order = count // config.batch_size, 0, None

    def run(steps):
        nonlocal train_state, done, order
        stop = done + steps
        while done < stop:
            if done % batches == 0:
                order = draw_order(train_state.key, done // batches)
            taken = min(stop - done, batches - done % batches)  # a call ends where an epoch does
            train_state, metrics = train_step(train_state, training, order, np.int32(taken))
            done += taken
        return jax.block_until_ready(metrics)

    return Runner(run, flop, plan)


def make_peer(config: ConfigDict, source: Dataset, active: tuple[str, ...], variant: str) -> Run:
    import torch

    from bginv_jax.speed import torch_peer

    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--peer=torch: JAX runs on a GPU, but this PyTorch was built without CUDA")
    arrays = _training_arrays(source, active)
    classes = len(source.class_names)
    return torch_peer.Trainer(config, *arrays, classes=classes, active=active, variant=variant, device=device).run


def seconds_per_step(run: Run, steps: int) -> float:
    """Seconds a step. The step before the clock starts is where the other side's threads and data make room."""
    run(1)
    start = time.perf_counter()
    run(steps)
    return (time.perf_counter() - start) / steps


def warm_up(run: Run) -> tuple[float, float]:
    """Seconds that the first call took beyond a step, which is compiling; and seconds a step."""
    start = time.perf_counter()
    run(1)
    first = time.perf_counter() - start
    usual = seconds_per_step(run, _TRIAL_STEPS)
    usual = seconds_per_step(run, max(_TRIAL_STEPS, round(_TRIAL_SECONDS / usual)))
    return max(first - usual, 0.0), usual


def fastest_peer(config, source, active) -> tuple[str, Run, float, float]:
    """The faster of eager and compiled PyTorch in a short trial: (variant, run, compile seconds, seconds a step)."""
    tried = []
    for variant in SIDES[1:] if jax.default_backend() == "gpu" else SIDES[1:3]:
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
    devices = jax.local_devices()
    sizes = (1024, 2048) if devices[0].platform == "cpu" else (4096, 8192)
    product, best = jax.pmap(jnp.matmul, devices=devices), 0.0
    for size in sizes:
        a = jax.pmap(lambda key, size=size: jax.random.normal(key, (size, size)))(
            jax.random.split(jax.random.key(0), len(devices))
        )
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
    first_device = jax.local_devices()[0]
    imports = _resident_mb()
    run = make_runner(config, source, active).run if side == "jax" else make_peer(config, source, active, side)
    run(_TRIAL_STEPS)
    if first_device.platform == "cpu":
        return {"peak_mb": _resident_mb(), "imports_mb": imports}
    stats = first_device.memory_stats() or {}
    peak = stats.get("peak_bytes_in_use", 0) if side == "jax" else torch.cuda.max_memory_allocated()
    return {"peak_mb": peak / 1e6, "imports_mb": 0.0}
