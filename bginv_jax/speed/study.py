"""What the study of a GPU measures: a step by phase, kernel, setting of XLA, check, seeds and precision.

Every part takes a study and a data set, and yields records as they come.
"""

import contextlib
import dataclasses
import operator
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from bginv_jax.backgrounds import BACKGROUNDS, compose_test
from bginv_jax.data.dataset import Dataset
from bginv_jax.speed import kernels, timing, turns
from bginv_jax.training import devices as hardware
from bginv_jax.training import step as steps_of_training
from bginv_jax.training import wiring

_JOINT = timing.PHASES["joint"]
_BLOCKS = 5
_KERNELS = 25  # of the profile, by time


@dataclasses.dataclass(frozen=True)
class Study:
    """What is measured, on how much.

    seconds: that a figure's blocks take together.
    batch_sizes: of phases; all else is at the first.
    seeds: that train together.
    profiled: steps of the profile.
    learned: steps after which "precision" says what was learned.
    """

    config: ConfigDict
    seconds: float = 1.0
    batch_sizes: tuple[int, ...] = (64, 1024)
    seeds: int = 5
    profiled: int = 50
    learned: int = 1000

    def at(self, batch_size: int | None = None, **fields: Any) -> ConfigDict:
        """The config at a batch size, the first by default."""
        config = self.config.copy_and_resolve_references()
        config.update({"batch_size": batch_size or self.batch_sizes[0], **fields})
        return config

    def time(self, config: ConfigDict, dataset: Dataset, active: tuple[str, ...]) -> tuple[timing.Runner, dict]:
        """A runner, warm, and its figures."""
        runner = timing.make_runner(config, dataset, active)
        compile_seconds, usual = timing.warm_up(runner.run)
        block = max(1, round(self.seconds / _BLOCKS / usual))
        with turns.alone():
            times = [1e6 * timing.seconds_per_step(runner.run, block) for _ in range(_BLOCKS)]
        microseconds, seeds = float(np.median(times)), max(1, len(config.seeds))
        return runner, {
            "batch_size": config.batch_size,
            "microseconds_per_step": microseconds,
            "lowest": min(times),
            "highest": max(times),
            "images_per_second": 1e6 * config.batch_size * seeds / microseconds,
            "gflop_per_second": runner.flop and runner.flop / microseconds / 1e3,
            "compile_seconds": compile_seconds,
        }


def phases(study: Study, dataset: Dataset) -> Iterator[dict]:
    """A record of each phase at each batch size: microseconds and images a second, operations, seconds to compile."""
    for batch_size in study.batch_sizes:
        for phase, active in timing.PHASES.items():
            yield {"phase": phase, **study.time(study.at(batch_size), dataset, active)[1]}


def joint(study: Study, dataset: Dataset) -> Iterator[dict]:
    """A record of the joint step, as `phases` has it."""
    yield study.time(study.at(), dataset, _JOINT)[1]


def profile(study: Study, dataset: Dataset) -> Iterator[dict]:
    """A record of the joint step, profiled, and one of each of its kernels that take longest."""
    runner, figures = study.time(study.at(), dataset, _JOINT)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            start = time.perf_counter()
            runner.run(study.profiled)
            wall = time.perf_counter() - start
        whole, top = kernels.summary(list(kernels.launches(folder)), study.profiled, most=_KERNELS)
    profiled = 1e6 * wall / study.profiled
    yield {**figures, "profiled_microseconds_per_step": profiled, **whole}
    yield from top


@contextlib.contextmanager
def _gradients_checked(checked: bool) -> Iterator[None]:
    """Every step looks at its gradients or does not, whatever the device."""
    learning = wiring.Run.learning

    def patched(run, phase):
        return dataclasses.replace(learning(run, phase), check_gradients=checked)

    with mock.patch.object(wiring.Run, "learning", patched):
        yield


def health(study: Study, dataset: Dataset) -> Iterator[dict]:
    """A record of the joint step for each way of looking whether it is finite."""
    for checked, name in ((False, "metrics"), (True, "metrics and gradients")):
        with _gradients_checked(checked):
            yield {"checked": name, **study.time(study.at(), dataset, _JOINT)[1]}
    with mock.patch.object(steps_of_training, "_is_finite", return_value=True):
        yield {"checked": "nothing", **study.time(study.at(), dataset, _JOINT)[1]}


