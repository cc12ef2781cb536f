"""Trained workdirs on the test images of a data set, on each background: records, of which the tables are drawn."""

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from bginv_jax.backgrounds import patterns
from bginv_jax.data import sources
from bginv_jax.data.dataset import Dataset, Split
from bginv_jax.data.description import Description
from bginv_jax.errors import InputError, MissingDataError, some
from bginv_jax.evaluation import playing, predictors
from bginv_jax.images.masks import overlap
from bginv_jax.tasks.contract import Shown, Task, join
from bginv_jax.training import devices as hardware
from bginv_jax.worlds.contract import World
from bginv_jax.worlds.registry import find_world

_LOG = logging.getLogger(__name__)

_TOGETHER = 1024  # images, at most, whose composites and outputs are held at once
EPISODES = 200  # that are played before each background
RATES = tuple(i / 100 for i in range(11)) + tuple(i / 10 for i in range(2, 11))


class TrainedRun(NamedTuple):
    """A workdir: its seeds and the data set that they are scored on."""

    workdir: Path
    seeds: list[predictors.Trained]
    dataset: Dataset

    @property
    def world(self) -> World | None:
        """What is played instead of scoring images, where f acts."""
        return find_world(self.dataset.name)


def _load_dataset(data: ConfigDict) -> Dataset:
    try:
        return sources.load(data)
    except MissingDataError as error:
        raise InputError(f"{error}; --source and --dir name the place where the data are now") from error


def load(
    workdirs: Iterable[str | Path],
    *,
    source: str | None = None,
    folder: str | None = None,
    tests: Sequence[str] | None = None,
    masks: Sequence[str] | None = None,
) -> list[TrainedRun]:
    """Reads workdirs and, once each, the data sets of their training, unless `source` or `folder` name another.

    The data of training keep the name that they had then, wherever they lie now, so that their records meet.

    Args:
      workdirs: folders that `bginv_jax.train` wrote.
      source: as config.data.source.
      folder: as config.data.dir.
      masks: as config.data.masks; None takes those of training.
      tests: as config.data.tests; None takes those of training, unless `source` is of another kind.

    Raises:
      ValueError: if a workdir has no checkpoint, or the data cannot be read, or are not those of training in shape or
        number of classes.
    """
    if tests is not None and not sources.are_tests(tuple(tests)):
        named = " and ".join(map(repr, tests))
        raise InputError(f"--test is {named}; expected NAME or NAME:PATH, each name once, and none train or test")
    known: dict[str, Dataset] = {}
    by_content: dict[tuple, Dataset] = {}
    runs: list[TrainedRun] = []
    for workdir in [predictors.find_workdir(workdir) for workdir in workdirs]:
        seeds = predictors.load_seeds(workdir)
        data = _data_fields(seeds[0].config.data, source=source, folder=folder, tests=tests, masks=masks)
        key = data.to_json()
        if key not in known:
            known[key] = _load_dataset(data)
        dataset = _as_trained_on(seeds[0].description, known[key], workdir, moved=source is not None)
        dataset = by_content.setdefault(_content(dataset), dataset)
        runs.append(TrainedRun(workdir, seeds, dataset))
    _check_tests(runs)
    return runs


def _data_fields(
    trained: ConfigDict,
    *,
    source: str | None,
    folder: str | None,
    tests: Sequence[str] | None,
    masks: Sequence[str] | None,
) -> ConfigDict:
    """The config's group `data` of a training, with what `load` was told."""
    data = trained.copy_and_resolve_references()
    before, now = (name.partition(":")[0] for name in (trained.source, source or trained.source))
    if now != before:
        tests = () if tests is None else tests
    if now != before or (now in sources.SOURCES and not sources.SOURCES[now].splits):
        data.update(sources.SPLITS)  # those of another source, or what an older training noted and ignored
    tests, masks = (None if one is None else tuple(one) for one in (tests, masks))
    told = {"source": source, "dir": folder, "tests": tests, "masks": masks}
    data.update({name: value for name, value in told.items() if value is not None})
    return data


def _as_trained_on(trained_on: Description, dataset: Dataset, workdir: Path, *, moved: bool) -> Dataset:
    """A data set that networks of `workdir` can be scored on, with the name that it had if it is what they learned.

    Args:
      trained_on: what the checkpoint says of its data.
      dataset: may be another.
      workdir: for messages.
      moved: whether the data set was named anew.

    Raises:
      InputError: if its images, or what its labels mean, are not as in training.
    """
    if dataset.description.sha256 == trained_on.sha256:
        dataset = dataclasses.replace(dataset, name=trained_on.name) if moved else dataset
    else:
        what = "are not those that it was trained on" if moved else "have changed since it was trained"
        _LOG.warning("%s: the images or labels of %s %s", workdir, dataset.name, what)
        renamed = dataset.class_names != trained_on.class_names
        if dataset.by_class and renamed and len(dataset.class_names) == len(trained_on.class_names):
            raise InputError(
                f"data set {dataset.name} has the classes {some(dataset.class_names)}; expected those that "
                f"{workdir} was trained on, {some(trained_on.class_names)}"
            )
    for what, expected, actual in (
        ("images of", trained_on.shape, dataset.shape),
        ("classes, in number", len(trained_on.class_names), len(dataset.class_names)),
        ("classes of pixels, in number", len(trained_on.pixel_classes), len(dataset.pixel_classes)),
    ):
        if expected != actual:
            raise InputError(f"data set {dataset.name}: {what} {actual}; expected {expected}, as in training")
    return dataset


