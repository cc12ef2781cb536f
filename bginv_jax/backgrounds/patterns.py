"""The poster's six test backgrounds and how a test image is set on them.

Patterns are float32 (size, size), 1 for a white stroke on black, and drawn on the host; their widths are those of a
32-pixel image and grow with whole multiples of it.
"""

from collections.abc import Callable

import numpy as np
from skimage import draw, morphology

from bginv_jax.errors import InputError
from bginv_jax.images.pixels import as_float

Pattern = Callable[[int], np.ndarray]

_HALO = 2  # pixels of black around the object at 32x32


def _unit(size: int) -> int:
    return max(1, round(size / 32))


def none(size: int) -> np.ndarray:
    """Black: the image as it is."""
    return np.zeros((size, size), np.float32)


def stripes(size: int) -> np.ndarray:
    """Diagonals, 2 pixels thick and 8 apart."""
    row, column = np.indices((size, size)) // _unit(size)
    return ((column - row) % 10 < 2).astype(np.float32)


def board(size: int) -> np.ndarray:
    """A chessboard of 6-pixel squares, shifted by -2."""
    row, column = np.indices((size, size)) // _unit(size) + 2
    return ((row // 6 + column // 6) % 2).astype(np.float32)


def border(size: int) -> np.ndarray:
    """A frame of 2 pixels."""
    width = 2 * _unit(size)
    pattern = np.ones((size, size), np.float32)
    pattern[width:-width, width:-width] = 0
    return pattern


def _circle(pattern: np.ndarray, row: int, column: int, radius: int) -> None:
    pattern[draw.circle_perimeter(row, column, radius, shape=pattern.shape)] = 1


def circles(size: int) -> np.ndarray:
    """Four circles of radius 6 around the points 8 pixels from each corner."""
    unit = _unit(size)
    pattern = none(size)
    for row in (8 * unit, size - 8 * unit):
        for column in (8 * unit, size - 8 * unit):
            for width in range(unit):
                _circle(pattern, row, column, 6 * unit - width)
    return pattern


def clock(size: int) -> np.ndarray:
    """A dial that fills the image: a rim of 2 pixels and four ticks, 3 wide."""
    unit = _unit(size)
    centre = size // 2
    pattern = none(size)
    for width in range(2 * unit):
        _circle(pattern, centre, centre, centre - 1 - width)
    row, column = np.abs(np.indices((size, size)) - centre)
    long, wide = centre - 6 * unit, (3 * unit) // 2
    pattern[((row >= long) & (column <= wide)) | ((column >= long) & (row <= wide))] = 1
    return pattern


def random(size: int, rate: float = 0.25, seed: int = 0) -> np.ndarray:
    """White pixels on a share `rate` of the places, drawn once with `seed`."""
    pattern = none(size)
    order = np.random.RandomState(seed).permutation(size * size)
    pattern.flat[order[: round(rate * size * size)]] = 1
    return pattern


BACKGROUNDS: dict[str, Pattern] = {
    "none": none,
    "stripes": stripes,
    "board": board,
    "border": border,
    "circles": circles,
    "clock": clock,
    "random": random,
}


def with_halo(objects: np.ndarray) -> np.ndarray:
    """Masks (N, S, S, 1), bool, dilated by a disk of 2 pixels at 32x32."""
    disk = morphology.disk(_HALO * _unit(objects.shape[1])).astype(bool)
    return morphology.dilation(objects, disk[None, ..., None])


def compose_test(images: np.ndarray, background: str | np.ndarray, *, kept: np.ndarray | None = None) -> np.ndarray:
    """Sets test images on a background, which replaces all but the object and a black halo around it.

    Args:
      images: (N, S, S, C), uint8 or float in [0, 1].
      background: a name in BACKGROUNDS, or a pattern (S, S) or (S, S, C) in [0, 1].
      kept: what is not replaced, bool (N, S, S, 1); by default what is above 0 in any channel, `with_halo`.

    Returns:
      float32 (N, S, S, C) in [0, 1].

    Raises:
      ValueError: for an unknown name, or a pattern whose size is not the images'.
    """
    images = as_float(np.asarray(images))
    size = images.shape[1]
    if isinstance(background, str):
        if background not in BACKGROUNDS:
            raise InputError(f"background {background!r} is not one of {', '.join(BACKGROUNDS)}")
        background = BACKGROUNDS[background](size)
    background = np.asarray(background, np.float32)
    if background.shape[:2] != images.shape[1:3]:
        raise InputError(f"a background of {background.shape[:2]} pixels for images of {images.shape[1:3]}")
    if background.ndim == 2:
        background = background[..., None]
    kept = with_halo(np.any(images > 0, axis=-1, keepdims=True)) if kept is None else kept
    return np.where(kept, images, background).astype(np.float32, copy=False)
