"""Times the steps of each phase, alone or side by side with a PyTorch peer: what `bginv_jax.benchmark` prints."""

import contextlib
import logging
from importlib import util
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from bginv_jax import config as configs
from bginv_jax import files
from bginv_jax.data import sources
from bginv_jax.data.dataset import Dataset
from bginv_jax.errors import InputError
from bginv_jax.jax_settings import own_settings
from bginv_jax.methods import registry
from bginv_jax.speed import memory, peer_fields, timing, turns
from bginv_jax.speed import peer as peers
from bginv_jax.training import devices as hardware
from bginv_jax.training import provenance

_LOG = logging.getLogger(__name__)

FEWEST_PAIRS = 7  # that a ratio and its range rest on


def _measure(
    config: ConfigDict, dataset: Dataset, phase: str, *, peer: bool, pairs: int, seconds: float, with_memory: bool
) -> dict:
    """The record of one phase and batch size: timings in blocks of seconds / pairs, the two sides by turns."""
    active, images = timing.PHASES[phase], config.batch_size * max(1, len(config.seeds))
    trials = peers.try_variants(config, dataset, active) if peer else []
    best = peers.fastest(trials) if peer else None
    ours = timing.make_runner(config, dataset, active)
    compile_seconds, usual = timing.warm_up(ours.run)
    with contextlib.ExitStack() as until_timed:
        sides = [(ours.run, usual)]
        if best:
            run = until_timed.enter_context(peers.started(config, dataset, active, best.variant))
            sides.append((run, timing.warm_up(run)[1]))
        blocks = [(run, max(1, round(seconds / pairs / usual))) for run, usual in sides]
        with turns.alone():
            rates = np.array([[images / timing.seconds_per_step(*block) for block in blocks] for _ in range(pairs)])
    medians = np.median(rates, axis=0)
    memory_mb, notes = memory.measure(config, phase, "jax") if with_memory else (memory.UNKNOWN, [])
    record = {
        "phase": phase,
        "networks": active,
        "batch_size": config.batch_size,
        "seeds": max(1, len(config.seeds)),
        "devices": ours.plan.devices,
        "slices": ours.plan.slices,
        "images_per_second": medians[0],
        "mflop_per_image": ours.flop and ours.flop / images / 1e6,
        "gflop_per_second": ours.flop and medians[0] * ours.flop / images / 1e9,
        "compile_seconds": compile_seconds,
        **memory_mb,
    }
    if best:
        ratios = rates[:, 0] / rates[:, 1]
        record |= {"ratio": np.median(ratios), "ratio_low": ratios.min(), "ratio_high": ratios.max()}
        record["ratios"] = ratios.tolist()
        memory_mb, peer_notes = memory.measure(config, phase, best.variant) if with_memory else (memory.UNKNOWN, [])
        record["peer"] = {
            "variant": best.variant,
            "images_per_second": medians[1],
            "compile_seconds": best.compile_seconds,
            "trials": {trial.variant: _trial_record(trial, images) for trial in trials},
            **memory_mb,
        }
        notes += [f"PyTorch {trial.variant} {note}" for trial in trials for note in trial.notes]
        notes += [f"PyTorch {best.variant}: {note}" for note in peer_notes]
    return record | ({"notes": notes} if notes else {})


def _trial_record(trial: peers.Trial, images: int) -> dict:
    """JSON values of a variant's short trial, where it failed without figures."""
    return {
        "images_per_second": trial.step_seconds and images / trial.step_seconds,
        "compile_seconds": trial.compile_seconds,
        "notes": list(trial.notes),
    }


def _check(config: ConfigDict, *, phases: list[str], peer: bool, pairs: int) -> None:
    if not phases:
        raise InputError(f"--phases is empty; allowed: {', '.join(timing.PHASES)}")
    fewest = FEWEST_PAIRS if peer else 1
    if pairs < fewest:
        raise InputError(f"--pairs is {pairs}; allowed: at least {fewest}{' with --peer=torch' if peer else ''}")
    if peer and util.find_spec("torch") is None:
        raise InputError("--peer=torch needs PyTorch: pip install 'bginv_jax[bench]'")
    if peer:
        peer_fields.check(config)
    trained, of = set(registry.METHODS[config.method].networks), f"config.method {config.method}"
    if config.mask.kind != "learned":
        trained, of = trained - {"f_m"}, f"{of} and config.mask.kind {config.mask.kind}"
    fits = [name for name, active in timing.PHASES.items() if set(active) <= trained]
    for phase in phases:
        if phase not in fits:
            raise InputError(f"--phases has {phase!r}; allowed with {of}: {', '.join(fits)}")