def _content(dataset: Dataset) -> tuple:
    """What two data sets have in common that are one: images and labels, classes, further tests, true masks."""
    tests = tuple((name, split.sha256) for name, split in dataset.tests.items())
    marked = None if dataset.test.masks is None else dataset.test.sha256
    return dataset.description.sha256, dataset.class_names, tests, marked


def _check_tests(runs: Sequence[TrainedRun]) -> None:
    """Refuses tests of one name that hold other pictures, of which a table would take the mean."""
    seen: dict[tuple[str, str], tuple[Split, Path]] = {}
    for run in runs:
        for name, split in run.dataset.tests.items():
            other, workdir = seen.setdefault((run.dataset.name, name), (split, run.workdir))
            if other.sha256 != split.sha256:
                raise InputError(
                    f"the test {name} of data set {run.dataset.name} holds other pictures for {run.workdir} than for "
                    f"{workdir}; expected --test=NAME:PATH, one for both"
                )


def check_marked(runs: Iterable[TrainedRun]) -> None:
    """Refuses photographs whose objects nobody marked, where objects must be set before backgrounds.

    Raises:
      InputError: names the data set and the flag.
    """
    for run in runs:
        if not run.dataset.marked:
            raise InputError(
                f"nobody marked the objects of data set {run.dataset.name}; expected --masks=DIR, a folder with the "
                "true masks of its test, TEST/CLASS/NAME"
            )


def check_measures(runs: Iterable[TrainedRun]) -> None:
    """Refuses runs of two measures, which one table cannot show.

    Raises:
      InputError: names the measures.
    """
    measures = sorted({run.seeds[0].method.task.shown for run in runs})
    if len(measures) > 1:
        raise InputError(f"the workdirs are measured by {' and by '.join(measures)}; a table shows one measure")


def check_distinct(runs: Iterable[TrainedRun]) -> None:
    """Refuses two runs of one method and seed on the same data set, which a table would mix, and of two measures.

    Raises:
      InputError: names them.
    """
    runs = list(runs)
    check_measures(runs)
    keys = [(run.dataset.name, one.config.method, one.config.seed) for run in runs for one in run.seeds]
    for key in keys:
        if keys.count(key) > 1:
            raise InputError("two of the workdirs hold {}, {}, seed {}; expected each once".format(*key))


def record(task: Task, measures: dict[str, np.ndarray]) -> dict[str, Any]:
    """What a record says of all images, from what `measure` gives of each; other than the accuracy, it is named."""
    values = task.record(measures)
    if task.shown == "accuracy":
        return values
    values |= _named(Shown(task.shown, task.unit, task.larger_is_better))
    return values | ({"beside": [_named(shown) for shown in task.beside]} if task.beside else {})


def _named(shown: Shown) -> dict[str, Any]:
    unit = {"unit": shown.unit} if shown.unit else {}
    return {"measure": shown.name, **unit, "larger_is_better": shown.larger_is_better}


def mean_class_accuracy(hits: np.ndarray, labels: np.ndarray) -> float:
    """The accuracy of each class of which there are images, averaged over these classes, percent.

    Args:
      hits: (N,), whether an image was classified as its label says.
      labels: (N,).
    """
    counts = np.bincount(labels)
    correct = np.bincount(labels, weights=hits)
    return 100 * float(np.mean(correct[counts > 0] / counts[counts > 0]))


def _parts(split: Split) -> Iterator[Split]:
    """The split part by part: measures are kept, and neither composites nor outputs, which may be larger."""
    return (part for large in split.parts() for part in large.parts(_TOGETHER))


def _score(run: TrainedRun, split: Split, patterns_by_name: Iterable[tuple[dict, np.ndarray | None]]) -> list[dict]:
    """Scores every image of a split exactly once on each pattern, or as it is, with each seed: records by seed.

    Of a world so many episodes are played instead.
    """
    named = list(patterns_by_name)
    measured = _measured(run, split, [pattern for _, pattern in named])
    records = []
    for trained, of_seed in zip(run.seeds, measured, strict=True):
        task = trained.method.task
        for (name, pattern), measures in zip(named, of_seed, strict=True):
            head = {"dataset": run.dataset.name, "method": trained.config.method, "seed": trained.config.seed}
            head |= {"steps": trained.steps, **name}
            records.append(head | record(task, measures))
            if pattern is None and task.classes and (run.dataset.by_class or run.dataset.tests):
                records[-1]["mean_class_accuracy"] = mean_class_accuracy(measures["accuracy"], split.targets)
    return records


