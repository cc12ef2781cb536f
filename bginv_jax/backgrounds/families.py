"""Families of random backgrounds: what f may be trained on besides f_b, what recipes are chosen on, what is reported.

A family is a pure function (key, size) -> background (size, size) float32 in [0, 1]. Its lengths are pixels of a
32-pixel image and grow with the size. None of them is one of the poster's test patterns.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bginv_jax.images.pixels import stretch
from bginv_jax.jax_settings import own_settings

Family = Callable[[jax.Array, int], jax.Array]

_SIDE = 32.0  # the side of an image, in the unit of every length here
_TOGETHER = 20  # backgrounds that one call draws


def _pixels(size: int) -> jax.Array:
    """The places of the pixels, row and column: (size, size, 2)."""
    place = (jnp.arange(size) + 0.5) * _SIDE / size
    return jnp.stack(jnp.meshgrid(place, place, indexing="ij"), axis=-1)


def _uniform(key: jax.Array, low: Any, high: Any, shape: tuple[int, ...] = ()) -> jax.Array:
    return jax.random.uniform(key, shape, minval=low, maxval=high)


def _some(key: jax.Array, least: int, most: int) -> jax.Array:
    """Which of `most` things are there, at least `least` of them: bool (most,)."""
    return jnp.arange(most) < jax.random.randint(key, (), least, most + 1)


def _drawn(distance: jax.Array, width: jax.Array) -> jax.Array:
    """How much ink lies at a distance from the middle of a stroke."""
    return jnp.clip((width + 1) / 2 - distance, 0, 1)


def _inked(key: jax.Array, ink: jax.Array) -> jax.Array:
    """Ink of one grey on paper of another, which is black every second time."""
    keys = jax.random.split(key, 3)
    paper = jnp.where(jax.random.bernoulli(keys[0]), 0, _uniform(keys[1], 0, 1))
    return paper + (_uniform(keys[2], 0.4, 1) - paper) * ink


def _to_segments(pixels: jax.Array, starts: jax.Array, ends: jax.Array) -> jax.Array:
    """Distances from pixels (S, S, 2) to segments between points (K, 2): (K, S, S)."""

    def one(start, end):
        along = end - start
        share = jnp.clip((pixels - start) @ along / jnp.maximum(along @ along, 1e-6), 0, 1)[..., None]
        return jnp.linalg.norm(pixels - start - share * along, axis=-1)

    return jax.vmap(one)(starts, ends)


def _projected(pixels: jax.Array, angle: jax.Array) -> jax.Array:
    """The place of each pixel along a direction."""
    return pixels @ jnp.stack([jnp.cos(angle), jnp.sin(angle)])


def _noise(key: jax.Array, size: int, transfer: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """White noise filtered by transfer(cycles per image), stretched over [0, 1]."""
    rows, columns = jnp.fft.fftfreq(size) * size, jnp.fft.rfftfreq(size) * size
    frequency = jnp.hypot(rows[:, None], columns)
    spectrum = jnp.fft.rfft2(jax.random.normal(key, (size, size))) * transfer(frequency)
    return stretch(jnp.fft.irfft2(spectrum, (size, size)))


def _leaves(key: jax.Array, inside: jax.Array) -> jax.Array:
    """Opaque leaves (K, S, S) of random greys on top of each other, on a random ground."""
    greys = jax.random.uniform(key, (len(inside) + 1,))

    def lay(picture, leaf):
        shape, grey = leaf
        return jnp.where(shape, grey, picture), None

    return jax.lax.scan(lay, jnp.full(inside.shape[1:], greys[-1]), (inside, greys[:-1]))[0]


def plain(key: jax.Array, size: int) -> jax.Array:
    """One grey."""
    return jnp.full((size, size), _uniform(key, 0.05, 1))


def ramp(key: jax.Array, size: int) -> jax.Array:
    """A grey that changes evenly along a direction."""
    keys = jax.random.split(key, 3)
    start, end = _uniform(keys[1], 0, 1), _uniform(keys[2], 0, 1)
    return start + (end - start) * stretch(_projected(_pixels(size), _uniform(keys[0], 0, 2 * jnp.pi)))


def smooth(key: jax.Array, size: int) -> jax.Array:
    """Noise without what is finer than a random length."""
    keys = jax.random.split(key)
    finest = _uniform(keys[0], 1.5, 8)
    return _noise(keys[1], size, lambda frequency: jnp.exp(-((frequency / finest) ** 2)))


def fractal(key: jax.Array, size: int) -> jax.Array:
    """Noise with a spectrum like that of photographs, 1/f^a."""
    keys = jax.random.split(key)
    power = _uniform(keys[0], 0.8, 2)
    return _noise(keys[1], size, lambda frequency: jnp.maximum(frequency, 1.0) ** -power)


def blobs(key: jax.Array, size: int) -> jax.Array:
    """Spots without a shape, of one grey."""
    keys = jax.random.split(key, 4)
    finest = _uniform(keys[0], 2, 6)
    noise = _noise(keys[1], size, lambda frequency: jnp.exp(-((frequency / finest) ** 2)))
    return _inked(keys[2], jax.nn.sigmoid(30 * (noise - _uniform(keys[3], 0.4, 0.65))))


def pen(parameters: jax.Array, size: int) -> jax.Array:
    """Ink of bent strokes (K, 7) -> (size, size): three points, row and column, and a width, each from 0 to 1."""
    corners = parameters[:, :6].reshape(-1, 3, 2) * (_SIDE + 8) - 4
    t = jnp.linspace(0, 1, 9)[:, None]
    curves = jax.vmap(lambda p: (1 - t) ** 2 * p[0] + 2 * t * (1 - t) * p[1] + t**2 * p[2])(corners)
    starts, ends = curves[:, :-1].reshape(-1, 2), curves[:, 1:].reshape(-1, 2)
    distance = _to_segments(_pixels(size), starts, ends).reshape(len(parameters), -1, size, size).min(axis=1)
    return _drawn(distance, 0.5 + 3.5 * parameters[:, 6, None, None]).max(axis=0)


def strokes(key: jax.Array, size: int) -> jax.Array:
    """Two to six strokes of a pen, bent as they come."""
    keys = jax.random.split(key, 3)
    parameters = jax.random.uniform(keys[0], (6, 7))
    there = _some(keys[1], 2, 6)[:, None]
    return _inked(keys[2], pen(jnp.where(there, parameters, parameters[0]), size))


def segments(key: jax.Array, size: int) -> jax.Array:
    """Three to nine straight lines across."""
    keys = jax.random.split(key, 4)
    corners = _uniform(keys[0], -6, _SIDE + 6, (9, 2, 2))
    distance = _to_segments(_pixels(size), corners[:, 0], corners[:, 1])
    distance = jnp.where(_some(keys[1], 3, 9)[:, None, None], distance, _SIDE)
    return _inked(keys[2], _drawn(distance, _uniform(keys[3], 0.5, 3, (9, 1, 1))).max(axis=0))


def zigzags(key: jax.Array, size: int) -> jax.Array:
    """One line that turns three to ten times."""
    keys = jax.random.split(key, 4)
    corners = _uniform(keys[0], 0, _SIDE, (11, 2))
    distance = _to_segments(_pixels(size), corners[:-1], corners[1:])
    distance = jnp.where(_some(keys[1], 3, 10)[:, None, None], distance, _SIDE).min(axis=0)
    return _inked(keys[2], _drawn(distance, _uniform(keys[3], 0.5, 3)))


def rectangles(key: jax.Array, size: int) -> jax.Array:
    """Upright rectangles over each other."""
    keys = jax.random.split(key, 4)
    middle, half = _uniform(keys[0], 0, _SIDE, (12, 1, 1, 2)), _uniform(keys[1], 1, 10, (12, 1, 1, 2))
    inside = (jnp.abs(_pixels(size) - middle) < half).all(axis=-1)
    return _leaves(keys[2], inside & _some(keys[3], 4, 12)[:, None, None])


def triangles(key: jax.Array, size: int) -> jax.Array:
    """Triangles over each other."""
    keys = jax.random.split(key, 3)
    corners = _uniform(keys[0], -4, _SIDE + 4, (8, 3, 2))
    pixels = _pixels(size)

    def one(corner):
        edges = jnp.roll(corner, -1, axis=0) - corner
        offsets = pixels[None] - corner[:, None, None]
        side = edges[:, None, None, 0] * offsets[..., 1] - edges[:, None, None, 1] * offsets[..., 0]
        return (side > 0).all(axis=0) | (side < 0).all(axis=0)

    return _leaves(keys[1], jax.vmap(one)(corners) & _some(keys[2], 3, 8)[:, None, None])


def _to_sites(key, size, most):
    """Distances of the pixels to random sites, 5 to `most` of them: (most, S, S)."""
    keys = jax.random.split(key)
    sites = _uniform(keys[0], 0, _SIDE, (most, 1, 1, 2))
    there = _some(keys[1], 5, most)[:, None, None]
    return jnp.where(there, jnp.linalg.norm(_pixels(size) - sites, axis=-1), 4 * _SIDE)


def cells(key: jax.Array, size: int) -> jax.Array:
    """Each pixel has the grey of the site that it is nearest to."""
    keys = jax.random.split(key)
    return jax.random.uniform(keys[0], (24,))[_to_sites(keys[1], size, 24).argmin(axis=0)]


def cracks(key: jax.Array, size: int) -> jax.Array:
    """The lines between such cells."""
    keys = jax.random.split(key, 3)
    nearest = -jax.lax.top_k(-jnp.moveaxis(_to_sites(keys[0], size, 16), 0, -1), 2)[0]
    return _inked(keys[1], _drawn(nearest[..., 1] - nearest[..., 0], _uniform(keys[2], 0.5, 3)))


def waves(key: jax.Array, size: int) -> jax.Array:
    """A sine along a direction."""
    keys = jax.random.split(key, 4)
    along = _projected(_pixels(size), _uniform(keys[0], 0, jnp.pi)) / _uniform(keys[1], 3, 16)
    return _inked(keys[3], 0.5 + 0.5 * jnp.sin(2 * jnp.pi * (along + _uniform(keys[2], 0, 1))))


def bars(key: jax.Array, size: int) -> jax.Array:
    """Bars of random widths and greys along a direction, as on a parcel."""
    keys = jax.random.split(key, 3)
    along = _projected(_pixels(size), _uniform(keys[0], 0, jnp.pi)) + _SIDE
    edges = jnp.cumsum(_uniform(keys[1], 1, 7, (40,)))
    return jax.random.uniform(keys[2], (41,))[jnp.searchsorted(edges, along)]


def discs(key: jax.Array, size: int) -> jax.Array:
    """Four to twenty-four discs of one grey."""
    keys = jax.random.split(key, 4)
    middle, radius = _uniform(keys[0], 0, _SIDE, (24, 1, 1, 2)), _uniform(keys[1], 0.8, 4, (24, 1, 1))
    outside = jnp.linalg.norm(_pixels(size) - middle, axis=-1) - radius
    outside = jnp.where(_some(keys[2], 4, 24)[:, None, None], outside, _SIDE).min(axis=0)
    return _inked(keys[3], jnp.clip(0.5 - outside, 0, 1))


def arcs(key: jax.Array, size: int) -> jax.Array:
    """Two to six parts of circles, as thick as a pen."""
    keys = jax.random.split(key, 5)
    offset = _pixels(size) - _uniform(keys[0], -4, _SIDE + 4, (6, 1, 1, 2))
    distance = jnp.abs(jnp.linalg.norm(offset, axis=-1) - _uniform(keys[1], 3, 18, (6, 1, 1)))
    first, length = _uniform(keys[2], 0, 2 * jnp.pi, (2, 6, 1, 1))
    angle = (jnp.arctan2(offset[..., 0], offset[..., 1]) - first) % (2 * jnp.pi)
    there = _some(keys[3], 2, 6)[:, None, None] & (angle < length)
    widths = _uniform(keys[4], 0.5, 3.5, (6, 1, 1))
    return _inked(jax.random.fold_in(key, 5), _drawn(jnp.where(there, distance, _SIDE), widths).max(axis=0))


def weave(key: jax.Array, size: int) -> jax.Array:
    """Two sets of threads across each other."""
    keys = jax.random.split(key, 4)
    turn, period, phase = _uniform(keys[0], 0, jnp.pi), _uniform(keys[1], 3, 10, (2,)), _uniform(keys[2], 0, 1, (2,))
    pixels = _pixels(size)
    threads = [jnp.sin(2 * jnp.pi * (_projected(pixels, turn + i * jnp.pi / 2) / period[i] + phase[i])) for i in (0, 1)]
    return _inked(keys[3], jax.nn.sigmoid(4 * jnp.maximum(*threads)))


def rays(key: jax.Array, size: int) -> jax.Array:
    """Sectors around a point, of random greys."""
    keys = jax.random.split(key, 4)
    offset = _pixels(size) - _uniform(keys[0], -6, _SIDE + 6, (2,))
    turn = (jnp.arctan2(offset[..., 0], offset[..., 1]) / (2 * jnp.pi) + _uniform(keys[1], 0, 1)) % 1
    count = jax.random.randint(keys[2], (), 4, 17)
    return jax.random.uniform(keys[3], (17,))[jnp.floor(turn * count).astype(int)]


def spirals(key: jax.Array, size: int) -> jax.Array:
    """A spiral around a point."""
    keys = jax.random.split(key, 5)
    offset = _pixels(size) - _uniform(keys[0], 4, _SIDE - 4, (2,))
    hand = jnp.where(jax.random.bernoulli(keys[1]), 1, -1)
    turn = hand * jnp.arctan2(offset[..., 0], offset[..., 1]) / (2 * jnp.pi) + _uniform(keys[2], 0, 1)
    pitch = _uniform(keys[3], 4, 12)
    gap = jnp.abs((jnp.linalg.norm(offset, axis=-1) / pitch + turn) % 1 - 0.5) * pitch
    return _inked(keys[4], _drawn(gap, _uniform(jax.random.fold_in(key, 5), 0.5, 3)))


def letters(key: jax.Array, size: int) -> jax.Array:
    """Two to five signs of a foreign script, each of three strokes between points of a small grid."""
    keys = jax.random.split(key, 6)
    places = _uniform(keys[0], 0, _SIDE - 8, (5, 1, 1, 2))
    scale = _uniform(keys[1], 2.5, 6, (5, 1, 1, 1))
    ends = places + scale * jax.random.randint(keys[2], (5, 3, 2, 2), 0, 4)
    flat = ends.reshape(15, 2, 2)
    distance = _to_segments(_pixels(size), flat[:, 0], flat[:, 1]).reshape(5, 3, size, size).min(axis=1)
    distance = jnp.where(_some(keys[3], 2, 5)[:, None, None], distance, _SIDE)
    return _inked(keys[4], _drawn(distance, _uniform(keys[5], 0.5, 3, (5, 1, 1))).max(axis=0))


def marble(key: jax.Array, size: int) -> jax.Array:
    """Veins: waves bent by smooth noise."""
    keys = jax.random.split(key, 5)
    bend = _noise(keys[0], size, lambda frequency: jnp.exp(-((frequency / 3) ** 2)))
    along = _projected(_pixels(size), _uniform(keys[1], 0, jnp.pi)) / _uniform(keys[2], 6, 16)
    return _inked(keys[3], jnp.abs(jnp.sin(jnp.pi * (along + _uniform(keys[4], 0.5, 2.5) * bend))) ** 2)


def pebbles(key: jax.Array, size: int) -> jax.Array:
    """Ellipses over each other."""
    keys = jax.random.split(key, 5)
    offset = _pixels(size) - _uniform(keys[0], 0, _SIDE, (20, 1, 1, 2))
    axes, angle = _uniform(keys[1], 1.5, 9, (20, 1, 1, 2)), _uniform(keys[2], 0, jnp.pi, (20, 1, 1))
    row = jnp.cos(angle) * offset[..., 0] - jnp.sin(angle) * offset[..., 1]
    column = jnp.sin(angle) * offset[..., 0] + jnp.cos(angle) * offset[..., 1]
    inside = (row / axes[..., 0]) ** 2 + (column / axes[..., 1]) ** 2 < 1
    return _leaves(keys[3], inside & _some(keys[4], 8, 20)[:, None, None])


FAMILIES: dict[str, Family] = {
    family.__name__: family
    for family in (
        plain,
        ramp,
        smooth,
        fractal,
        blobs,
        strokes,
        segments,
        zigzags,
        rectangles,
        triangles,
        cells,
        cracks,
        waves,
        bars,
        discs,
        arcs,
        weave,
        rays,
        spirals,
        letters,
        marble,
        pebbles,
    )
}

# Recipes are trained on two folds and chosen on the third, by turns; a recipe that is chosen trains on all three.
FOLDS = (
    ("plain", "fractal", "strokes", "triangles"),
    ("ramp", "blobs", "segments", "cells"),
    ("smooth", "zigzags", "rectangles", "cracks"),
)
DEVELOPMENT = tuple(name for name in FAMILIES if any(name in fold for fold in FOLDS))
REPORT = tuple(name for name in FAMILIES if name not in DEVELOPMENT)


def _coloured(key: jax.Array, greys: jax.Array, channels: int) -> jax.Array:
    """Greys (S, S) as colours between two random ones: (S, S, C)."""
    if channels == 1:
        return greys[..., None]
    ends = jax.random.uniform(key, (2, channels))
    return ends[0] + (ends[1] - ends[0]) * greys[..., None]


@functools.partial(jax.jit, static_argnames=("name", "size", "channels"))
def _draw(keys, *, name, size, channels):
    def one(key):
        keys = jax.random.split(key)
        return _coloured(keys[0], FAMILIES[name](keys[1], size), channels)

    return jax.lax.map(one, keys)


@own_settings()
def draw(names: Sequence[str], count: int, *, size: int, channels: int = 1, seed: int) -> np.ndarray:
    """`count` backgrounds of each family, one family after the other: (len(names) * count, size, size, C) float32.

    What a family draws follows from its name and the seed, whichever others are named; a larger count draws more of the
    same.
    """
    drawn = []
    for name in names:
        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), list(FAMILIES).index(name)), count)
        for start in range(0, count, _TOGETHER):
            places = np.minimum(np.arange(start, start + _TOGETHER), count - 1)  # one shape, one compiled program
            some = _draw(keys[places], name=name, size=size, channels=channels)
            drawn.append(np.asarray(some)[: count - start])
    return np.concatenate(drawn)
