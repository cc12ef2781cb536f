"""How much the background tells a trained classifier of photographs: records of views of its test set, their table.

As the Backgrounds Challenge has it (Xiao et al. 2020, arXiv 2006.09994): objects before backdrops of their own class
and of another one, whose difference is the BG-gap; backdrops without objects. Besides, objects before photographs and
the poster's patterns.
"""

import dataclasses
import logging
from collections.abc import Iterator, Sequence

import numpy as np

from bginv_jax.backgrounds import patterns
from bginv_jax.errors import InputError
from bginv_jax.evaluation import scoring, studio_parts
from bginv_jax.evaluation.cutouts import cut_out_by_colour
from bginv_jax.evaluation.names import shown
from bginv_jax.evaluation.predictors import Trained
from bginv_jax.evaluation.records import TITLES, title
from bginv_jax.images.pixels import crop_to, pad_to
from bginv_jax.jax_settings import own_settings
from bginv_jax.training import devices as hardware

_LOG = logging.getLogger(__name__)

BY_COLOUR, MARKED = "cut out by colour", "true masks"
_PATTERNS = tuple(name for name in patterns.BACKGROUNDS if name != "none")
_OF_TEST = "test: "  # a view that is a further test set
_LINES = {
    "photographs": "Before photographs",
    "same class": "Before studio backdrops of the same class",
    "another class": "Before studio backdrops of another class",
    "backdrop alone": "The backdrop alone, object filled",
    "border alone": "The border alone",
}


def with_objects(run: scoring.TrainedRun) -> tuple[scoring.TrainedRun, str]:
    """A run that knows the objects of its test images, and how: by true masks, or else cut out by colour.

    Raises:
      InputError: if what it predicts are no labels.
    """
    dataset = run.dataset
    if run.seeds[0].method.task.shown != "accuracy":
        raise InputError(f"workdir {run.workdir} predicts {run.seeds[0].method.task.shown}; expected a classifier")
    if dataset.marked:
        return run, MARKED
    masks = pad_to(cut_out_by_colour(crop_to(dataset.test.images, dataset.shape[:2])), dataset.size)
    test = dataclasses.replace(dataset.test, masks=masks)
    return run._replace(dataset=dataclasses.replace(dataset, test=test)), BY_COLOUR


