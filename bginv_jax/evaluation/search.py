"""What the searches for the background that a predictor gets most wrong have in common: order, keys, checks, results.

A predictor is any function from images (N, S, S, C), float32 in [0, 1], to outputs. Masks are (N, S, S, 1), 1 where the
image stays as it is.

Of two backgrounds the worse one is mistaken where the other is not, and else has the higher loss. What is found for an
image depends on the image and the seed, not on the images beside it or how many are taken at a time.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bginv_jax.errors import InputError
from bginv_jax.images.pixels import as_float
from bginv_jax.tasks.classification import CLASSIFICATION
from bginv_jax.tasks.contract import Task

Predict = Callable[[Any], Any]

CHUNK = 100  # images at a time


class Found(NamedTuple):
    """The worst background of each image, after each of K budgets, backgrounds or generations.

    right: bool (K, N), whether the predictor is right on it, and so on everything tried until then.
    loss: float32 (K, N), its loss.
    images: float32 (N, S, S, C), the images on the worst backgrounds in the end.
    """

    right: np.ndarray
    loss: np.ndarray
    images: np.ndarray


def checked(x: np.ndarray, masks: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images as float32, masks as bool, and targets.

    Raises:
      InputError: for arrays that do not fit together, or values out of range.
    """
    x, masks, targets = np.asarray(as_float(np.asarray(x)), np.float32), np.asarray(masks), np.asarray(targets)
    if x.ndim != 4 or not len(x) or x.shape[1] != x.shape[2]:
        raise InputError(f"images are {x.shape}; expected (N, S, S, C), N at least 1")
    if not (x.min() >= 0 and x.max() <= 1):
        raise InputError(f"images from {x.min()} to {x.max()}; expected uint8, or floats in [0, 1]")
    if masks.shape != (*x.shape[:3], 1) or not np.isin(masks, (0, 1)).all():
        raise InputError(f"masks are {masks.shape}; expected {(*x.shape[:3], 1)}, of 0 and 1 alone")
    if len(targets) != len(x):
        raise InputError(f"targets for {len(targets)} images; expected {len(x)}")
    return x, masks.astype(bool), targets


def at_least_one(**options: int) -> None:
    """Raises InputError for an option below 1."""
    for name, value in options.items():
        if value < 1:
            raise InputError(f"{name} is {value}; expected at least 1")


def chunks(places: np.ndarray, chunk: int) -> Iterator[np.ndarray]:
    """Places of `chunk` images at a time, the last chunk filled up with its own: one shape, one compiled program."""
    for first in range(0, len(places), chunk):
        yield np.resize(places[first : first + chunk], chunk)


def is_right(task: Task, outputs: jax.Array, targets: Any) -> jax.Array:
    """bool (N,)."""
    return task.measures(outputs, targets)["accuracy"] > 0.5


def is_worse(right: Any, loss: Any, than_right: Any, than_loss: Any) -> Any:
    """bool (N,), whether what is right and costs so is worse than another."""
    return (than_right & ~right) | ((right == than_right) & (loss > than_loss))


def image_keys(seed: jax.Array, turn: jax.Array, places: jax.Array) -> jax.Array:
    """A key for each image, by its place among all, and each turn."""
    key = jax.random.fold_in(jax.random.key(seed), turn)
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, places)


def measure(predict: Predict, x: np.ndarray, targets: np.ndarray, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Whether each image is right, bool (N,), and its loss, float32 (N,)."""
    outputs = jnp.asarray(predict(x))
    return np.asarray(is_right(task, outputs, targets)), np.asarray(task.loss(outputs, targets))


def clean(
    predict: Predict,
    x: np.ndarray,
    masks: np.ndarray,
    targets: np.ndarray,
    *,
    task: Task = CLASSIFICATION,
    chunk: int = CHUNK,
) -> Found:
    """Tries the images as they are, K = 1; arguments and errors as `black_box.worst_of`."""
    x, masks, targets = checked(x, masks, targets)
    right, loss = np.empty((1, len(x)), bool), np.empty((1, len(x)), np.float32)
    for places in chunks(np.arange(len(x)), min(chunk, len(x))):
        right[0, places], loss[0, places] = measure(predict, x[places], targets[places], task)
    return Found(right, loss, x)
