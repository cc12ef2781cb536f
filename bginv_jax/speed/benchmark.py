"""Times the steps of each phase, alone or side by side with a PyTorch peer, and prints a table.

python -m bginv_jax.benchmark [--config=FILE] [--phases=vanilla,mask] [--batch_size=64 ...] [--peer=torch]
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
from importlib import metadata, util

import numpy as np
from ml_collections import ConfigDict

from bginv_jax import config as configs
from bginv_jax.data import sources
from bginv_jax.data.dataset import Dataset
from bginv_jax.errors import InputError
from bginv_jax.methods import registry
from bginv_jax.speed import timing
from bginv_jax.training import devices as hardware

_LOG = logging.getLogger("bginv_jax.benchmark")  # run with -m, __name__ is __main__

PHASES = {"vanilla": ("f",), "mask": ("f_m",), "adversarial": ("f", "f_b"), "joint": ("f", "f_m", "f_b")}
FEWEST_PAIRS = 7  # that a ratio and its range rest on


def _memory(config: ConfigDict, phase: str, side: str) -> dict[str, float]:
    """Peak memory of a fresh process that takes a few steps of one side, MB, and what imports alone take of it.

    That of a second start, which finds the programs compiled; "first_start_mb" is that of the one that compiles.
    """
    fields = [f"--config.{name}={value}" for name, value in configs.flatten(config).items()]
    command = [sys.executable, "-m", "bginv_jax.benchmark", f"--measure_memory_of={side}", f"--phases={phase}"]
    command += [f"--batch_size={config.batch_size}", *fields]
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "JAX_COMPILATION_CACHE_DIR": folder,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "TORCHINDUCTOR_CACHE_DIR": folder,
        }
        starts = []
        for _ in range(1 if side == "eager" else 2):
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8", env=environment)
            starts.append(json.loads(done.stdout.splitlines()[-1]))
    return starts[-1] | {"first_start_mb": starts[0]["peak_mb"]}


def _measure(config: ConfigDict, source: Dataset, phase: str, *, peer: bool, pairs: int, seconds: float) -> dict:
    """The record of one phase and batch size: timings in blocks of seconds / pairs, the two sides by turns."""
    active, batch_size = PHASES[phase], config.batch_size
    ours = timing.make_runner(config, source, active)
    compile_seconds, usual = timing.warm_up(ours.run)
    sides = [(ours.run, usual)]
    if peer:
        variant, run, peer_compile_seconds, peer_usual = timing.fastest_peer(config, source, active)
        sides.append((run, peer_usual))
    blocks = [(run, max(1, round(seconds / pairs / usual))) for run, usual in sides]
    rates = np.array([[batch_size / timing.seconds_per_step(*block) for block in blocks] for _ in range(pairs)])
    medians = np.median(rates, axis=0)
    flop = ours.flop / batch_size
    record = {
        "phase": phase,
        "networks": active,
        "batch_size": batch_size,
        "devices": ours.plan.devices,
        "slices": ours.plan.slices,
        "images_per_second": medians[0],
        "mflop_per_image": flop / 1e6,
        "gflop_per_second": medians[0] * flop / 1e9,
        "compile_seconds": compile_seconds,
        **_memory(config, phase, "jax"),
    }
    if peer:
        ratios = rates[:, 0] / rates[:, 1]
        record |= {"ratio": np.median(ratios), "ratio_low": ratios.min(), "ratio_high": ratios.max()}
        record["ratios"] = ratios.tolist()
        record["peer"] = {
            "variant": variant,
            "images_per_second": medians[1],
            "compile_seconds": peer_compile_seconds,
            **_memory(config, phase, variant),
        }
    return record


def _check(config: ConfigDict, *, phases: list[str], peer: bool, pairs: int) -> None:
    if not phases:
        raise InputError(f"--phases is empty; allowed: {', '.join(PHASES)}")
    fewest = FEWEST_PAIRS if peer else 1
    if pairs < fewest:
        raise InputError(f"--pairs is {pairs}; allowed: at least {fewest}{' with --peer=torch' if peer else ''}")
    if peer and util.find_spec("torch") is None:
        raise InputError("--peer=torch needs PyTorch: pip install 'bginv_jax[bench]'")
    for name, value, only in (
        ("classifier", config.classifier, "cnn"),
        ("background.ink_share", config.background.ink_share, 0.0),
        ("mask.erosion", config.mask.erosion, 0),
        ("augment.elastic", config.augment.elastic, 0.0),
        ("label_smoothing", config.label_smoothing, 0.0),
        ("weight_decay", config.weight_decay, 0.0),
    ):
        if peer and value != only:
            raise InputError(f"config.{name} is {value!r}; allowed with --peer=torch: {only}")
    fits = [name for name, active in PHASES.items() if set(active) <= set(registry.METHODS[config.method].networks)]
    for phase in phases:
        if phase not in fits:
            raise InputError(f"--phases has {phase!r}; allowed with config.method {config.method}: {', '.join(fits)}")


def benchmark(
    config: ConfigDict, *, phases: list[str], batch_sizes: list[int], peer: bool, pairs: int, seconds: float
) -> dict:
    """Measures each phase at each batch size.

    Args:
      config: of the method, data and augmentation; its schedule and batch size do not matter.
      phases: of PHASES.
      batch_sizes: images per step.
      peer: whether PyTorch is timed beside.
      pairs: timings of each side.
      seconds: that the timings of a side take, for one phase and batch size.

    Returns:
      JSON values: "machine", "records", and "best", by phase the ratio of each side's best batch size, with the peer.

    Raises:
      ValueError: if a phase, batch size or number of pairs does not do.
    """
    _check(config, phases=phases, peer=peer, pairs=pairs)
    source = sources.load(config.data)
    count = len(source.train.images)
    for batch_size in batch_sizes:
        if not 1 <= batch_size <= count:
            raise InputError(f"--batch_size is {batch_size}; allowed: 1 to {count} images")
    rate = timing.matmul_rate()
    records = []
    for phase in phases:
        for batch_size in batch_sizes:
            sized = config.copy_and_resolve_references()
            sized.batch_size = batch_size
            configs.validate(sized)
            record = _measure(sized, source, phase, peer=peer, pairs=pairs, seconds=seconds)
            records.append(record | {"share_of_matmul": record["gflop_per_second"] / rate})
            _LOG.info("%s, batch size %d: %.0f images/s", phase, batch_size, record["images_per_second"])
    best = {}
    for phase in phases if peer else ():
        own = [record for record in records if record["phase"] == phase]
        theirs = max(record["peer"]["images_per_second"] for record in own)
        best[phase] = max(record["images_per_second"] for record in own) / theirs
    return {"machine": _machine(rate), "records": records, "best": best}


def _machine(rate: float) -> dict:
    devices = hardware.local()
    packages = [name for name in ("jax", "jaxlib", "torch") if util.find_spec(name)]
    return {
        "backend": devices[0].platform,
        "device": devices[0].device_kind,
        "devices": len(devices),
        "matmul_gflop_per_second": rate,
        "versions": {name: metadata.version(name) for name in packages},
    }


def _megabytes(memory: dict) -> str:
    return f"{memory['peak_mb']:.0f} ({memory['imports_mb']:.0f}; {memory['first_start_mb']:.0f})"


def _columns(record: dict, rate: float) -> dict[str, str]:
    """A line of the table, by column."""
    columns = {
        "phase": record["phase"],
        "batch": str(record["batch_size"]),
        "images/s": f"{record['images_per_second']:.0f}",
        "GFLOP/s": f"{record['gflop_per_second']:.1f}",
        "of matmul": f"{record['gflop_per_second'] / rate:.0%}",
        "MB (imports; 1st start)": _megabytes(record),
        "compile s": f"{record['compile_seconds']:.1f}",
    }
    if peer := record.get("peer"):
        columns |= {
            "PyTorch images/s": f"{peer['variant']} {peer['images_per_second']:.0f}",
            "its MB": _megabytes(peer),
            "ratio (range)": f"{record['ratio']:.2f} ({record['ratio_low']:.2f}..{record['ratio_high']:.2f})",
        }
    return columns


def text(result: dict) -> str:
    """The result of `benchmark` as a plain table."""
    machine = result["machine"]
    rate = machine["matmul_gflop_per_second"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    title = f"{machine['devices']} {machine['device']} devices, {rate:.0f} GFLOP/s in float32 matmul; {versions}"
    lines = [_columns(record, rate) for record in result["records"]]
    lines.insert(0, {name: name for name in lines[0]})
    widths = {name: max(len(line[name]) for line in lines) for name in lines[0]}
    table = ["  ".join(line[name].rjust(width) for name, width in widths.items()) for line in lines]
    best = [f"{phase}: {ratio:.2f}, each side at its best batch size" for phase, ratio in result["best"].items()]
    return "\n".join([title, *table, *best])