def views(
    run: scoring.TrainedRun, photographs: Sequence[np.ndarray], *, seed: int
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """The test sets and what is made of the first, one at a time: name, images (N, size, size, C) and labels.

    Args:
      run: of `with_objects`.
      photographs: as `studio_parts.crop_photographs` takes them, or none.
      seed: of what is drawn.
    """
    dataset, labels = run.dataset, run.dataset.test.targets
    yield "test", dataset.test.images, labels
    for name, split in dataset.tests.items():
        yield _OF_TEST + name, split.images, split.targets
    kept = dataset.kept(dataset.test)
    for name in _PATTERNS:
        yield name, patterns.compose_test(dataset.test.images, name, kept=kept), labels
    images, masks = (crop_to(array, dataset.shape[:2]) for array in (dataset.test.images, dataset.test.objects))
    backdrops = studio_parts.studio_backdrops(images, masks)
    made = {"backdrop alone": backdrops, "border alone": studio_parts.border_alone(images, masks)}
    for name, other in (("same class", False), ("another class", True)):
        partners = studio_parts.draw_partners(labels, other=other, seed=seed)
        made[name] = studio_parts.set_before(images, masks, backdrops[partners])
    if len(photographs):
        shape = {"size": max(images.shape[1:3]), "channels": images.shape[-1]}
        crops = studio_parts.crop_photographs(photographs, len(images), **shape, seed=seed)
        made["photographs"] = studio_parts.set_before(images, masks, crop_to(crops, images.shape[1:3]))
    for name, array in made.items():
        yield name, pad_to(array, dataset.size), labels


@own_settings()
def score(run: scoring.TrainedRun, photographs: Sequence[np.ndarray] = (), *, seed: int = 0) -> list[dict]:
    """A record for each seed and view, "view" its name; of masks, where there are, one of view "masks" with their IoU.

    Every image is scored once in each view.

    Args:
      run: of `scoring.load`.
      photographs: to stand behind the objects, (H, W, 3) uint8 each.
      seed: of partners and crops.

    Raises:
      InputError: as `with_objects`, or if a photograph cannot be read.
    """
    run, objects = with_objects(run)
    forward = hardware.make_forward(run.seeds[0].method.predict, hardware.local())
    records = []
    for view, images, labels in views(run, photographs, seed=seed):
        for one in run.seeds:
            measures = one.method.task.measure(forward(one.networks, images), labels)
            record = scoring.record(one.method.task, measures)
            record["mean_class_accuracy"] = scoring.mean_class_accuracy(measures["accuracy"], labels)
            records.append(_head(run, one, view, objects) | record)
            shown = record["accuracy"]
            _LOG.info("%s, seed %d: %s %.1f %%", run.workdir.name, one.config.seed, view, shown)
    for one, shares in zip(run.seeds, scoring.image_overlaps(run), strict=False):
        labels = run.dataset.test.targets
        by_class = {run.dataset.class_names[i]: 100 * float(shares[labels == i].mean()) for i in np.unique(labels)}
        values = {"iou": 100 * float(shares.mean()), "iou_by_class": by_class, "count": len(shares)}
        records.append(_head(run, one, "masks", objects) | values)
    return records


def _head(run: scoring.TrainedRun, one: Trained, view: str, objects: str) -> dict:
    names = {"dataset": run.dataset.name, "workdir": run.workdir.name, "method": one.config.method}
    return names | {"seed": one.config.seed, "view": view, "objects": objects}


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "-"
    mean = f"{np.mean(values):.1f}"
    return f"{mean}±{np.std(values, ddof=1):.1f}" if len(values) > 1 else mean


def _seeds(records: Sequence[dict]) -> list[dict[str, dict]]:
    """The records of one row: for each workdir and seed the views by name."""
    runs: dict[tuple, dict[str, dict]] = {}
    for record in records:
        views_of_seed = runs.setdefault((record["workdir"], record["seed"]), {})
        views_of_seed[record["view"]] = record
    return list(runs.values())


def _row(records: Sequence[dict], measure: str) -> dict[str, list[float]]:
    """What the table's lines show of one row, a value for each seed; lines that it has not have none."""
    row: dict[str, list[float]] = {}
    for run in _seeds(records):
        values = {view: record[measure] for view, record in run.items() if measure in record}
        row.setdefault("The studio test", []).append(values["test"])
        for view in (view for view in values if view.startswith(_OF_TEST)):
            row.setdefault(f"Test {view.removeprefix(_OF_TEST)}", []).append(values[view])
        on_patterns = [values[name] for name in _PATTERNS]
        row.setdefault("Before the poster's six patterns, mean", []).append(float(np.mean(on_patterns)))
        row.setdefault("Before the poster's six patterns, worst", []).append(min(on_patterns))
        for view, line in ((view, line) for view, line in _LINES.items() if view in values):
            row.setdefault(line, []).append(values[view])
        row.setdefault("BG-gap: same less another, points", []).append(values["same class"] - values["another class"])
        if "photographs" in values and values["test"]:
            kept = 100 * values["photographs"] / values["test"]
            row.setdefault("Kept before photographs, % of the studio's", []).append(kept)
        if "masks" in run:
            by_class = list(run["masks"]["iou_by_class"].values())
            shown = run["masks"]["iou"] if measure == "accuracy" else float(np.mean(by_class))
            row.setdefault("IoU of the masks", []).append(shown)
            row.setdefault("IoU of the masks, worst class", []).append(min(by_class))
    return row


def table(records: Sequence[dict]) -> list[list[str]]:
    """Records as cells: for each row, a method on a data set, the mean over its seeds, by image and over the classes.

    A line for each test set and view, then BG-gap and masks.
    """
    order = list(TITLES)
    keys = sorted(
        {(record["method"], record["dataset"]): None for record in records},
        key=lambda key: order.index(key[0]) if key[0] in order else len(order),
    )
    several = len({dataset for _, dataset in keys}) > 1
    columns = {}
    for method, dataset in keys:
        own = [record for record in records if (record["method"], record["dataset"]) == (method, dataset)]
        name = title(method) + (f", {dataset}" if several else "")
        columns[name] = _row(own, "accuracy")
        columns[f"{name}, by class"] = _row(own, "mean_class_accuracy")
    lines = list(dict.fromkeys(line for column in columns.values() for line in column))
    cells = [["%", *columns]]
    return cells + [[line, *(_cell(column.get(line, ())) for column in columns.values())] for line in lines]


def notes(records: Sequence[dict]) -> str:
    """What the table does not say: how many seeds and images, and how the objects were known."""
    said = []
    for method, dataset in dict.fromkeys((record["method"], record["dataset"]) for record in records):
        own = [record for record in records if (record["method"], record["dataset"]) == (method, dataset)]
        seeds = sorted({record["seed"] for record in own})
        count = next(record["count"] for record in own if record["view"] == "test")
        objects = ", ".join(dict.fromkeys(record["objects"] for record in own))
        said.append(
            f"{title(method)}, {shown(dataset)}: {count} images, seeds {', '.join(map(str, seeds))}; {objects}."
        )
    said.append("By class: the mean over the classes. Accuracies in percent.")
    return "\n".join(said)
