"""Trained workdirs on the test images of a data set, on each background: records, of which the tables are drawn."""

import dataclasses
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from bginv_jax.backgrounds import patterns
from bginv_jax.data import sources
from bginv_jax.data.dataset import Dataset
from bginv_jax.errors import InputError, MissingDataError
from bginv_jax.evaluation import predictors
from bginv_jax.images.masks import overlap
from bginv_jax.methods.tasks import Targets, Task
from bginv_jax.training import devices as hardware

_LOG = logging.getLogger(__name__)

RATES = tuple(i / 100 for i in range(11)) + tuple(i / 10 for i in range(2, 11))


class TrainedRun(NamedTuple):
    """A workdir: its seeds and the data set that they are scored on."""

    workdir: Path
    seeds: list[predictors.Trained]
    dataset: Dataset


def _load_dataset(data: ConfigDict) -> Dataset:
    try:
        return sources.load(data)
    except MissingDataError as error:
        raise InputError(f"{error}; --source and --dir name the place where the data are now") from error


def load(workdirs: Iterable[str | Path], *, source: str | None = None, folder: str | None = None) -> list[TrainedRun]:
    """Reads workdirs and, once each, the data sets of their training, unless `source` or `folder` name another.

    The data of training keep the name that they had then, wherever they lie now, so that their records meet.

    Args:
      workdirs: folders that `bginv_jax.train` wrote.
      source: as config.data.source.
      folder: as config.data.dir.

    Raises:
      ValueError: if a workdir has no checkpoint, or the data cannot be read, or are not those of training in shape or
        number of classes.
    """
    workdirs = [predictors.find_workdir(workdir) for workdir in workdirs]
    known: dict[str, Dataset] = {}
    by_content: dict[tuple, Dataset] = {}
    runs: list[TrainedRun] = []
    for workdir in workdirs:
        seeds = predictors.load_seeds(workdir)
        named = seeds[0].config.data.copy_and_resolve_references()
        named.update({name: value for name, value in (("source", source), ("dir", folder)) if value is not None})
        key = named.to_json()
        if key not in known:
            known[key] = _load_dataset(named)
        dataset, trained_on = known[key], seeds[0].description
        digest = dataset.description.sha256
        if digest == trained_on.sha256 and source is not None:
            dataset = dataclasses.replace(dataset, name=trained_on.name)
        elif digest != trained_on.sha256:
            what = "have changed since it was trained" if source is None else "are not those that it was trained on"
            _LOG.warning("%s: the images or labels of %s %s", workdir, dataset.name, what)
        dataset = by_content.setdefault((digest, dataset.class_names), dataset)
        for what, expected, actual in (
            ("images of", trained_on.shape, dataset.shape),
            ("classes, in number", len(trained_on.class_names), len(dataset.class_names)),
        ):
            if expected != actual:
                raise InputError(f"data set {dataset.name}: {what} {actual}; expected {expected}, as in training")
        runs.append(TrainedRun(predictors.find_workdir(workdir), seeds, dataset))
    return runs


def record(task: Task, measures: dict[str, np.ndarray]) -> dict[str, Any]:
    """What a record says of all images, from the task's measures of each; other than the accuracy, it is named."""
    values = task.record(measures)
    if task.shown == "accuracy":
        return values
    return values | {"measure": task.shown, "larger_is_better": task.larger_is_better}


def measure(task: Task, outputs: np.ndarray, targets: Targets) -> dict[str, np.ndarray]:
    """The task's measures of each image, by name."""
    return {name: np.asarray(values) for name, values in task.measures(outputs, targets).items()}


def _score(run: TrainedRun, patterns_by_name: Iterable[tuple[dict, np.ndarray | None]]) -> list[dict]:
    """Scores every test image exactly once on each pattern, or as it is, with each seed: records by seed."""
    forward = hardware.make_forward(run.seeds[0].method.predict, hardware.local())
    test = run.dataset.test
    kept = patterns.with_halo(test.objects)
    by_seed: list[list[dict]] = [[] for _ in run.seeds]
    for name, pattern in patterns_by_name:
        composed = test.images if pattern is None else patterns.compose_test(test.images, pattern, kept=kept)
        for trained, records in zip(run.seeds, by_seed, strict=True):
            measures = measure(trained.method.task, forward(trained.networks, composed), test.targets)
            head = {"dataset": run.dataset.name, "method": trained.config.method, "seed": trained.config.seed, **name}
            records.append(head | record(trained.method.task, measures))
    return [one for records in by_seed for one in records]


def score(run: TrainedRun) -> list[dict]:
    """A record for each seed and each of the table's backgrounds, in the table's order."""
    drawn = {name: draw(run.dataset.size) for name, draw in patterns.BACKGROUNDS.items()} | {"none": None}
    return _score(run, (({"background": name}, pattern) for name, pattern in drawn.items()))


def mask_overlaps(run: TrainedRun) -> list[float]:
    """The mean IoU, in percent, of each seed's cut masks with the true objects of the test images; [] without masks."""
    method, test = run.seeds[0].method, run.dataset.test
    if method.predict_mask is None:
        return []
    forward = hardware.make_forward(method.ready_masks, hardware.local())
    masks = (forward(one.networks, test.images) > 0.5 for one in run.seeds)
    return [100 * float(overlap(found, test.objects).mean()) for found in masks]


def sweep(run: TrainedRun) -> list[dict]:
    """As `score`, of the first seed, on the Random background at each of RATES: records have a "rate" instead."""
    drawn = ((rate, patterns.random(run.dataset.size, rate)) for rate in RATES)
    return _score(run._replace(seeds=run.seeds[:1]), (({"rate": rate}, pattern) for rate, pattern in drawn))
