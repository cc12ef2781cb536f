"""The families that are kept for reports: (key, size) -> background, as `families` has them. Nothing trains on them."""

import jax
import jax.numpy as jnp

from bginv_jax.backgrounds import shapes


def waves(key: jax.Array, size: int) -> jax.Array:
    """A sine along a direction."""
    keys = jax.random.split(key, 4)
    along = shapes.projected(shapes.pixels(size), shapes.uniform(keys[0], 0, jnp.pi)) / shapes.uniform(keys[1], 3, 16)
    return shapes.inked(keys[3], 0.5 + 0.5 * jnp.sin(2 * jnp.pi * (along + shapes.uniform(keys[2], 0, 1))))


def bars(key: jax.Array, size: int) -> jax.Array:
    """Bars of random widths and greys along a direction, as on a parcel."""
    keys = jax.random.split(key, 3)
    along = shapes.projected(shapes.pixels(size), shapes.uniform(keys[0], 0, jnp.pi)) + shapes.SIDE
    edges = jnp.cumsum(shapes.uniform(keys[1], 1, 7, (40,)))
    return jax.random.uniform(keys[2], (41,))[jnp.searchsorted(edges, along)]


def discs(key: jax.Array, size: int) -> jax.Array:
    """Four to twenty-four discs of one grey."""
    keys = jax.random.split(key, 4)
    middle, radius = shapes.uniform(keys[0], 0, shapes.SIDE, (24, 1, 1, 2)), shapes.uniform(keys[1], 0.8, 4, (24, 1, 1))
    outside = jnp.linalg.norm(shapes.pixels(size) - middle, axis=-1) - radius
    outside = jnp.where(shapes.some(keys[2], 4, 24)[:, None, None], outside, shapes.SIDE).min(axis=0)
    return shapes.inked(keys[3], jnp.clip(0.5 - outside, 0, 1))


def arcs(key: jax.Array, size: int) -> jax.Array:
    """Two to six parts of circles, as thick as a pen."""
    keys = jax.random.split(key, 5)
    offset = shapes.pixels(size) - shapes.uniform(keys[0], -4, shapes.SIDE + 4, (6, 1, 1, 2))
    distance = jnp.abs(jnp.linalg.norm(offset, axis=-1) - shapes.uniform(keys[1], 3, 18, (6, 1, 1)))
    first, length = shapes.uniform(keys[2], 0, 2 * jnp.pi, (2, 6, 1, 1))
    angle = (jnp.arctan2(offset[..., 0], offset[..., 1]) - first) % (2 * jnp.pi)
    there = shapes.some(keys[3], 2, 6)[:, None, None] & (angle < length)
    widths = shapes.uniform(keys[4], 0.5, 3.5, (6, 1, 1))
    return shapes.inked(
        jax.random.fold_in(key, 5), shapes.drawn(jnp.where(there, distance, shapes.SIDE), widths).max(axis=0)
    )


def weave(key: jax.Array, size: int) -> jax.Array:
    """Two sets of threads across each other."""
    keys = jax.random.split(key, 4)
    turn, period, phase = (
        shapes.uniform(keys[0], 0, jnp.pi),
        shapes.uniform(keys[1], 3, 10, (2,)),
        shapes.uniform(keys[2], 0, 1, (2,)),
    )
    pixels = shapes.pixels(size)
    threads = [
        jnp.sin(2 * jnp.pi * (shapes.projected(pixels, turn + i * jnp.pi / 2) / period[i] + phase[i])) for i in (0, 1)
    ]
    return shapes.inked(keys[3], jax.nn.sigmoid(4 * jnp.maximum(*threads)))


def rays(key: jax.Array, size: int) -> jax.Array:
    """Sectors around a point, of random greys."""
    keys = jax.random.split(key, 4)
    offset = shapes.pixels(size) - shapes.uniform(keys[0], -6, shapes.SIDE + 6, (2,))
    turn = (jnp.arctan2(offset[..., 0], offset[..., 1]) / (2 * jnp.pi) + shapes.uniform(keys[1], 0, 1)) % 1
    count = jax.random.randint(keys[2], (), 4, 17)
    return jax.random.uniform(keys[3], (17,))[jnp.floor(turn * count).astype(int)]


def spirals(key: jax.Array, size: int) -> jax.Array:
    """A spiral around a point."""
    keys = jax.random.split(key, 5)
    offset = shapes.pixels(size) - shapes.uniform(keys[0], 4, shapes.SIDE - 4, (2,))
    hand = jnp.where(jax.random.bernoulli(keys[1]), 1, -1)
    turn = hand * jnp.arctan2(offset[..., 0], offset[..., 1]) / (2 * jnp.pi) + shapes.uniform(keys[2], 0, 1)
    pitch = shapes.uniform(keys[3], 4, 12)
    gap = jnp.abs((jnp.linalg.norm(offset, axis=-1) / pitch + turn) % 1 - 0.5) * pitch
    return shapes.inked(keys[4], shapes.drawn(gap, shapes.uniform(jax.random.fold_in(key, 5), 0.5, 3)))


def letters(key: jax.Array, size: int) -> jax.Array:
    """Two to five signs of a foreign script, each of three strokes between points of a small grid."""
    keys = jax.random.split(key, 6)
    places = shapes.uniform(keys[0], 0, shapes.SIDE - 8, (5, 1, 1, 2))
    scale = shapes.uniform(keys[1], 2.5, 6, (5, 1, 1, 1))
    ends = places + scale * jax.random.randint(keys[2], (5, 3, 2, 2), 0, 4)
    flat = ends.reshape(15, 2, 2)
    distance = shapes.to_segments(shapes.pixels(size), flat[:, 0], flat[:, 1]).reshape(5, 3, size, size).min(axis=1)
    distance = jnp.where(shapes.some(keys[3], 2, 5)[:, None, None], distance, shapes.SIDE)
    return shapes.inked(keys[4], shapes.drawn(distance, shapes.uniform(keys[5], 0.5, 3, (5, 1, 1))).max(axis=0))


def marble(key: jax.Array, size: int) -> jax.Array:
    """Veins: waves bent by smooth noise."""
    keys = jax.random.split(key, 5)
    bend = shapes.noise(keys[0], size, lambda frequency: jnp.exp(-((frequency / 3) ** 2)))
    along = shapes.projected(shapes.pixels(size), shapes.uniform(keys[1], 0, jnp.pi)) / shapes.uniform(keys[2], 6, 16)
    return shapes.inked(keys[3], jnp.abs(jnp.sin(jnp.pi * (along + shapes.uniform(keys[4], 0.5, 2.5) * bend))) ** 2)


def pebbles(key: jax.Array, size: int) -> jax.Array:
    """Ellipses over each other."""
    keys = jax.random.split(key, 5)
    offset = shapes.pixels(size) - shapes.uniform(keys[0], 0, shapes.SIDE, (20, 1, 1, 2))
    axes, angle = shapes.uniform(keys[1], 1.5, 9, (20, 1, 1, 2)), shapes.uniform(keys[2], 0, jnp.pi, (20, 1, 1))
    row = jnp.cos(angle) * offset[..., 0] - jnp.sin(angle) * offset[..., 1]
    column = jnp.sin(angle) * offset[..., 0] + jnp.cos(angle) * offset[..., 1]
    inside = (row / axes[..., 0]) ** 2 + (column / axes[..., 1]) ** 2 < 1
    return shapes.leaves(keys[3], inside & shapes.some(keys[4], 8, 20)[:, None, None])
