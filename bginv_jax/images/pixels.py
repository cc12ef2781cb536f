"""Images as arrays: their type, their frame, and what is the same in all of them.

Images are NHWC, uint8 or float32 in [0, 1].
"""

from collections.abc import Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from bginv_jax.errors import InputError

SameArray = TypeVar("SameArray", jax.Array, np.ndarray)


def as_float(images: SameArray) -> SameArray:
    """uint8 images in 0..255 -> float32 in [0, 1]; float images pass unchanged."""
    return images.astype(jnp.float32) / 255 if images.dtype == jnp.uint8 else images


def stretch(values: jax.Array) -> jax.Array:
    """Values stretched over [0, 1]; where they differ by less than a thousandth, hardly."""
    low, high = values.min(), values.max()
    return (values - low) / jnp.maximum(high - low, 1e-3)


def _margins(inner: Sequence[int], outer: Sequence[int]) -> tuple[int, int]:
    """Rows above and columns left of what is centred in a larger frame."""
    return (outer[0] - inner[0]) // 2, (outer[1] - inner[1]) // 2


def pad_to(images: SameArray, size: int) -> SameArray:
    """(N, H, W, C) -> (N, size, size, C), centred on zeros.

    Raises:
      InputError: if an image is larger than `size`.
    """
    height, width = images.shape[1:3]
    if max(height, width) > size:
        raise InputError(f"images of {height}x{width} pixels do not fit into {size}x{size}")
    top, left = _margins((height, width), (size, size))
    margins = ((0, 0), (top, size - height - top), (left, size - width - left), (0, 0))
    return np.pad(images, margins) if isinstance(images, np.ndarray) else jnp.pad(images, margins)


def crop_to(images: SameArray, shape: tuple[int, int]) -> SameArray:
    """Back from `pad_to`: the middle (N, H, W, C) of padded images, a view."""
    top, left = _margins(shape, images.shape[1:3])
    return images[:, top : top + shape[0], left : left + shape[1]]


def reframe(images: jax.Array, share: float) -> jax.Array:
    """The middle `share` of each side, resized to the whole: (N, S, S, C) -> (N, S, S, C), bilinear.

    Of a share above 1 what lies beyond the edges is as the edges are.
    """
    size = images.shape[1]
    side = max(1, round(share * size))
    if side > size:
        before, _ = _margins((size, size), (side, side))
        margins = (before, side - size - before)
        framed = jnp.pad(images, ((0, 0), margins, margins, (0, 0)), mode="edge")
    else:
        framed = crop_to(images, (side, side))
    return jax.image.resize(framed, images.shape, "linear")


def backdrop(images: np.ndarray) -> np.ndarray:
    """Each pixel's most frequent value: (N, S, S, C) uint8 -> (S, S, C) uint8.

    Where the camera stands still and the objects differ, that is what stands behind them; for digits on black, black.
    """
    counts = np.stack([np.count_nonzero(images == value, axis=0) for value in range(256)])
    return counts.argmax(axis=0).astype(np.uint8)


def tile(tiles: jax.Array, side: int) -> jax.Array:
    """Joins (N * side^2, T, T, C) tiles to (N, side * T, side * T, C), `side` x `side` in reading order."""
    size, channels = tiles.shape[1], tiles.shape[-1]
    grid = tiles.reshape(-1, side, side, size, size, channels)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(-1, side * size, side * size, channels)
