"""The inner maximum, made honest: projected gradient on the background's own pixels, from where f_b starts.

f_b is one network for all images; what an image's worst background is depends on the image. A few steps of the
gradient's sign (Madry et al. 2018) go on from what f_b painted, pixel by pixel, outside the mask.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from bginv_jax.images.compose import compose


class Ascent(NamedTuple):
    """How far the search goes.

    steps: of the gradient's sign.
    budget: the largest change of a pixel from where it is in the image as it was taken. Half of the images have all of
      it, the others a share that is drawn evenly, since the nearest backgrounds are other ones than the worst of all.
    """

    steps: int
    budget: float = 1.0


def draw_shares(keys: jax.Array) -> jax.Array:
    """The share of the budget that each image has, in [0, 1]: (N,) keys -> (N,)."""
    return jnp.minimum(1.0, jax.vmap(lambda key: jax.random.uniform(key, maxval=2.0))(keys))


def climb(
    z: jax.Array, slope: jax.Array, *, budget: jax.Array, steps: int, low: jax.Array, high: jax.Array
) -> jax.Array:
    """One of `steps` steps of the gradient's sign, which together go 2.5 times as far as the budget, in [low, high]."""
    return jnp.clip(z + 2.5 * budget / steps * jnp.sign(slope), low, high)


def ascend(
    keys: jax.Array,
    losses: Callable[[jax.Array], jax.Array],
    images: jax.Array,
    composites: jax.Array,
    m: jax.Array,
    ascent: Ascent,
) -> jax.Array:
    """Composites whose background was made worse for f, each within a budget of its own.

    The gradient of the composites that come in is that of those that come out, wherever the budget left them free: the
    search is a constant added to what f_b painted, so that f_b ascends from where it ended.

    Args:
      keys: (N,).
      losses: of composites: (N, S, S, C) -> (N,).
      images: (N, S, S, C), as they were taken.
      composites: (N, S, S, C), the same objects before what f_b painted.
      m: (N, S, S, 1), 1 where the object shows and stays as it is.
      ascent: how far.
    """
    budget = ascent.budget * draw_shares(keys)[:, None, None, None]
    low, high = (compose(composites, m, jnp.clip(images + change, 0.0, 1.0)) for change in (-budget, budget))
    start = jnp.clip(composites, low, high)
    slope = jax.grad(lambda z: losses(z).sum())

    def step(_, z):
        return climb(z, slope(z), budget=budget, steps=ascent.steps, low=low, high=high)

    worst = lax.fori_loop(0, ascent.steps, step, lax.stop_gradient(start))
    return start + lax.stop_gradient(worst - start)
