"""Masks as arrays: cut, grown, shrunk, measured.

Masks are (N, H, W, 1), float32 in [0, 1] or bool, 1 on the object.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from bginv_jax.errors import InputError

BINARIZATIONS = ("otsu", "threshold", "quantile", "none")


def mean_area(m: jax.Array) -> jax.Array:
    """Mean of each mask (N, H, W, 1) -> (N,)."""
    return m.mean(axis=(1, 2, 3))


def overlap(m: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Intersection over union of masks (N, H, W, 1) of bool: (N,); of two empty masks 1."""
    both, either = (m & truth).sum(axis=(1, 2, 3)), (m | truth).sum(axis=(1, 2, 3))
    return np.where(either, both / np.maximum(either, 1), 1.0)


def total_variation(m: jax.Array) -> jax.Array:
    """Sum of absolute differences of neighbours over the number of pixels: (N, H, W, 1) -> (N,)."""
    down = jnp.abs(m[:, 1:] - m[:, :-1]).sum(axis=(1, 2, 3))
    right = jnp.abs(m[:, :, 1:] - m[:, :, :-1]).sum(axis=(1, 2, 3))
    return (down + right) / (m.shape[1] * m.shape[2])


def dilate(m: jax.Array, radius: jax.Array, *, largest: int) -> jax.Array:
    """Grey dilation of each mask (N, H, W, 1) by a disk of its own radius.

    Args:
      m: masks.
      radius: (N,) pixels, at most `largest`; where it is 0 or less the mask stays.
      largest: the static bound of the radii, in pixels.
    """
    height, width = m.shape[1:3]
    padded = jnp.pad(m, ((0, 0), (largest, largest), (largest, largest), (0, 0)))
    reach = (jnp.maximum(radius, 0) ** 2)[:, None, None, None]
    steps = range(-largest, largest + 1)
    disk = sorted((i * i + j * j, i, j) for i in steps for j in steps if 0 < i * i + j * j <= largest**2)
    for distance, ring in itertools.groupby(disk, key=lambda place: place[0]):
        corners = ((largest + i, largest + j) for _, i, j in ring)  # of the padded mask, moved
        moved = (padded[:, top : top + height, left : left + width] for top, left in corners)
        m = jnp.where(reach >= distance, functools.reduce(jnp.maximum, moved, m), m)
    return m


def grow(m: jax.Array, radius: jax.Array, *, least: int, most: int) -> jax.Array:
    """As `dilate`, and where a radius is below 0, grey erosion by a disk of that radius: `least` to `most` pixels."""
    if least >= 0:
        return dilate(m, radius, largest=most)
    shrinks = (radius < 0)[:, None, None, None]
    grown = dilate(jnp.where(shrinks, 1 - m, m), jnp.abs(radius), largest=max(-least, most))
    return jnp.where(shrinks, 1 - grown, grown)


def otsu_threshold(m: jax.Array) -> jax.Array:
    """Otsu's threshold of each mask, 256 bins between its extremes: (N, H, W, 1) -> (N,). As scikit-image has it."""

    def one(values):
        low, high = values.min(), values.max()
        edges = jnp.linspace(low, high, 257)
        centres = (edges[:-1] + edges[1:]) / 2
        ordered = jnp.sort(values)
        below = jnp.searchsorted(ordered, edges[1:-1], side="left")  # the last bin takes its right edge
        counts = jnp.diff(jnp.concatenate([jnp.zeros(1), below, jnp.full(1, values.size)]))
        weight = jnp.cumsum(counts)
        moment = jnp.cumsum(counts * centres)
        other = weight[-1] - weight
        gap = moment / weight - (moment[-1] - moment) / jnp.maximum(other, 1)
        between = jnp.where(other > 0, weight * other * gap**2, -1.0)
        return jnp.where(low == high, low, centres[jnp.argmax(between)])

    return jax.vmap(one)(m.reshape(m.shape[0], -1))


def binarize(m: jax.Array, method: str, *, area: float) -> jax.Array:
    """Masks in [0, 1] -> masks in {0, 1}, except for method "none".

    Args:
      m: masks (N, H, W, 1).
      method: "otsu", "threshold" (at 0.5), "quantile" (the brightest `area` share of each mask) or "none".
      area: the share that "quantile" keeps.

    Raises:
      InputError: for another method.
    """
    if method not in BINARIZATIONS:
        raise InputError(f"masks are cut by {method!r}; allowed: {', '.join(BINARIZATIONS)}")
    if method == "none":
        return m
    if method == "threshold":
        cut = jnp.full(m.shape[0], 0.5)
    elif method == "quantile":
        cut = jnp.quantile(m.reshape(m.shape[0], -1), 1 - area, axis=1)
    else:
        cut = otsu_threshold(m)
    return (m > cut[:, None, None, None]).astype(m.dtype)
