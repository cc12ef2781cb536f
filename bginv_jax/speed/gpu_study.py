"""Where the time of a step goes on one GPU: python -m bginv_jax.speed.gpu_study --output=FOLDER

Measures, each part in a process of its own, and writes each figure as a line of FOLDER/gpu_study.jsonl as it comes:

    phases      microseconds a step of each phase, at each batch size
    profile     the kernels of the joint step by time, and how many it launches; profiled, XLA uses no command buffers
    commands_*  the joint step with XLA's command buffers as they are, without them, and with and without loops in them
    health      the joint step without the check that loss and gradients are finite
    seeds       one seed, several as a batch (vmap), and several one after the other (lax.map)
    precision   the joint step by precision of products, and with convolutions in bfloat16; what it learns in some steps

What a part writes to stderr goes to FOLDER/PART.log. A part that fails or takes too long says so in a line, and the
next goes on. Every figure is the median of blocks of steps, taken as training takes them.
"""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from ml_collections import ConfigDict

from bginv_jax import config as configs
from bginv_jax import files
from bginv_jax.backgrounds import BACKGROUNDS, compose_test
from bginv_jax.data import sources
from bginv_jax.data.dataset import Dataset
from bginv_jax.jax_settings import own_settings
from bginv_jax.speed import kernels, timing
from bginv_jax.training import devices as hardware
from bginv_jax.training import provenance
from bginv_jax.training import step as steps_of_training

PHASES = {"vanilla": ("f",), "mask": ("f_m",), "adversarial": ("f", "f_b"), "joint": ("f", "f_m", "f_b")}
_JOINT = PHASES["joint"]
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
    for batch_size in study.batch_sizes:
        for phase, active in PHASES.items():
            yield {"phase": phase, **study.time(study.at(batch_size), dataset, active)[1]}


def joint(study: Study, dataset: Dataset) -> Iterator[dict]:
    yield study.time(study.at(), dataset, _JOINT)[1]


def profile(study: Study, dataset: Dataset) -> Iterator[dict]:
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


def health(study: Study, dataset: Dataset) -> Iterator[dict]:
    yield {"checked": True, **study.time(study.at(), dataset, _JOINT)[1]}
    with mock.patch.object(steps_of_training, "_is_finite", return_value=True):
        yield {"checked": False, **study.time(study.at(), dataset, _JOINT)[1]}


def seeds(study: Study, dataset: Dataset) -> Iterator[dict]:
    yield {"seeds": 1, **study.time(study.at(), dataset, _JOINT)[1]}
    several = study.at(seeds=tuple(range(study.seeds)))
    for together, name in ((True, "vmap"), (False, "lax.map")):
        with mock.patch.object(steps_of_training, "seeds_side_by_side", return_value=together):
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


_COMMANDS = "--xla_gpu_enable_command_buffer="  # nothing, or kinds of commands with + and -
PARTS = {
    "phases": Part(phases, 0.35),
    "profile": Part(profile, 0.15),
    "commands_default": Part(joint, 0.12),
    "commands_off": Part(joint, 0.12, _COMMANDS),
    "commands_loops": Part(joint, 0.12, _COMMANDS + "+WHILE,+CONDITIONAL"),
    "commands_no_loops": Part(joint, 0.12, _COMMANDS + "-WHILE,-CONDITIONAL"),
    "health": Part(health, 0.15),
    "seeds": Part(seeds, 0.25),
    "precision": Part(precision, 0.3),
}


def _write(lines: Path, record: dict) -> None:
    with lines.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


@own_settings()
def measure_part(name: str, study: Study, lines: Path) -> None:
    """Measures one part in this process, and appends its records to `lines` as they come."""
    start = time.perf_counter()
    dataset = sources.load(study.config.data)
    origin = {**provenance.describe(), "xla_flags": os.environ.get("XLA_FLAGS", "")}
    _write(lines, {"part": name, "origin": origin, "seconds": time.perf_counter() - start})
    for record in PARTS[name].measure(study, dataset):
        _write(lines, {"part": name, **record, "seconds": time.perf_counter() - start})


def run_parts(names: list[str], output: Path, options: list[str], *, limit: float) -> bool:
    """Runs parts, each in a process of its own with `options`, for `limit` seconds together; says whether all did."""
    lines, end, complete = output / "gpu_study.jsonl", time.monotonic() + limit, True
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            part, left = PARTS[name], end - time.monotonic()
            environment = {
                **os.environ,
                "JAX_COMPILATION_CACHE_DIR": folder,  # the parts share the joint step's program
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
                "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
                "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {part.xla_flags}".strip(),
            }
            command = [sys.executable, "-m", "bginv_jax.speed.gpu_study", f"--output={output}", f"--part={name}"]
            failure = None
            with (output / f"{name}.log").open("w", encoding="utf-8") as log:
                try:
                    subprocess.run(
                        [*command, *options],
                        check=True,
                        stdout=log,
                        stderr=log,
                        env=environment,
                        timeout=max(0.1, min(part.share * limit, left)),
                    )
                except subprocess.TimeoutExpired as error:
                    failure = f"stopped after {error.timeout:.0f} s"
                except subprocess.CalledProcessError as error:
                    said = (output / f"{name}.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
                    failure = f"exit status {error.returncode}: {said[-1] if said else ''}"
            if failure:
                complete = False
                _write(lines, {"part": name, "failed": failure})
            print(f"{name}: {failure or 'done'}", flush=True)
    return complete


def main(_: Sequence[str]) -> None:
    values = flags.FLAGS
    output = files.check_folder(values.output, field="--output", files=["gpu_study.jsonl"])
    if values.part is None:
        given = {name: getattr(values, name) for name in ("seconds", "source", "seeds", "profiled", "learned")}
        options = [f"--{name}={value}" for name, value in given.items()]
        options += [f"--batch_sizes={size}" for size in values.batch_sizes]
        sys.exit(not run_parts(values.parts, output, options, limit=values.limit))
    config = configs.default_config()
    config.data.source = values.source
    study = Study(config, values.seconds, tuple(values.batch_sizes), values.seeds, values.profiled, values.learned)
    measure_part(values.part, study, output / "gpu_study.jsonl")


if __name__ == "__main__":
    usual = Study(configs.default_config())
    flags.DEFINE_string("output", None, "The folder for gpu_study.jsonl and the logs.", required=True)
    flags.DEFINE_float("seconds", usual.seconds, "That the blocks of a figure take together.", lower_bound=0)
    flags.DEFINE_float("limit", 420.0, "Seconds, of all parts together.", lower_bound=0)
    flags.DEFINE_list("parts", list(PARTS), "What is measured, in this order.")
    flags.DEFINE_multi_integer("batch_sizes", usual.batch_sizes, "Of the phases; all else is at the first.")
    flags.DEFINE_integer("seeds", usual.seeds, "That train together.", lower_bound=2)
    flags.DEFINE_integer("profiled", usual.profiled, "Steps that are profiled.", lower_bound=1)
    flags.DEFINE_integer("learned", usual.learned, "Steps after which precision is judged.", lower_bound=1)
    flags.DEFINE_string("source", usual.config.data.source, "config.data.source.")
    flags.DEFINE_enum("part", None, list(PARTS), "What the study calls itself with.")
    app.run(main)