def _sized(config: ConfigDict, phase: str, batch_size: int) -> ConfigDict:
    """The config for one line of the table, valid: with the batch size, and a schedule that has the phase."""
    sized = config.copy_and_resolve_references()
    sized.batch_size = batch_size
    sized = timing.with_phase(sized, timing.PHASES[phase])
    configs.validate(sized)
    return sized


@own_settings()
def benchmark(
    config: ConfigDict,
    *,
    phases: list[str],
    batch_sizes: list[int],
    peer: bool,
    pairs: int,
    seconds: float,
    with_memory: bool = True,
    output: Path | None = None,
) -> dict:
    """Measures each phase at each batch size.

    Args:
      config: of the method, data and augmentation; its batch size does not matter, nor its schedule, besides that a
        phase is timed as the schedule has it, if it has it.
      phases: of timing.PHASES.
      batch_sizes: images per step.
      peer: whether PyTorch is timed beside.
      pairs: timings of each side.
      seconds: that the timings of a side take, for one phase and batch size.
      with_memory: whether peaks of memory are measured, too, each in processes that are started for it.
      output: a JSON file for the result, written after each line, so that it stays where time is cut short.

    Returns:
      JSON values: "machine", "records", and "best", by phase the ratio of each side's best batch size, with the peer.

    Raises:
      InputError: if a phase, batch size or number of pairs does not do, or the peer lacks what the config asks for.
    """
    _check(config, phases=phases, peer=peer, pairs=pairs)
    dataset = sources.load(config.data)
    count = len(dataset.train.images)
    for batch_size in batch_sizes:
        if not 1 <= batch_size <= count:
            raise InputError(f"--batch_size is {batch_size}; allowed: 1 to {count} images")
    lines = [(phase, _sized(config, phase, batch_size)) for phase in phases for batch_size in batch_sizes]
    rate = timing.matmul_rate()
    result: dict = {"machine": _machine(rate), "records": [], "best": {}}
    records = result["records"]
    for phase, sized in lines:
        record = _measure(sized, dataset, phase, peer=peer, pairs=pairs, seconds=seconds, with_memory=with_memory)
        flop_rate = record["gflop_per_second"]
        records.append(record | {"share_of_matmul": flop_rate and flop_rate / rate})
        _LOG.info("%s, batch size %d: %.0f images/s", phase, sized.batch_size, record["images_per_second"])
        for note in record.get("notes", ()):
            _LOG.warning("%s, batch size %d: %s", phase, sized.batch_size, note)
        _keep(result, output)
    for phase in phases if peer else ():
        of_phase = [record for record in records if record["phase"] == phase]
        theirs = max(record["peer"]["images_per_second"] for record in of_phase)
        result["best"][phase] = max(record["images_per_second"] for record in of_phase) / theirs
    _keep(result, output)
    return result


def _keep(result: dict, output: Path | None) -> None:
    if output:
        files.write_text(output, files.to_json(result, indent=1) + "\n")


def _machine(rate: float) -> dict:
    devices = hardware.local()
    packages = [name for name in ("jax", "jaxlib", "torch") if util.find_spec(name)]
    return {
        "backend": devices[0].platform,
        "device": devices[0].device_kind,
        "devices": len(devices),
        "matmul_gflop_per_second": rate,
        "versions": provenance.versions(packages),
    }


def _figure(value: float | None, form: str) -> str:
    """A dash where nobody knows."""
    return "-" if value is None else format(value, form)


def _megabytes(memory_mb: dict) -> str:
    peak, imports, first = (_figure(memory_mb[name], ".0f") for name in ("peak_mb", "imports_mb", "first_start_mb"))
    return f"{peak} ({imports}; {first})"


def _columns(record: dict) -> dict[str, str]:
    """A line of the table, by column."""
    columns = {
        "phase": record["phase"],
        "batch": str(record["batch_size"]),
        "images/s": f"{record['images_per_second']:.0f}",
        "GFLOP/s": _figure(record["gflop_per_second"], ".1f"),
        "of matmul": _figure(record["share_of_matmul"], ".0%"),
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
    """The result of `benchmark` as a plain table, with the notes of its lines below."""
    machine = result["machine"]
    rate = machine["matmul_gflop_per_second"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    title = f"{machine['devices']} {machine['device']} devices, {rate:.0f} GFLOP/s in float32 matmul; {versions}"
    lines = [_columns(record) for record in result["records"]]
    lines.insert(0, {name: name for name in lines[0]})
    widths = {name: max(len(line[name]) for line in lines) for name in lines[0]}
    table = ["  ".join(line[name].rjust(width) for name, width in widths.items()) for line in lines]
    notes = [
        f"{record['phase']}, batch {record['batch_size']}: {note}"
        for record in result["records"]
        for note in record.get("notes", ())
    ]
    best = [f"{phase}: {ratio:.2f}, each side at its best batch size" for phase, ratio in result["best"].items()]
    return "\n".join([title, *table, *notes, *best])
