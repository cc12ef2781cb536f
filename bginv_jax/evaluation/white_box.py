"""Searches the worst background of each image with the predictor's gradient: on the pixels outside the mask."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import Partial

from bginv_jax.errors import InputError
from bginv_jax.evaluation import search
from bginv_jax.methods.ascent import climb
from bginv_jax.tasks.classification import CLASSIFICATION
from bginv_jax.tasks.contract import Task


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
        return climbed(outputs, targets).sum(), (search.is_right(task, outputs, targets), loss)

    def move(_, state):
        z, right, loss, worst = state
        slope, (now_right, now_loss) = jax.grad(losses, has_aux=True)(z)
        worse = search.is_worse(now_right, now_loss, right, loss)
        worst = jnp.where(worse[:, None, None, None], z, worst)
        right, loss = jnp.where(worse, now_right, right), jnp.where(worse, now_loss, loss)
        z = jnp.where(masks, x, climb(z, slope, budget=budget, steps=steps, low=low, high=high))
        return z, right, loss, worst

    return lax.fori_loop(0, steps + 1, move, (start, right, loss, worst))[1:]


def projected_gradient(
    predict: search.Predict,
    x: np.ndarray,
    masks: np.ndarray,
    targets: np.ndarray,
    *,
    budgets: Sequence[float],
    steps: int = 20,
    restarts: int = 3,
    seed: int = 0,
    task: Task = CLASSIFICATION,
    chunk: int = search.CHUNK,
) -> search.Found:
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
    x, masks, targets = search.checked(x, masks, targets)
    search.at_least_one(steps=steps, restarts=restarts)
    if not budgets or list(budgets) != sorted(set(budgets)) or not 0 <= budgets[0] <= budgets[-1] <= 1:
        raise InputError(f"budgets are {budgets}; expected increasing numbers from 0 to 1")
    (right,), (loss,), worst = search.clean(predict, x, masks, targets, task=task, chunk=chunk)
    worst, chunk = worst.copy(), min(chunk, len(x))
    predict = predict if isinstance(predict, Partial) else Partial(predict)

    def ascend(places, turn, budget, climbed):
        keys = search.image_keys(seed, turn, places)
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
                for places in search.chunks(np.flatnonzero(right), chunk):
                    found = ascend(places, turn, budget, climbed)
                    right[places], loss[places], worst[places] = map(np.asarray, found)
        rights.append(right.copy())
        losses.append(loss.copy())
    return search.Found(np.stack(rights), np.stack(losses), worst)
