"""The validation split: images that are cut from those to train on, so that a training is watched without the test."""

import dataclasses
from collections.abc import Iterator

import jax
import numpy as np

from bginv_jax.data import rows
from bginv_jax.data.dataset import Dataset, Split
from bginv_jax.data.pictures import cache_folder
from bginv_jax.errors import InputError


def _choose(targets: object, count: int, total: int, *, labelled: bool) -> np.ndarray:
    """Which of `total` images are held out: bool (total,), of each class its share, where targets are labels."""
    order = np.random.RandomState(0).permutation(total)
    if labelled:
        order = order[np.argsort(np.asarray(targets)[order], kind="stable")]
    chosen = np.zeros(total, bool)
    # From the middle of each of `count` equal stretches of the classes in order.
    chosen[order[(np.arange(count) * total + total // 2) // count]] = True
    if labelled:  # of each class one image stays
        labels = np.asarray(targets)
        lost = np.setdiff1d(labels, labels[~chosen])
        chosen[[np.flatnonzero(labels == label)[0] for label in lost]] = False
    return chosen


def _taken(images: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Some images; of what lies in a file they are copied into another, and not into memory."""
    if not rows.in_file(images):
        return images[places]
    together = max(1, 2**26 // images[:1].nbytes)

    def parts() -> Iterator[np.ndarray]:
        for start in range(0, len(places), together):
            yield rows.take(images, places[start : start + together])

    return rows.gather(parts, cache_folder(), name="held-out images")


def hold_out(dataset: Dataset, share: float) -> Dataset:
    """The data set with a share of its training images, of each class as much, taken out of them as `validation`.

    Which ones follows from their number and labels alone.

    Args:
      dataset: as its source gives it.
      share: from 0, which holds nothing out.

    Raises:
      InputError: if that is no image, or all of them.
    """
    if not share:
        return dataset
    train, total = dataset.train, len(dataset.train.images)
    count = round(share * total)
    if not 0 < count < total:
        raise InputError(
            f"config.data.validation_share is {share}, which is {count} of the {total} training images of data set "
            f"{dataset.name}; expected at least one, and one to train on"
        )
    chosen = _choose(train.targets, count, total, labelled=bool(dataset.class_names))
    if not chosen.any():
        raise InputError(
            f"config.data.validation_share is {share}, and data set {dataset.name} has one training image of each "
            "class; expected more"
        )

    def part(places: np.ndarray) -> Split:
        targets = jax.tree.map(lambda leaf: leaf[places], train.targets)
        return Split(_taken(train.images, places), targets, None if train.masks is None else train.masks[places])

    held, rest = np.flatnonzero(chosen), np.flatnonzero(~chosen)
    return dataclasses.replace(dataset, train=part(rest), validation=part(held))
