"""A picture of any size as the square that the networks see: one way, for training and for prediction.

Pictures are uint8 (H, W, C), of 1 or 3 channels.
"""

import numpy as np
from PIL import Image

from bginv_jax.errors import InputError

FITS = ("stretch", "pad", "crop")

_REDUCING_GAP = 3.0  # above this many times the side, whole pixels are averaged first: much faster, as good to the eye


def fit_picture(picture: np.ndarray, *, size: int, fit: str, channels: int) -> np.ndarray:
    """A picture resized to a square, bilinear, and smoothed where it shrinks.

    Args:
      picture: uint8 (H, W, 3), or (H, W, 1).
      size: the side, pixels; 0 keeps the picture's height and width.
      fit: what becomes of a picture that is not square. "stretch" changes its proportions, "crop" takes its middle
        square, "pad" keeps all of it in the middle of a square of one colour, the median of the picture's border.
      channels: 1 for the luminance (ITU-R 601), 3; grey is repeated. 0 keeps the picture's.

    Returns:
      uint8 (size, size, channels).

    Raises:
      ValueError: for another `fit` or another array.
    """
    if fit not in FITS:
        raise InputError(f"fit is {fit!r}; allowed: {', '.join(FITS)}")
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] not in (1, 3) or not picture.size:
        raise InputError(f"a picture is {picture.dtype} {picture.shape}; expected uint8 (height, width, 1 or 3)")
    if picture.shape[-1] == 3 and channels == 1:
        picture = np.asarray(Image.fromarray(picture).convert("L"))[..., None]
    if size:
        picture = _to_square(picture, size, fit)
    return picture.repeat(3, axis=-1) if picture.shape[-1] == 1 and channels == 3 else picture


def _to_square(picture: np.ndarray, size: int, fit: str) -> np.ndarray:
    height, width = picture.shape[:2]
    if fit == "stretch" or height == width:
        return _resize(picture, size, size)
    if fit == "crop":
        short = min(height, width)
        top, left = (height - short) // 2, (width - short) // 2
        return _resize(picture[top : top + short, left : left + short], size, size)
    scale = size / max(height, width)
    inner = _resize(picture, *(max(1, round(scale * side)) for side in (height, width)))
    top, left = ((size - side) // 2 for side in inner.shape[:2])
    square = np.empty((size, size, picture.shape[-1]), np.uint8)
    square[:] = _border_colour(picture)
    square[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return square


def _resize(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    resized = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)
    return np.asarray(resized).reshape(height, width, -1)


def _border_colour(picture: np.ndarray) -> np.ndarray:
    """The median of the outermost pixels, (C,): what stands behind an object in the middle."""
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    return np.median(border, axis=0).astype(np.uint8)
