"""Searches the worst background of each image by trying: given ones, and pen strokes that evolve.

A predictor gets NumPy arrays, and need not be of JAX.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from bginv_jax.backgrounds import shapes
from bginv_jax.errors import InputError
from bginv_jax.evaluation import search
from bginv_jax.tasks.classification import CLASSIFICATION
from bginv_jax.tasks.contract import Task

_STROKES = 4


class _Worst:
    """The worst background so far of each image of a chunk, and how it came about."""

    def __init__(self, x: np.ndarray):
        self.right, self.loss, self.images = np.ones(len(x), bool), np.full(len(x), -np.inf, np.float32), x.copy()
        self.rights: list[np.ndarray] = []
        self.losses: list[np.ndarray] = []

    def update(self, right: np.ndarray, loss: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Takes what is worse, and returns where: bool (N,)."""
        worse = search.is_worse(right, loss, self.right, self.loss)
        self.right, self.loss = np.where(worse, right, self.right), np.where(worse, loss, self.loss)
        self.images[worse] = x[worse]
        return worse

    def note(self) -> None:
        self.rights.append(self.right)
        self.losses.append(self.loss)


def _in_chunks(find: Callable[[np.ndarray], _Worst], x: np.ndarray, chunk: int) -> search.Found:
    """find(places) of all images, put together."""
    parts = [(places, find(places)) for places in search.chunks(np.arange(len(x)), min(chunk, len(x)))]
    count = len(parts[0][1].rights)
    found = search.Found(np.empty((count, len(x)), bool), np.empty((count, len(x)), np.float32), np.empty_like(x))
    for places, part in parts:
        found.right[:, places], found.loss[:, places], found.images[places] = part.rights, part.losses, part.images
    return found


def worst_of(
    predict: search.Predict,
    x: np.ndarray,
    masks: np.ndarray,
    targets: np.ndarray,
    backgrounds: np.ndarray | Sequence[np.ndarray],
    *,
    task: Task = CLASSIFICATION,
    chunk: int = search.CHUNK,
) -> search.Found:
    """Sets each image on each of K backgrounds and keeps the worst.

    Args:
      predict: takes NumPy arrays, always `chunk` images or, where there are fewer, all of them.
      x: images (N, S, S, C), uint8 or float in [0, 1].
      masks: (N, S, S, 1), 0 or 1.
      targets: (N, ...), as the task's loss takes them.
      backgrounds: (K, S, S, C) in [0, 1].
      task: loss and accuracy.
      chunk: images at a time.

    Raises:
      ValueError: for arrays that do not fit together.
    """
    x, masks, targets = search.checked(x, masks, targets)
    if not len(backgrounds) or any(one.shape != x.shape[1:] for one in backgrounds):
        raise InputError(f"backgrounds are {np.shape(backgrounds)}; expected (K, {', '.join(map(str, x.shape[1:]))})")

    def find(places):
        worst = _Worst(x[places])
        for background in backgrounds:
            composed = np.where(masks[places], x[places], background).astype(np.float32)
            worst.update(*search.measure(predict, composed, targets[places], task), composed)
            worst.note()
        return worst

    return _in_chunks(find, x, chunk)


@jax.jit
def _children(seed, turn, places, spread, parents, x, masks):
    """A child of each parent, genes (N, 7 K + 2 C) of strokes and the colours of ink and paper, and x on what it draws.

    A parent of NaN is none at all: the child is random.
    """

    def one(key, parent, x, mask):
        keys = jax.random.split(key)
        fresh = jax.random.uniform(keys[0], parent.shape, parent.dtype)
        near = jnp.clip(parent + spread * jax.random.normal(keys[1], parent.shape, parent.dtype), 0, 1)
        genes = jnp.where(jnp.isnan(parent), fresh, near)
        strokes, (ink, paper) = genes[: 7 * _STROKES], genes[7 * _STROKES :].reshape(2, -1)
        share = shapes.pen(strokes.reshape(_STROKES, 7), x.shape[0])[..., None]
        return genes, jnp.where(mask, x, paper + (ink - paper) * share)

    return jax.vmap(one)(search.image_keys(seed, turn, places), parents, x, masks)


def evolve(
    predict: search.Predict,
    x: np.ndarray,
    masks: np.ndarray,
    targets: np.ndarray,
    *,
    generations: int = 40,
    children: int = 8,
    seed: int = 0,
    task: Task = CLASSIFICATION,
    chunk: int = search.CHUNK,
) -> search.Found:
    """Evolves, for each image, four strokes of the families' pen and two colours; K = generations.

    The worst of a generation's children replaces its parent if it is worse. The first generation is random; later ones
    are normal around the parent, with a deviation that falls from 0.3 to 0.03 of each parameter's range.

    Args:
      predict, x, masks, targets, task, chunk: as `worst_of`.
      generations: at least 1.
      children: backgrounds tried for each image and generation.
      seed: of all that is drawn.

    Raises:
      ValueError: for arrays that do not fit together, or an option out of range.
    """
    x, masks, targets = search.checked(x, masks, targets)
    search.at_least_one(generations=generations, children=children)

    def find(places):
        worst = _Worst(x[places])
        parents = np.full((len(places), 7 * _STROKES + 2 * x.shape[-1]), np.nan, np.float32)
        for generation in range(generations):
            spread = 0.3 * 0.1 ** (generation / max(1, generations - 1))
            heirs = parents.copy()
            for child in range(children):
                turn = generation * children + child
                drawn = _children(seed, turn, places, spread, parents, x[places], masks[places])
                genes, composed = map(np.asarray, drawn)
                worse = worst.update(*search.measure(predict, composed, targets[places], task), composed)
                heirs[worse] = genes[worse]
            parents = heirs
            worst.note()
        return worst

    return _in_chunks(find, x, chunk)
