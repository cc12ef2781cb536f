"""Searches, for each image, the background that a predictor gets most wrong.

White-box: projected gradient on the pixels outside the mask. Black-box: the worst of given backgrounds, and the
evolution of a pen's strokes. A predictor is any function from images (N, S, S, C), float32 in [0, 1], to outputs; the
black-box searches give it NumPy arrays. Masks are (N, S, S, 1), 1 where the image stays as it is.

Of two backgrounds the worse one is mistaken where the other is not, and else has the higher loss. What is found for an
image depends on the image and the seed, not on the images beside it or how many are taken at a time.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import Partial

from bginv_jax.backgrounds import families
from bginv_jax.errors import InputError
from bginv_jax.images.pixels import as_float
from bginv_jax.methods.ascent import climb
from bginv_jax.tasks.classification import CLASSIFICATION
from bginv_jax.tasks.contract import Task

Predict = Callable[[Any], Any]

CHUNK = 100  # images at a time
_STROKES = 4


class Found(NamedTuple):
    """The worst background of each image, after each of K budgets, backgrounds or generations.

    right: bool (K, N), whether the predictor is right on it, and so on everything tried until then.
    loss: float32 (K, N), its loss.
    images: float32 (N, S, S, C), the images on the worst backgrounds in the end.
    """

    right: np.ndarray
    loss: np.ndarray
    images: np.ndarray


def _checked(x: np.ndarray, masks: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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


def _at_least_one(**options: int) -> None:
    for name, value in options.items():
        if value < 1:
            raise InputError(f"{name} is {value}; expected at least 1")


def _chunks(places: np.ndarray, chunk: int) -> Iterator[np.ndarray]:
    """Places of `chunk` images at a time, the last chunk filled up with its own: one shape, one compiled program."""
    for first in range(0, len(places), chunk):
        yield np.resize(places[first : first + chunk], chunk)


def _right(task: Task, outputs: jax.Array, targets: Any) -> jax.Array:
    return task.measures(outputs, targets)["accuracy"] > 0.5


def _worse(right, loss, than_right, than_loss):
    return (than_right & ~right) | ((right == than_right) & (loss > than_loss))


def _keys(seed: jax.Array, turn: jax.Array, places: jax.Array) -> jax.Array:
    """A key for each image, by its place among all, and each turn."""
    key = jax.random.fold_in(jax.random.key(seed), turn)
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, places)


def _measure(predict: Predict, x: np.ndarray, targets: np.ndarray, task: Task) -> tuple[np.ndarray, np.ndarray]:
    outputs = jnp.asarray(predict(x))
    return np.asarray(_right(task, outputs, targets)), np.asarray(task.loss(outputs, targets))


def clean(
    predict: Predict,
    x: np.ndarray,
    masks: np.ndarray,
    targets: np.ndarray,
    *,
    task: Task = CLASSIFICATION,
    chunk: int = CHUNK,
) -> Found:
    """Tries the images as they are, K = 1; arguments and errors as `worst_of`."""
    x, masks, targets = _checked(x, masks, targets)
    right, loss = np.empty((1, len(x)), bool), np.empty((1, len(x)), np.float32)
    for places in _chunks(np.arange(len(x)), min(chunk, len(x))):
        right[0, places], loss[0, places] = _measure(predict, x[places], targets[places], task)
    return Found(right, loss, x)


@functools.partial(jax.jit, static_argnames=("task", "climbed", "steps"))
def _ascend(predict, keys, fresh, budget, x, masks, targets, right, loss, worst, *, task, climbed, steps):
    """`right`, `loss` and `worst`, the worst images so far, after one ascent from there, or from a random point.

    `climbed` of outputs and targets is what the gradient is of.
    """
    low, high = jnp.clip(x - budget, 0, 1), jnp.clip(x + budget, 0, 1)
    random = low + (high - low) * jax.vmap(lambda key: jax.random.uniform(key, x.shape[1:], x.dtype))(keys)
    start = jnp.where(masks, x, jnp.where(fresh, random, worst))

    def losses(z):
        outputs = predict(z)
        loss = task.loss(outputs, targets)
        return climbed(outputs, targets).sum(), (_right(task, outputs, targets), loss)

    def move(_, state):
        z, right, loss, worst = state
        slope, (now_right, now_loss) = jax.grad(losses, has_aux=True)(z)
        worse = _worse(now_right, now_loss, right, loss)
        worst = jnp.where(worse[:, None, None, None], z, worst)
        right, loss = jnp.where(worse, now_right, right), jnp.where(worse, now_loss, loss)
        z = jnp.where(masks, x, climb(z, slope, budget=budget, steps=steps, low=low, high=high))
        return z, right, loss, worst

    return lax.fori_loop(0, steps + 1, move, (start, right, loss, worst))[1:]


def projected_gradient(
    predict: Predict,
    x: np.ndarray,
    masks: np.ndarray,
    targets: np.ndarray,
    *,
    budgets: Sequence[float],
    steps: int = 20,
    restarts: int = 3,
    seed: int = 0,
    task: Task = CLASSIFICATION,
    chunk: int = CHUNK,
) -> Found:
    """Ascends the loss by the sign of its gradient outside the masks (Madry et al. 2018), budget after budget.

    Where the task has margins, it ascends these too, from the same points: the gradient of cross-entropy vanishes where
    f is sure, and that of margins does not (Carlini and Wagner 2017).

    An image that is mistaken within one budget is within all that are larger, and is searched no further: its worst
    background is one of the smallest budget that was enough. The others start from their worst of the budget before,
    so `right` and the order of badness never rise with the budget.

    Args:
      predict: traceable by JAX. A jax.tree_util.Partial of a function and its parameters compiles once for all of them.
      x: images (N, S, S, C), uint8 or float in [0, 1].
      masks: (N, S, S, 1), 0 or 1.
      targets: (N, ...), as the task's loss takes them.
      budgets: K of them, increasing: how far a pixel of the background may move from where it is in the image, 0 to 1.
        1 allows every background; 0 is the image as it is.
      steps: of 2.5 budget / steps each.
      restarts: ascents for each budget: the first from the worst so far, the others from random points.
      seed: of the random points.
      task: loss and accuracy.
      chunk: images at a time.

    Raises:
      ValueError: for arrays that do not fit together, an option out of range, or a predictor that JAX cannot trace and
        differentiate.
    """
    x, masks, targets = _checked(x, masks, targets)
    _at_least_one(steps=steps, restarts=restarts)
    if not budgets or list(budgets) != sorted(set(budgets)) or not 0 <= budgets[0] <= budgets[-1] <= 1:
        raise InputError(f"budgets are {budgets}; expected increasing numbers from 0 to 1")
    (right,), (loss,), worst = clean(predict, x, masks, targets, task=task, chunk=chunk)
    worst, chunk = worst.copy(), min(chunk, len(x))
    predict = predict if isinstance(predict, Partial) else Partial(predict)

    def ascend(places, turn, budget, climbed):
        keys = _keys(seed, turn, places)
        arrays = (array[places] for array in (x, masks, targets, right, loss, worst))
        return _ascend(predict, keys, turn % restarts > 0, budget, *arrays, task=task, climbed=climbed, steps=steps)

    slopes = (task.loss,) if task.margin is None else (task.loss, task.margin)
    try:
        jax.eval_shape(lambda: ascend(np.resize(0, chunk), 0, 0.0, task.loss))
    except Exception as error:  # whatever a foreign predictor makes of a tracer
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"projected gradient needs a predict that JAX can differentiate: {reason}") from error
    rights, losses = [], []
    for i, budget in enumerate(budgets):
        for turn in range(i * restarts, (i + 1) * restarts if budget else 0):
            for climbed in slopes:
                for places in _chunks(np.flatnonzero(right), chunk):
                    found = ascend(places, turn, budget, climbed)
                    right[places], loss[places], worst[places] = map(np.asarray, found)
        rights.append(right.copy())
        losses.append(loss.copy())
    return Found(np.stack(rights), np.stack(losses), worst)


class _Worst:
    """The worst background so far of each image of a chunk, and how it came about."""

    def __init__(self, x: np.ndarray):
        self.right, self.loss, self.images = np.ones(len(x), bool), np.full(len(x), -np.inf, np.float32), x.copy()
        self.rights: list[np.ndarray] = []
        self.losses: list[np.ndarray] = []

    def update(self, right: np.ndarray, loss: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Takes what is worse, and returns where: bool (N,)."""
        worse = _worse(right, loss, self.right, self.loss)
        self.right, self.loss = np.where(worse, right, self.right), np.where(worse, loss, self.loss)
        self.images[worse] = x[worse]
        return worse

    def note(self) -> None:
        self.rights.append(self.right)
        self.losses.append(self.loss)


