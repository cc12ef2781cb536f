"""Arrays in, arrays out: what the method does to images and masks between the networks.

Images are NHWC float32 in [0, 1], masks (N, H, W, 1) with 1 on the object.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

FILLS = ("black", "backdrop")
BINARIZATIONS = ("otsu", "threshold", "quantile", "none")


def as_float(images: jax.Array) -> jax.Array:
    """uint8 images in 0..255 -> float32 in [0, 1]; float images pass unchanged."""
    return images.astype(jnp.float32) / 255 if images.dtype == jnp.uint8 else images


def pad_to(images: np.ndarray, size: int) -> np.ndarray:
    """(N, H, W, C) -> (N, size, size, C), centred on zeros.

    Raises:
      ValueError: if an image is larger than `size`.
    """
    height, width = images.shape[1:3]
    if max(height, width) > size:
        raise ValueError(f"images of {height}x{width} pixels do not fit into {size}x{size}")
    top, left = (size - height) // 2, (size - width) // 2
    margins = ((0, 0), (top, size - height - top), (left, size - width - left), (0, 0))
    return np.pad(images, margins)


def compose(x: jax.Array, m: jax.Array, b: jax.Array) -> jax.Array:
    """m * x + b * (1 - m), the poster's equation: the object of x on the background b."""
    return m * x + b * (1 - m)


def backdrop(images: np.ndarray) -> np.ndarray:
    """Each pixel's most frequent value: (N, S, S, C) uint8 -> (S, S, C) uint8.

    Where the camera stands still and the objects differ, that is what stands behind them; for digits on black, black.
    """
    counts = np.stack([np.count_nonzero(images == value, axis=0) for value in range(256)])
    return counts.argmax(axis=0).astype(np.uint8)


def compose_ink(x: jax.Array, m: jax.Array, b: jax.Array, texture: jax.Array, *, contrast: float) -> jax.Array:
    """The object of x, bright on black, drawn on b with a texture as its ink: a * t + b * (1 - a).

    a is the mask times the grey value of x, so b shows wherever x is black. t is the texture, its values squeezed in
    order into what lies at least `contrast` from b, [0, b - contrast] and [b + contrast, 1]: ink of any colour and
    pattern, lighter than what is dark in b and darker than what is light, which vanishes nowhere. Black on white is
    one of them. In |b - x| (MNIST-M, Ganin et al. 2016) the ink is always 1 - b.

    Args:
      x: images (N, H, W, C) in [0, 1].
      m: masks (N, H, W, 1).
      b: backgrounds (N, H, W, C).
      texture: what the ink looks like, (N, H, W, C) in [0, 1].
      contrast: the least |t - b| of every pixel and channel, 0 to 0.5.
    """
    below, above = nn.relu(b - contrast), nn.relu(1 - b - contrast)
    squeezed = texture * (below + above)
    ink = jnp.where((squeezed < below) | (above == 0), squeezed, squeezed - below + b + contrast)
    return compose(ink, m * x.mean(axis=-1, keepdims=True), b)


def tile(tiles: jax.Array, side: int) -> jax.Array:
    """Joins (N * side^2, T, T, C) tiles to (N, side * T, side * T, C), `side` x `side` in reading order."""
    size, channels = tiles.shape[1], tiles.shape[-1]
    grid = tiles.reshape(-1, side, side, size, size, channels)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(-1, side * size, side * size, channels)


def area(m: jax.Array) -> jax.Array:
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
      radius: (N,) pixels, at most `largest`.
      largest: the static bound of the radii, in pixels.
    """
    height, width = m.shape[1:3]
    padded = jnp.pad(m, ((0, 0), (largest, largest), (largest, largest), (0, 0)))
    reach = (radius**2)[:, None, None, None]
    for i in range(-largest, largest + 1):
        for j in range(-largest, largest + 1):
            if 0 < i * i + j * j <= largest**2:
                top, left = largest + i, largest + j
                shifted = padded[:, top : top + height, left : left + width]
                m = jnp.where(reach >= i * i + j * j, jnp.maximum(m, shifted), m)
    return m


def erode(m: jax.Array, radius: jax.Array, *, largest: int) -> jax.Array:
    """Grey erosion of each mask (N, H, W, 1) by a disk of its own radius; as `dilate`."""
    return 1 - dilate(1 - m, radius, largest=largest) if largest else m


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

    return jax.vmap(one)(m.reshape(len(m), -1))


def binarize(m: jax.Array, method: str, *, area: float) -> jax.Array:
    """Masks in [0, 1] -> masks in {0, 1}, except for method "none".

    Args:
      m: masks (N, H, W, 1).
      method: "otsu", "threshold" (at 0.5), "quantile" (the brightest `area` share of each mask) or "none".
      area: the share that "quantile" keeps.
    """
    if method == "none":
        return m
    if method == "threshold":
        cut = jnp.full(len(m), 0.5)
    elif method == "quantile":
        cut = jnp.quantile(m.reshape(len(m), -1), 1 - area, axis=1)
    else:
        cut = otsu_threshold(m)
    return (m > cut[:, None, None, None]).astype(m.dtype)
