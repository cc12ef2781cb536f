"""Families that f may be trained on and recipes are chosen on: (key, size) -> background, as `families` has them."""

import jax
import jax.numpy as jnp

from bginv_jax.backgrounds import shapes
from bginv_jax.images.pixels import stretch


def plain(key: jax.Array, size: int) -> jax.Array:
    """One grey."""
    return jnp.full((size, size), shapes.uniform(key, 0.05, 1))


def ramp(key: jax.Array, size: int) -> jax.Array:
    """A grey that changes evenly along a direction."""
    keys = jax.random.split(key, 3)
    start, end = shapes.uniform(keys[1], 0, 1), shapes.uniform(keys[2], 0, 1)
    return start + (end - start) * stretch(
        shapes.projected(shapes.pixels(size), shapes.uniform(keys[0], 0, 2 * jnp.pi))
    )


def smooth(key: jax.Array, size: int) -> jax.Array:
    """Noise without what is finer than a random length."""
    keys = jax.random.split(key)
    finest = shapes.uniform(keys[0], 1.5, 8)
    return shapes.noise(keys[1], size, lambda frequency: jnp.exp(-((frequency / finest) ** 2)))


def fractal(key: jax.Array, size: int) -> jax.Array:
    """Noise with a spectrum like that of photographs, 1/f^a."""
    keys = jax.random.split(key)
    power = shapes.uniform(keys[0], 0.8, 2)
    return shapes.noise(keys[1], size, lambda frequency: jnp.maximum(frequency, 1.0) ** -power)


def blobs(key: jax.Array, size: int) -> jax.Array:
    """Spots without a shape, of one grey."""
    keys = jax.random.split(key, 4)
    finest = shapes.uniform(keys[0], 2, 6)
    noise = shapes.noise(keys[1], size, lambda frequency: jnp.exp(-((frequency / finest) ** 2)))
    return shapes.inked(keys[2], jax.nn.sigmoid(30 * (noise - shapes.uniform(keys[3], 0.4, 0.65))))


def strokes(key: jax.Array, size: int) -> jax.Array:
    """Two to six strokes of a pen, bent as they come."""
    keys = jax.random.split(key, 3)
    parameters = jax.random.uniform(keys[0], (6, 7))
    there = shapes.some(keys[1], 2, 6)[:, None]
    return shapes.inked(keys[2], shapes.pen(jnp.where(there, parameters, parameters[0]), size))


def segments(key: jax.Array, size: int) -> jax.Array:
    """Three to nine straight lines across."""
    keys = jax.random.split(key, 4)
    corners = shapes.uniform(keys[0], -6, shapes.SIDE + 6, (9, 2, 2))
    distance = shapes.to_segments(shapes.pixels(size), corners[:, 0], corners[:, 1])
    distance = jnp.where(shapes.some(keys[1], 3, 9)[:, None, None], distance, shapes.SIDE)
    return shapes.inked(keys[2], shapes.drawn(distance, shapes.uniform(keys[3], 0.5, 3, (9, 1, 1))).max(axis=0))


def zigzags(key: jax.Array, size: int) -> jax.Array:
    """One line of three to ten straight pieces."""
    keys = jax.random.split(key, 4)
    corners = shapes.uniform(keys[0], 0, shapes.SIDE, (11, 2))
    distance = shapes.to_segments(shapes.pixels(size), corners[:-1], corners[1:])
    distance = jnp.where(shapes.some(keys[1], 3, 10)[:, None, None], distance, shapes.SIDE).min(axis=0)
    return shapes.inked(keys[2], shapes.drawn(distance, shapes.uniform(keys[3], 0.5, 3)))


def rectangles(key: jax.Array, size: int) -> jax.Array:
    """Upright rectangles over each other."""
    keys = jax.random.split(key, 4)
    middle, half = shapes.uniform(keys[0], 0, shapes.SIDE, (12, 1, 1, 2)), shapes.uniform(keys[1], 1, 10, (12, 1, 1, 2))
    inside = (jnp.abs(shapes.pixels(size) - middle) < half).all(axis=-1)
    return shapes.leaves(keys[2], inside & shapes.some(keys[3], 4, 12)[:, None, None])


def triangles(key: jax.Array, size: int) -> jax.Array:
    """Triangles over each other."""
    keys = jax.random.split(key, 3)
    corners = shapes.uniform(keys[0], -4, shapes.SIDE + 4, (8, 3, 2))
    pixels = shapes.pixels(size)

    def one(corner):
        edges = jnp.roll(corner, -1, axis=0) - corner
        offsets = pixels[None] - corner[:, None, None]
        side = edges[:, None, None, 0] * offsets[..., 1] - edges[:, None, None, 1] * offsets[..., 0]
        return (side > 0).all(axis=0) | (side < 0).all(axis=0)

    return shapes.leaves(keys[1], jax.vmap(one)(corners) & shapes.some(keys[2], 3, 8)[:, None, None])


def _to_sites(key, size, most):
    """Distances of the pixels to random sites, 5 to `most` of them: (most, S, S)."""
    keys = jax.random.split(key)
    sites = shapes.uniform(keys[0], 0, shapes.SIDE, (most, 1, 1, 2))
    there = shapes.some(keys[1], 5, most)[:, None, None]
    return jnp.where(there, jnp.linalg.norm(shapes.pixels(size) - sites, axis=-1), 4 * shapes.SIDE)


def cells(key: jax.Array, size: int) -> jax.Array:
    """Each pixel has the grey of the site that it is nearest to."""
    keys = jax.random.split(key)
    return jax.random.uniform(keys[0], (24,))[_to_sites(keys[1], size, 24).argmin(axis=0)]


def cracks(key: jax.Array, size: int) -> jax.Array:
    """The lines between such cells."""
    keys = jax.random.split(key, 3)
    nearest = -jax.lax.top_k(-jnp.moveaxis(_to_sites(keys[0], size, 16), 0, -1), 2)[0]
    return shapes.inked(keys[1], shapes.drawn(nearest[..., 1] - nearest[..., 0], shapes.uniform(keys[2], 0.5, 3)))
