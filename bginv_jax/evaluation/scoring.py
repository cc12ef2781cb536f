"""Trained workdirs on the test digits of a data set, on each background: records, of which report draws the tables."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from bginv_jax.backgrounds import patterns as backgrounds
from bginv_jax.data import sources
from bginv_jax.data.dataset import Dataset
from bginv_jax.errors import InputError
from bginv_jax.evaluation import predictors
from bginv_jax.images.masks import overlap
from bginv_jax.images.pixels import pad_to
from bginv_jax.training import step

_LOG = logging.getLogger(__name__)

RATES = tuple(i / 100 for i in range(11)) + tuple(i / 10 for i in range(2, 11))


class Run(NamedTuple):
    """A workdir: its seeds and the data set that they are scored on."""

    workdir: Path
    seeds: list[predictors.Trained]
    dataset: Dataset


def load(workdirs: Iterable[str | Path], *, source: str | None = None, folder: str | None = None) -> list[Run]:
    """Reads workdirs and, once each, the data sets of their training, unless `source` or `folder` name another.

    Args:
      workdirs: folders that `bginv_jax.train` wrote.
      source: as config.data.source.
      folder: as config.data.dir.

    Raises:
      ValueError: if a workdir has no checkpoint, or the data cannot be read, or are not those of training in shape or
        number of classes.
    """
    workdirs = list(workdirs)
    for workdir in workdirs:
        predictors.check_workdir(workdir)
    known: dict[str, tuple[Dataset, str]] = {}
    runs = []
    for workdir in workdirs:
        seeds = predictors.load_seeds(workdir)
        named = seeds[0].config.data.copy_and_resolve_references()
        named.update({name: value for name, value in (("source", source), ("dir", folder)) if value is not None})
        key = named.to_json()
        if key not in known:
            dataset = sources.load(named)
            known[key] = dataset, dataset.describe()["sha256"]
        dataset, digest = known[key]
        trained_on = seeds[0].dataset
        if source is None and digest != trained_on["sha256"]:
            _LOG.warning("%s: the images or labels of %s have changed since it was trained", workdir, dataset.name)
        for what, expected, actual in (
            ("images of", tuple(trained_on["shape"]), dataset.shape),
            ("classes, in number", len(trained_on["class_names"]), len(dataset.class_names)),
        ):
            if expected != actual:
                raise InputError(f"data set {dataset.name}: {what} {actual}; expected {expected}, as in training")
        runs.append(Run(Path(workdir).expanduser(), seeds, dataset))
    return runs


def _score(run: Run, patterns: Iterable[tuple[dict, np.ndarray | None]]) -> list[dict]:
    """Scores every test image exactly once on each pattern, or as it is, with each seed: records by seed."""
    forward = step.make_forward(run.seeds[0].method.predict, jax.local_devices())
    padded = pad_to(run.dataset.test.images, run.dataset.size)
    kept = backgrounds.with_halo(run.dataset.test.objects(run.dataset.size))
    by_seed: list[list[dict]] = [[] for _ in run.seeds]
    for name, pattern in patterns:
        composed = padded if pattern is None else backgrounds.compose_test(padded, pattern, kept=kept)
        for trained, records in zip(run.seeds, by_seed, strict=True):
            hits = np.asarray(trained.method.task.score(forward(trained.params, composed), run.dataset.test.targets))
            correct, count = int(hits.sum()), len(hits)
            records.append(
                {
                    "dataset": run.dataset.name,
                    "method": trained.config.method,
                    "seed": trained.config.seed,
                    **name,
                    "correct": correct,
                    "count": count,
                    "accuracy": 100 * correct / count,
                }
            )
    return [record for records in by_seed for record in records]


def score(run: Run) -> list[dict]:
    """A record for each seed and each of the table's backgrounds, in the table's order."""
    drawn = {name: draw(run.dataset.size) for name, draw in backgrounds.BACKGROUNDS.items()} | {"none": None}
    return _score(run, (({"background": name}, pattern) for name, pattern in drawn.items()))


def mask_overlaps(run: Run) -> list[float]:
    """The mean IoU, in percent, of each seed's cut masks with the true objects of the test images; [] without masks."""
    method = run.seeds[0].method
    if method.predict_mask is None:
        return []
    forward = step.make_forward(lambda params, x: method.binarize(method.predict_mask(params, x)), jax.local_devices())
    padded, objects = (
        pad_to(run.dataset.test.images, run.dataset.size),
        run.dataset.test.objects(run.dataset.size),
    )
    return [100 * float(overlap(forward(one.params, padded) > 0.5, objects).mean()) for one in run.seeds]


def sweep(run: Run) -> list[dict]:
    """As `score`, of the first seed, on the Random background at each of RATES: records have a "rate" instead."""
    drawn = ((rate, backgrounds.random(run.dataset.size, rate)) for rate in RATES)
    return _score(run._replace(seeds=run.seeds[:1]), (({"rate": rate}, pattern) for rate, pattern in drawn))
