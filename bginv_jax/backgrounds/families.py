"""Families of random backgrounds: what f may be trained on besides f_b, what recipes are chosen on, what is reported.

A family is a pure function (key, size) -> background (size, size) float32 in [0, 1]; `shapes` has what draws it. None
of them is one of the poster's test patterns.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import numpy as np

from bginv_jax.backgrounds import development, reported
from bginv_jax.jax_settings import own_settings

Family = Callable[[jax.Array, int], jax.Array]

_TOGETHER = 20  # backgrounds that one call draws

# In a fixed order, which seeds follow: another family stands last. One that is in no tuple below is trained on where
# config.background.families names it, and in no report.
FAMILIES: dict[str, Family] = {
    family.__name__: family
    for family in (
        development.plain,
        development.ramp,
        development.smooth,
        development.fractal,
        development.blobs,
        development.strokes,
        development.segments,
        development.zigzags,
        development.rectangles,
        development.triangles,
        development.cells,
        development.cracks,
        reported.waves,
        reported.bars,
        reported.discs,
        reported.arcs,
        reported.weave,
        reported.rays,
        reported.spirals,
        reported.letters,
        reported.marble,
        reported.pebbles,
    )
}

# Recipes are trained on two folds and chosen on the third, by turns; a recipe that is chosen trains on all three.
FOLDS = (
    ("plain", "fractal", "strokes", "triangles"),
    ("ramp", "blobs", "segments", "cells"),
    ("smooth", "zigzags", "rectangles", "cracks"),
)
DEVELOPMENT = tuple(name for name in FAMILIES if any(name in fold for fold in FOLDS))
REPORT = ("waves", "bars", "discs", "arcs", "weave", "rays", "spirals", "letters", "marble", "pebbles")


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

    What a family draws follows from its place in FAMILIES and the seed, whichever others are named; a larger count
    draws more of the same.
    """
    drawn = []
    for name in names:
        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), list(FAMILIES).index(name)), count)
        for start in range(0, count, _TOGETHER):
            places = np.minimum(np.arange(start, start + _TOGETHER), count - 1)  # one shape, one compiled program
            some = _draw(keys[places], name=name, size=size, channels=channels)
            drawn.append(np.asarray(some)[: count - start])
    return np.concatenate(drawn)
