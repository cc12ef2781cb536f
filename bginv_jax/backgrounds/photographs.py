"""Pictures to cut backgrounds from, as one array: of families of random backgrounds, or a folder of photographs."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from skimage import color, io, transform

from bginv_jax.backgrounds.families import draw as draw_families
from bginv_jax.errors import InputError

_SUFFIXES = (".jpg", ".jpeg", ".png")
_SIDES = 4  # a photograph is this many images wide and high
_DRAWN = 500  # of each family


def _read(path: Path) -> np.ndarray:
    """A photograph as it is: (H, W, 3)."""
    try:
        picture = np.asarray(io.imread(path))
    except (OSError, SyntaxError, ValueError) as error:  # Pillow has all three for damaged files
        raise InputError(f"{path}: {error}; expected a photograph, JPEG or PNG") from error
    return color.gray2rgb(picture) if picture.ndim == 2 else picture[..., :3]


def read_photographs(folder: str | Path, *, field: str = "config.background.photographs") -> Iterator[np.ndarray]:
    """All photographs of a folder in the order of their names, as they are: (H, W, 3) each.

    Args:
      folder: with .jpg or .png files.
      field: what the user set to the folder.

    Raises:
      ValueError: if there are none, or one cannot be read; names the field or the file.
    """
    folder = Path(folder).expanduser()
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in _SUFFIXES)
    if not paths:
        raise InputError(f"{field} is {str(folder)!r}; expected a folder of .jpg or .png files")
    yield from map(_read, paths)


def _square(picture: np.ndarray, side: int, channels: int) -> np.ndarray:
    """The middle square of a photograph: (side, side, channels) uint8."""
    height, width = picture.shape[:2]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    square = picture[top : top + short, left : left + short]
    square = transform.resize(square, (side, side), anti_aliasing=True)  # float, from 0 to 1
    square = color.rgb2gray(square)[..., None] if channels == 1 else square
    return np.round(255 * np.clip(square, 0, 1)).astype(np.uint8)


def load_photographs(folder: str | Path, *, size: int, channels: int) -> np.ndarray:
    """The middle squares of all photographs in a folder, four images wide and high: (P, 4 size, 4 size, C) uint8.

    Raises:
      ValueError: as `read_photographs`.
    """
    return np.stack([_square(picture, _SIDES * size, channels) for picture in read_photographs(folder)])


def gather(*, photographs: str, families: Sequence[str], size: int, channels: int) -> np.ndarray:
    """The pictures of a folder of photographs or, with '', of families of backgrounds: (P, T, T, C) uint8, T >= size.

    Raises:
      InputError: as `load_photographs`.
    """
    if photographs:
        return load_photographs(photographs, size=size, channels=channels)
    drawn = draw_families(families, _DRAWN, size=size, channels=channels, seed=0)
    return np.round(255 * drawn).astype(np.uint8)
