"""A folder of photographs as one array, to cut backgrounds from."""

from pathlib import Path

import numpy as np
from skimage import color, io, transform

_SUFFIXES = (".jpg", ".jpeg", ".png")
_SIDES = 4  # a photograph is this many images wide and high


def _read(path: Path, side: int, channels: int) -> np.ndarray:
    """The middle square of a photograph: (side, side, channels) uint8."""
    try:
        picture = np.asarray(io.imread(path))
    except (OSError, SyntaxError, ValueError) as error:  # Pillow has all three for damaged files
        raise ValueError(f"{path}: {error}; expected a photograph, JPEG or PNG") from error
    picture = color.gray2rgb(picture) if picture.ndim == 2 else picture[..., :3]
    height, width = picture.shape[:2]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    square = picture[top : top + short, left : left + short]
    square = transform.resize(square, (side, side), anti_aliasing=True)  # float, from 0 to 1
    square = color.rgb2gray(square)[..., None] if channels == 1 else square
    return np.round(255 * np.clip(square, 0, 1)).astype(np.uint8)


def load(folder: str | Path, *, size: int, channels: int) -> np.ndarray:
    """The middle squares of all photographs in a folder, four images wide and high: (P, 4 size, 4 size, C) uint8.

    Raises:
      ValueError: if there are none, or one cannot be read; names the field or the file.
    """
    folder = Path(folder).expanduser()
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in _SUFFIXES)
    if not paths:
        raise ValueError(f"config.background.photographs is {str(folder)!r}; expected a folder of .jpg or .png files")
    return np.stack([_read(path, _SIDES * size, channels) for path in paths])
