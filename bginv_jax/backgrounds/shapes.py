"""What families of random backgrounds are drawn with: random numbers, distances, ink, noise, leaves.

Lengths are pixels of a 32-pixel image and grow with the size.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from bginv_jax.images.pixels import stretch

SIDE = 32.0  # the side of an image, in the unit of every length


def pixels(size: int) -> jax.Array:
    """The places of the pixels, row and column: (size, size, 2)."""
    place = (jnp.arange(size) + 0.5) * SIDE / size
    return jnp.stack(jnp.meshgrid(place, place, indexing="ij"), axis=-1)


def uniform(key: jax.Array, low: Any, high: Any, shape: tuple[int, ...] = ()) -> jax.Array:
    """Numbers between two, or between arrays of them."""
    return jax.random.uniform(key, shape, minval=low, maxval=high)


def some(key: jax.Array, least: int, most: int) -> jax.Array:
    """Which of `most` things are there, at least `least` of them: bool (most,)."""
    return jnp.arange(most) < jax.random.randint(key, (), least, most + 1)


def drawn(distance: jax.Array, width: jax.Array) -> jax.Array:
    """How much ink lies at a distance from the middle of a stroke."""
    return jnp.clip((width + 1) / 2 - distance, 0, 1)


def inked(key: jax.Array, ink: jax.Array) -> jax.Array:
    """Ink of one grey on paper of another, which is black every second time."""
    keys = jax.random.split(key, 3)
    paper = jnp.where(jax.random.bernoulli(keys[0]), 0, uniform(keys[1], 0, 1))
    return paper + (uniform(keys[2], 0.4, 1) - paper) * ink


def to_segments(pixels: jax.Array, starts: jax.Array, ends: jax.Array) -> jax.Array:
    """Distances from pixels (S, S, 2) to segments between points (K, 2): (K, S, S)."""

    def one(start, end):
        along = end - start
        share = jnp.clip((pixels - start) @ along / jnp.maximum(along @ along, 1e-6), 0, 1)[..., None]
        return jnp.linalg.norm(pixels - start - share * along, axis=-1)

    return jax.vmap(one)(starts, ends)


def projected(pixels: jax.Array, angle: jax.Array) -> jax.Array:
    """The place of each pixel along a direction."""
    return pixels @ jnp.stack([jnp.cos(angle), jnp.sin(angle)])


def noise(key: jax.Array, size: int, transfer: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """White noise filtered by transfer(cycles per image), stretched over [0, 1]."""
    rows, columns = jnp.fft.fftfreq(size) * size, jnp.fft.rfftfreq(size) * size
    frequency = jnp.hypot(rows[:, None], columns)
    spectrum = jnp.fft.rfft2(jax.random.normal(key, (size, size))) * transfer(frequency)
    return stretch(jnp.fft.irfft2(spectrum, (size, size)))


def leaves(key: jax.Array, inside: jax.Array) -> jax.Array:
    """Opaque leaves (K, S, S) of random greys on top of each other, on a random ground."""
    greys = jax.random.uniform(key, (len(inside) + 1,))

    def lay(picture, leaf):
        shape, grey = leaf
        return jnp.where(shape, grey, picture), None

    return jax.lax.scan(lay, jnp.full(inside.shape[1:], greys[-1]), (inside, greys[:-1]))[0]


def pen(parameters: jax.Array, size: int) -> jax.Array:
    """Ink of bent strokes (K, 7) -> (size, size): three points, row and column, and a width, each from 0 to 1."""
    corners = parameters[:, :6].reshape(-1, 3, 2) * (SIDE + 8) - 4
    t = jnp.linspace(0, 1, 9)[:, None]
    curves = jax.vmap(lambda p: (1 - t) ** 2 * p[0] + 2 * t * (1 - t) * p[1] + t**2 * p[2])(corners)
    starts, ends = curves[:, :-1].reshape(-1, 2), curves[:, 1:].reshape(-1, 2)
    distance = to_segments(pixels(size), starts, ends).reshape(len(parameters), -1, size, size).min(axis=1)
    return drawn(distance, 0.5 + 3.5 * parameters[:, 6, None, None]).max(axis=0)