def _in_chunks(search: Callable[[np.ndarray], _Worst], x: np.ndarray, chunk: int) -> Found:
    """search(places) of all images, put together."""
    parts = [(places, search(places)) for places in _chunks(np.arange(len(x)), min(chunk, len(x)))]
    count = len(parts[0][1].rights)
    found = Found(np.empty((count, len(x)), bool), np.empty((count, len(x)), np.float32), np.empty_like(x))
    for places, part in parts:
        found.right[:, places], found.loss[:, places], found.images[places] = part.rights, part.losses, part.images
    return found


def worst_of(
    predict: Predict,
    x: np.ndarray,
    masks: np.ndarray,
    targets: np.ndarray,
    backgrounds: np.ndarray | Sequence[np.ndarray],
    *,
    task: Task = CLASSIFICATION,
    chunk: int = CHUNK,
) -> Found:
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
    x, masks, targets = _checked(x, masks, targets)
    if not len(backgrounds) or any(one.shape != x.shape[1:] for one in backgrounds):
        raise InputError(f"backgrounds are {np.shape(backgrounds)}; expected (K, {', '.join(map(str, x.shape[1:]))})")

    def search(places):
        worst = _Worst(x[places])
        for background in backgrounds:
            composed = np.where(masks[places], x[places], background).astype(np.float32)
            worst.update(*_measure(predict, composed, targets[places], task), composed)
            worst.note()
        return worst

    return _in_chunks(search, x, chunk)


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
        share = families.pen(strokes.reshape(_STROKES, 7), x.shape[0])[..., None]
        return genes, jnp.where(mask, x, paper + (ink - paper) * share)

    return jax.vmap(one)(_keys(seed, turn, places), parents, x, masks)


def evolve(
    predict: Predict,
    x: np.ndarray,
    masks: np.ndarray,
    targets: np.ndarray,
    *,
    generations: int = 40,
    children: int = 8,
    seed: int = 0,
    task: Task = CLASSIFICATION,
    chunk: int = CHUNK,
) -> Found:
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
    x, masks, targets = _checked(x, masks, targets)
    _at_least_one(generations=generations, children=children)

    def search(places):
        worst = _Worst(x[places])
        parents = np.full((len(places), 7 * _STROKES + 2 * x.shape[-1]), np.nan, np.float32)
        for generation in range(generations):
            spread = 0.3 * 0.1 ** (generation / max(1, generations - 1))
            heirs = parents.copy()
            for child in range(children):
                turn = generation * children + child
                drawn = _children(seed, turn, places, spread, parents, x[places], masks[places])
                genes, composed = map(np.asarray, drawn)
                worse = worst.update(*_measure(predict, composed, targets[places], task), composed)
                heirs[worse] = genes[worse]
            parents = heirs
            worst.note()
        return worst

    return _in_chunks(search, x, chunk)