def _unrolled(function: Callable, *trees: Any) -> Any:
    """As `in_turn`, each seed's operations in the program by themselves, so that they may run at the same time."""
    count = len(jax.tree.leaves(trees)[0])
    of_seeds = [jax.tree.map(operator.itemgetter(i), trees) for i in range(count)]
    results = [function(*parts) for parts in of_seeds]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *results)


def seeds(study: Study, dataset: Dataset) -> Iterator[dict]:
    """A record of one seed's joint step, and of several seeds' in each of three ways."""
    yield {"seeds": 1, **study.time(study.at(), dataset, _JOINT)[1]}
    several = study.at(seeds=tuple(range(study.seeds)))
    ways = {"vmap": steps_of_training.batched, "lax.map": steps_of_training.in_turn, "unrolled": _unrolled}
    for name, way in ways.items():
        with mock.patch.object(steps_of_training, "map_seeds", return_value=way):
            yield {"seeds": study.seeds, "by": name, **study.time(several, dataset, _JOINT)[1]}


@contextlib.contextmanager
def _bfloat16_convolutions() -> Iterator[None]:
    """Convolutions, forward and backward, of operands rounded to bfloat16, with results in float32."""
    convolve = jax.lax.conv_general_dilated

    def rounded(lhs, rhs, *arguments, **options):
        return convolve(lhs.astype(jnp.bfloat16), rhs.astype(jnp.bfloat16), *arguments, **options).astype(lhs.dtype)

    with mock.patch.object(jax.lax, "conv_general_dilated", rounded):
        yield


def _accuracy(study: Study, dataset: Dataset) -> dict[str, float]:
    """Per cent of test images, clean and on the mean of all backgrounds, after `learned` joint steps from the start."""
    config = study.at()
    run, _ = timing.wire(config, dataset, _JOINT)
    runner = timing.make_runner(config, dataset, _JOINT)
    runner.run(study.learned)
    predict = hardware.make_forward(run.method.predict, run.devices)
    networks = runner.state().networks()
    correct = {
        name: 100 * float(np.mean(predict(networks, images).argmax(-1) == dataset.test.targets))
        for name in BACKGROUNDS
        for images in [compose_test(dataset.test.images, name)]
    }
    return {
        "steps": study.learned,
        "accuracy_clean": correct["none"],
        "accuracy_mean": float(np.mean([*correct.values()])),
    }


def precision(study: Study, dataset: Dataset) -> Iterator[dict]:
    """A record of the joint step in each precision of products, with what it has learned after some steps."""
    ways = {name: jax.default_matmul_precision(name) for name in ("tensorfloat32", "bfloat16", "highest")}
    ways = {"default": contextlib.nullcontext(), "bfloat16 convolutions": _bfloat16_convolutions(), **ways}
    for name, way in ways.items():
        with way:
            figures = study.time(study.at(), dataset, _JOINT)[1]
            yield {"precision": name, **figures, **_accuracy(study, dataset)}


@dataclasses.dataclass(frozen=True)
class Part:
    """measure(study, dataset) -> records, in a process with `xla_flags`, for a share of all parts' limit at most."""

    measure: Callable[[Study, Dataset], Iterator[dict]]
    share: float
    xla_flags: str = ""


_CONCURRENT = "--xla_gpu_command_buffer_scheduling_mode=CONCURRENT"  # what needs nothing of another runs beside it
_COMMANDS = "--xla_gpu_enable_command_buffer="  # nothing, or kinds of commands with + and -
PARTS = {
    "phases": Part(phases, 0.35),
    "profile": Part(profile, 0.15),
    "commands_default": Part(joint, 0.12),
    "commands_off": Part(joint, 0.12, _COMMANDS),
    "commands_loops": Part(joint, 0.12, _COMMANDS + "+WHILE,+CONDITIONAL"),
    "commands_no_loops": Part(joint, 0.12, _COMMANDS + "-WHILE,-CONDITIONAL"),
    "commands_concurrent": Part(joint, 0.12, _CONCURRENT),
    "commands_concurrent_loops": Part(joint, 0.12, f"{_CONCURRENT} {_COMMANDS}+WHILE,+CONDITIONAL"),
    "health": Part(health, 0.15),
    "seeds": Part(seeds, 0.25),
    "precision": Part(precision, 0.3),
}