def _measured(run: TrainedRun, split: Split, drawn: Sequence[np.ndarray | None]) -> list[list[dict[str, np.ndarray]]]:
    """The measures of each image, or episode, on each pattern, of each seed."""
    predict = run.seeds[0].method.predict
    if run.world is not None:
        play = playing.make_player(run.world, predict, episodes=EPISODES)
        return [[play(trained.networks, pattern) for pattern in drawn] for trained in run.seeds]
    forward = hardware.make_forward(predict, hardware.local())
    measured: list[list[list[dict[str, np.ndarray]]]] = [[[] for _ in drawn] for _ in run.seeds]
    title, total = f"{run.workdir.name}: scoring", len(split.images) * len(drawn)
    with tqdm(desc=title, total=total, unit="image", delay=2, leave=False, disable=None) as bar:
        for part in _parts(split):
            kept = None if all(pattern is None for pattern in drawn) else run.dataset.kept(part)
            for i, pattern in enumerate(drawn):
                composed = part.images if pattern is None else patterns.compose_test(part.images, pattern, kept=kept)
                for trained, found in zip(run.seeds, measured, strict=True):
                    found[i].append(trained.method.task.measure(forward(trained.networks, composed), part.targets))
                bar.update(len(part.images))
    return [[join(parts) for parts in found] for found in measured]


def score(run: TrainedRun) -> list[dict]:
    """A record for each seed and each of the table's backgrounds, in the table's order.

    Photographs whose objects nobody marked are scored as they are alone.
    """
    if not run.dataset.marked:
        _LOG.info("%s: set before no other background, since config.data.masks is ()", run.dataset.name)
        return _score(run, run.dataset.test, [({"background": "none"}, None)])
    drawn = {name: draw(run.dataset.size) for name, draw in patterns.BACKGROUNDS.items()} | {"none": None}
    named = (({"background": name}, pattern) for name, pattern in drawn.items())
    return _score(run, run.dataset.test, named)


def score_trivial(run: TrainedRun) -> list[dict]:
    """A record for each of the table's backgrounds of who looks at no image, with its title as "method"; or []."""
    task, test = run.seeds[0].method.task, run.dataset.test
    if task.trivial is None or not run.dataset.marked:
        return []
    answer = np.asarray(task.trivial.answer(run.dataset.train.targets))
    parts = [
        task.measure(np.broadcast_to(answer, (len(part.images), *answer.shape)), part.targets) for part in _parts(test)
    ]
    head = {"dataset": run.dataset.name, "method": task.trivial.title, "seed": 0}
    return [head | {"background": name} | record(task, join(parts)) for name in patterns.BACKGROUNDS]


def score_tests(run: TrainedRun) -> list[dict]:
    """A record for each further test set and each seed, of its images as they are, with "test", the set's name."""
    by_test = (
        _score(run, split, [({"background": "none", "test": name}, None)]) for name, split in run.dataset.tests.items()
    )
    return [one for records in by_test for one in records]


def image_overlaps(run: TrainedRun) -> list[np.ndarray]:
    """The IoU of each test image's cut mask with its true object, for each seed: (N,) in [0, 1]; [] without masks."""
    method, test = run.seeds[0].method, run.dataset.test
    if method.predict_mask is None or not run.dataset.marked:
        return []
    forward = hardware.make_forward(method.ready_masks, hardware.local())
    shares: list[list[np.ndarray]] = [[] for _ in run.seeds]
    for part in test.parts():
        for one, found in zip(run.seeds, shares, strict=True):
            found.append(overlap(forward(one.networks, part.images) > 0.5, part.objects))
    return [np.concatenate(found) for found in shares]


def mask_overlaps(run: TrainedRun) -> list[float]:
    """The mean of `image_overlaps` of each seed, in percent; [] without masks."""
    return [100 * float(shares.mean()) for shares in image_overlaps(run)]


def sweep(run: TrainedRun) -> list[dict]:
    """As `score`, of the first seed, on the Random background at each of RATES: records have a "rate" instead.

    [] of photographs whose objects nobody marked.
    """
    if not run.dataset.marked:
        return []
    drawn = ((rate, patterns.random(run.dataset.size, rate)) for rate in RATES)
    named = (({"rate": rate}, pattern) for rate, pattern in drawn)
    return _score(run._replace(seeds=run.seeds[:1]), run.dataset.test, named)
