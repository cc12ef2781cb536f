"""Two or three digits on one canvas, as targets the class of every pixel: uint8, 0 for background, 1 + label for ink.

Images are (N, S, S, C) uint8, bright on black; canvases are twice as wide and high.
"""

import dataclasses

import numpy as np

from bginv_jax.data.dataset import Dataset, Split
from bginv_jax.errors import InputError

BACKGROUND = "background"

_INK = 128  # from here on a pixel is the digit's; what is fainter is its blurred edge
_DIGITS = 2.5  # on a canvas, on average
_MOST_CLASSES = 255
_SEED = 29


def _ink(image: np.ndarray) -> np.ndarray:
    """The part of an image (S, S, C) that holds all that is above 0."""
    rows, columns = np.nonzero(image.any(axis=-1))
    if not len(rows):
        return image[:0, :0]
    return image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def draw_canvases(images: np.ndarray, labels: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sets every image once, by twos and threes, on canvases of twice the side.

    Each lies whole in a quarter of its own, at a random place, a pixel from the edge where there is room: none
    overlaps or touches another.

    Args:
      images: (M, S, S, C) uint8, M at least 2.
      labels: (M,) from 0 to 254.
      seed: of the draw.

    Returns:
      Canvases (N, 2S, 2S, C) uint8, and the class of each pixel (N, 2S, 2S) uint8: 1 + label where a digit's ink is at
      least half as bright as can be, 0 elsewhere.
    """
    random, side = np.random.RandomState(seed), images.shape[1]
    groups = np.array_split(random.permutation(len(images)), max(1, round(len(images) / _DIGITS)))
    canvases = np.zeros((len(groups), 2 * side, 2 * side, images.shape[-1]), np.uint8)
    classes = np.zeros(canvases.shape[:3], np.uint8)
    for i, group in enumerate(groups):
        for digit, quarter in zip(group, random.permutation(4), strict=False):
            ink = _ink(images[digit])
            room = side - np.array(ink.shape[:2])
            margin = (room >= 2).astype(int)
            row, column = np.array(divmod(quarter, 2)) * side + random.randint(margin, room - margin + 1)
            place = (i, slice(row, row + len(ink)), slice(column, column + ink.shape[1]))
            canvases[place] = ink
            classes[place] = np.where(ink.max(axis=-1) >= _INK, 1 + labels[digit], 0)
    return canvases, classes


def _on_canvases(split: Split, seed: int) -> Split:
    canvases, classes = draw_canvases(split.images, split.targets, seed=seed)
    return Split(canvases, classes, classes[..., np.newaxis] > 0)


def with_canvases(dataset: Dataset) -> Dataset:
    """The data set with its digits on canvases, for all methods the same, and the class of every pixel for labels.

    The true masks are those of the ink. Each split has two canvases for five images.

    Raises:
      InputError: for a data set without labels, with more classes than uint8 counts, or a split of one image.
    """
    if not dataset.class_names or len(dataset.class_names) >= _MOST_CLASSES:
        found = f"data set {dataset.name} has {len(dataset.class_names)} classes"
        raise InputError(f"config.data.targets is 'canvas', but {found}; expected 1 to {_MOST_CLASSES - 1}")
    splits = {"train": dataset.train, "test": dataset.test, **dataset.tests}
    for name, split in splits.items():
        if len(split.images) < 2:
            found = f"split {name} of data set {dataset.name} has 1 image"
            raise InputError(f"config.data.targets is 'canvas', but {found}; expected at least 2")
    placed = {name: _on_canvases(split, _SEED + i) for i, (name, split) in enumerate(splits.items())}
    train, test = placed.pop("train"), placed.pop("test")
    return dataclasses.replace(
        dataset,
        name=f"{dataset.name}, on canvases",
        train=train,
        test=test,
        class_names=(),
        pixel_classes=(BACKGROUND, *dataset.class_names),
        shape=train.images.shape[1:],
        tests=placed,
    )
