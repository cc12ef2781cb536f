"""Objects that are turned by a known angle, as targets: degrees, counter-clockwise as one looks at them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from bginv_jax.data import rows
from bginv_jax.data.dataset import Dataset, Split
from bginv_jax.images.augment import resample, turns
from bginv_jax.images.pixels import crop_to, pad_to

LARGEST = 45.0  # degrees
_SEED = 17


def turn(images: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Images (N, S, S, C) uint8 turned by degrees (N,) about their centre; what comes from beyond the edge is as it."""
    parts, start = [], 0
    for part in rows.chunks(images):
        moves = turns(jnp.asarray(degrees[start : start + len(part)]), part.shape[1])
        turned = jax.jit(resample)(jnp.asarray(part, jnp.float32), moves)
        parts.append(np.round(np.asarray(turned)).astype(np.uint8))
        start += len(part)
    return np.concatenate(parts)


def _turned(split: Split, shape: tuple[int, int], seed: int) -> Split:
    degrees = np.random.RandomState(seed).uniform(-LARGEST, LARGEST, len(split.images)).astype(np.float32)
    within = crop_to(turn(split.images, degrees), shape)  # as predictors, who pad images of the native size, see it
    return Split(pad_to(within, split.images.shape[1]), degrees)


def with_angles(dataset: Dataset) -> Dataset:
    """The data set with angles for labels: test images are turned, once for all methods; training images stand upright.

    What turns these is augmentation, and their targets with them. The angles of a test set follow from its place.
    """
    train = Split(dataset.train.images, np.zeros(len(dataset.train.images), np.float32))
    tests = dataset.tests.items()
    return dataclasses.replace(
        dataset,
        name=f"{dataset.name}, turned",
        train=train,
        test=_turned(dataset.test, dataset.shape[:2], _SEED),
        class_names=(),
        tests={name: _turned(split, dataset.shape[:2], _SEED + i) for i, (name, split) in enumerate(tests, start=1)},
    )
