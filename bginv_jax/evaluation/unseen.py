"""Scores on backgrounds that no network was trained on: the records and the table of `bginv_jax.unseen`."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bginv_jax import files
from bginv_jax.backgrounds import families
from bginv_jax.backgrounds import photographs as pictures
from bginv_jax.backgrounds.settings import Setting, set_before, vary
from bginv_jax.errors import InputError
from bginv_jax.evaluation import playing, scoring, table1
from bginv_jax.evaluation.records import by_measure, heading, larger_is_better, measure_of, number, unit_of, value
from bginv_jax.images.augment import random_crops
from bginv_jax.images.pixels import as_float
from bginv_jax.jax_settings import own_settings
from bginv_jax.tasks.contract import Targets, Task, join
from bginv_jax.training import devices as hardware

_LOG = logging.getLogger(__name__)

EPISODES = 40  # that are played in each setting
FILES = ("unseen.jsonl", "unseen.md")

_TOGETHER = 1000  # images; bounds the memory of outputs for each pixel
_EVERY = "every"
GROUPS = {
    "report": families.REPORT,
    "development": families.DEVELOPMENT,
    **{f"fold{i}": fold for i, fold in enumerate(families.FOLDS)},
}


class Measured(NamedTuple):
    """What `Task.measure` gives of the images in a setting, and how bad each is, (N,), larger for worse."""

    values: dict[str, np.ndarray]
    harm: np.ndarray


def measure_settings(
    predict: Callable[[np.ndarray], np.ndarray],
    task: Task,
    x: np.ndarray,
    objects: np.ndarray,
    targets: Targets,
    settings: Sequence[Setting],
) -> list[Measured]:
    """What the task measures of each image in each setting.

    Args:
      predict: images (N, S, S, C) -> outputs.
      task: what is measured.
      x: images (N, S, S, C), uint8 or float in [0, 1].
      objects: masks (N, S, S, 1), what is an object.
      targets: with a leading N.
      settings: of `vary`.
    """
    measured: list[list[Measured]] = [[] for _ in settings]
    for start in range(0, len(x), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        of_part = jax.tree.map(lambda leaf, part=part: leaf[part], targets)
        for parts, composed in zip(measured, set_before(x[part], objects[part], settings), strict=True):
            parts.append(_measure(task, predict(composed), of_part))
    return [
        Measured(join([one.values for one in parts]), np.concatenate([one.harm for one in parts])) for parts in measured
    ]


def _measure(task: Task, outputs: np.ndarray, targets: Targets) -> Measured:
    """The harm is what the task shows, or its loss where that is a value of whole sets alone."""
    values = task.measure(outputs, targets)
    if task.shown not in values:
        return Measured(values, np.asarray(task.loss(jnp.asarray(outputs), targets)))
    shown = values[task.shown].astype(np.float32)
    return Measured(values, -shown if task.larger_is_better else shown)


def _played(task: Task, values: dict[str, np.ndarray]) -> Measured:
    """Of episodes."""
    return Measured(values, -values[task.shown] if task.larger_is_better else values[task.shown])


def _worst(measured: Sequence[Measured]) -> dict[str, np.ndarray]:
    """What was measured of each image in its worst setting."""
    worst = np.argmax([one.harm for one in measured], axis=0)
    places = np.arange(len(worst))
    return {name: np.stack([one.values[name] for one in measured])[worst, places] for name in measured[0].values}


def score(run: scoring.TrainedRun, settings: Sequence[Setting]) -> list[dict]:
    """A record for each seed and setting; and of each seed one of family "every": of each image the worst setting."""
    forward = hardware.make_forward(run.seeds[0].method.predict, hardware.local())
    play = playing.make_player(run.world, run.seeds[0].method.predict, episodes=EPISODES) if run.world else None
    test, whole = run.dataset.test, Setting(_EVERY, np.zeros(0), 0, 0.0)
    records = []
    for one in run.seeds:
        task = one.method.task
        predict = partial(forward, one.networks)
        if play:
            measured = [
                _played(task, play(one.networks, each.background, halo=each.halo, contrast=each.contrast))
                for each in settings
            ]
        else:
            measured = measure_settings(predict, task, test.images, test.objects, test.targets, settings)
        measures_by_setting = [*(found.values for found in measured), _worst(measured)]
        for setting, measures in zip([*settings, whole], measures_by_setting, strict=True):
            head = {"dataset": run.dataset.name, "workdir": run.workdir.name, "seed": one.config.seed}
            head |= {"family": setting.family, "halo": setting.halo, "contrast": setting.contrast}
            records.append(head | scoring.record(task, measures))
        shown = value(records[-1])
        _LOG.info("%s, seed %d: %s on every one %.4g", run.workdir.name, one.config.seed, task.shown, shown)
    return records


def _mean_and_worst(records: Sequence[dict]) -> list[str]:
    """Over the settings, and then the mean over the seeds."""
    by_seed: dict[int, list[float]] = {}
    for record in records:
        by_seed.setdefault(record["seed"], []).append(value(record))
    worst = min if larger_is_better(records) else max
    means = [float(np.mean([how(values) for values in by_seed.values()])) for how in (np.mean, worst)]
    return [number(mean, measure_of(records), unit_of(records)) for mean in means]


def table(records: Sequence[dict]) -> list[list[str]]:
    """Records as cells: for each workdir the mean and the worst of what is measured by family, halo and contrast."""
    measure = measure_of(records)
    singles = [record for record in records if record["family"] != _EVERY]
    parts = {"all": singles}
    for name in ("family", "halo", "contrast"):
        for kind in dict.fromkeys(record[name] for record in singles):
            parts[kind if name == "family" else f"{name} {kind:g}"] = [one for one in singles if one[name] == kind]
    every = "right on every one" if measure == "accuracy" else "each image's worst"
    parts[every] = [record for record in records if record["family"] == _EVERY]
    runs = list(dict.fromkeys(record["workdir"] for record in records))
    cells = [[heading(records), *(f"{run}, {what}" for run in runs for what in ("mean", "worst"))]]
    for title, part in parts.items():
        found = (_mean_and_worst([one for one in part if one["workdir"] == run]) for run in runs)
        cells.append([title, *(cell for pair in found for cell in pair)])
    return cells


def draw(names: Sequence[str], count: int, photographs: str | None, *, size: int, channels: int, seed: int) -> dict:
    """`count` backgrounds (count, S, S, C) of each family by name, and as many crops of photographs from a folder."""
    drawn = {name: families.draw([name], count, size=size, channels=channels, seed=seed) for name in names}
    if photographs:
        whole = pictures.load_photographs(photographs, size=size, channels=channels, field="--photographs")
        crops = random_crops(jax.random.split(jax.random.key(seed), count), jnp.asarray(whole), size=size)
        drawn["photographs"] = np.asarray(as_float(crops))
    return drawn


def _keep(run: scoring.TrainedRun, seeds: Sequence[int]) -> scoring.TrainedRun:
    kept = [one for one in run.seeds if one.config.seed in seeds]
    if not kept:
        known = ", ".join(str(one.config.seed) for one in run.seeds)
        raise InputError(f"--seeds is {', '.join(map(str, seeds))}; workdir {run.workdir} has {known}")
    return run._replace(seeds=kept)


@own_settings()
def write(
    runs: Sequence[scoring.TrainedRun],
    output: str | Path,
    *,
    families: Sequence[str],
    count: int,
    photographs: str | None,
    seed: int,
    seeds: Sequence[int] | None,
) -> None:
    """Scores `runs` on `count` backgrounds of each family, writes records and table to `output`, prints the table.

    Args:
      runs: of `scoring.load`.
      output: a folder, made where it is missing.
      families: names in `families.FAMILIES`.
      count: backgrounds of each.
      photographs: a folder from which as many crops are taken, or None.
      seed: of the backgrounds.
      seeds: which of the runs' seeds are scored; None is all.

    Raises:
      ValueError: for seeds that a run lacks, runs of several measures or whose folders have one name, or a folder that
        cannot be written.
    """
    scoring.check_measures(runs)
    if seeds:
        known = {one.config.seed for run in runs for one in run.seeds}
        if not known >= set(seeds):
            given, found = (", ".join(map(str, numbers)) for numbers in (seeds, sorted(known)))
            raise InputError(f"--seeds is {given}; the workdirs have {found}")
        runs = [_keep(run, seeds) for run in runs]
    names = [run.workdir.name for run in runs]
    if len(set(names)) < len(names):
        given = ", ".join(str(run.workdir) for run in runs)
        raise InputError(f"--workdir is {given}; expected folders of different names")
    output = files.check_folder(output, field="output", files=FILES)
    records = []
    for run in runs:
        shape = {"size": run.dataset.size, "channels": run.dataset.shape[-1]}
        records += score(run, vary(draw(families, count, photographs, seed=seed, **shape)))
    files.write_json_lines(output / "unseen.jsonl", records)
    tables = [table(shown) for shown in by_measure(records)]
    files.write_text(output / "unseen.md", "\n".join(map(table1.as_markdown, tables)))
    print("\n\n".join(map(table1.as_text, tables)))
    print(f"written to {output}: unseen.jsonl, unseen.md")
