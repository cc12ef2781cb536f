"""What an image's border tells of its backdrop: in a studio, what touches the border is seldom the object.

Images are (N, H, W, C) float32 in [0, 1].
"""

import jax
import jax.numpy as jnp

_LIGHTNESS = 0.1  # weight of lightness beside colour: shadows fall on a backdrop, too
_WIDTH = 0.5  # of the bell, in root mean squares of the image's distances


def border_colour(x: jax.Array) -> jax.Array:
    """The median of the outermost pixels of each image, each channel by itself: (N, H, W, C) -> (N, 1, 1, C)."""
    border = jnp.concatenate([x[:, 0], x[:, -1], x[:, 1:-1, 0], x[:, 1:-1, -1]], axis=1)
    return jnp.median(border, axis=1)[:, None, None]


def _opponents(x: jax.Array) -> jax.Array:
    """Red against green, blue against yellow, and a little lightness; of grey images lightness alone."""
    if x.shape[-1] == 1:
        return x
    red, green, blue = jnp.moveaxis(x, -1, 0)
    return jnp.stack([red - green, blue - (red + green) / 2, _LIGHTNESS * x.mean(axis=-1)], axis=-1)


def border_likeness(x: jax.Array) -> jax.Array:
    """How much each pixel looks like its image's border: (N, H, W, C) -> (N, H, W, 1) in [0, 1], 1 where it is alike.

    A Gaussian of the distance in opponent colours from `border_colour`, whose width follows from the image's own
    distances, so that a pale object counts as much as a bright one.
    """
    distances = jnp.square(_opponents(x) - _opponents(border_colour(x))).sum(axis=-1, keepdims=True)
    scale = distances.mean(axis=(1, 2, 3), keepdims=True) + 1e-4
    return jnp.exp(-distances / (2 * _WIDTH**2 * scale))
