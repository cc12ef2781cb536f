"""Pictures to cut backgrounds from, as one array: of families of random backgrounds, or a folder of photographs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from skimage import color, transform

from bginv_jax.backgrounds.families import draw as draw_families
from bginv_jax.errors import InputError
from bginv_jax.images.reading import list_pictures, read_picture

_FIELD = "config.background.photographs"
_SIDES = 4  # a photograph is this many images wide and high
_DRAWN = 500  # of each family
_LARGE = 4096  # pixels; a square of a larger side is halved, or more, before it is resized, which takes floats


class _Photographs(Sequence):
    """Pictures, each read anew whenever it is asked for."""

    def __init__(self, paths: Sequence[Path], *, smallest: int):
        self._paths = paths
        self._smallest = smallest

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, i: Any) -> Any:
        picture = read_picture(self._paths[i])
        height, width, _ = picture.shape
        if min(height, width) < self._smallest:
            least = f"{self._smallest}x{self._smallest}"
            raise InputError(f"{self._paths[i]} has {height}x{width} pixels; expected at least {least}")
        return picture


def read_photographs(folder: str | Path, *, field: str = _FIELD, smallest: int = 1) -> Sequence[np.ndarray]:
    """All photographs of a folder in the order of their names, as they are: (H, W, 3) uint8 each.

    Each is read anew whenever it is asked for, so that going through them holds one at a time.

    Args:
      folder: with pictures of any still format.
      field: what the user set to the folder.
      smallest: the least height and width, pixels.

    Raises:
      ValueError: if there are none, or when one is asked for that cannot be read or is too small; names the field or
        the file.
    """
    return _Photographs(list_pictures(folder, field=field), smallest=smallest)


def _square(picture: np.ndarray, side: int, channels: int) -> np.ndarray:
    """The middle square of a photograph: (side, side, channels) uint8."""
    height, width = picture.shape[:2]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    square = picture[top : top + short, left : left + short]
    factor = min(-(-short // _LARGE), short // (2 * side))
    if factor > 1:
        square = np.asarray(Image.fromarray(square).reduce(factor))
    square = transform.resize(square, (side, side), anti_aliasing=True)  # float, from 0 to 1
    square = color.rgb2gray(square)[..., None] if channels == 1 else square
    return np.round(255 * np.clip(square, 0, 1)).astype(np.uint8)


def load_photographs(folder: str | Path, *, size: int, channels: int, field: str = _FIELD) -> np.ndarray:
    """The middle squares of all photographs in a folder, four images wide and high: (P, 4 size, 4 size, C) uint8.

    A smaller photograph is enlarged, and blurred by that.

    Args:
      folder: with pictures of any still format.
      size: of the images, pixels.
      channels: 3, or 1 for the luminance.
      field: what the user set to the folder.

    Raises:
      ValueError: as `read_photographs`.
    """
    return np.stack([_square(picture, _SIDES * size, channels) for picture in read_photographs(folder, field=field)])


def _draw(families: Sequence[str], *, size: int, channels: int, repeats: int) -> np.ndarray:
    """As many of each family; half of them as they are, where others are repeated: (B, size, size, C) float32."""
    whole = _DRAWN if repeats == 1 else _DRAWN // 2
    drawn = []
    for times in range(1, repeats + 1):
        count = whole if times == 1 else (_DRAWN - whole) // (repeats - 1)
        part = draw_families(families, count, size=-(-size // times), channels=channels, seed=times - 1)
        rest = (0, size - part.shape[1])
        drawn.append(np.pad(part, ((0, 0), rest, rest, (0, 0)), mode="symmetric"))
    return np.concatenate(drawn)


def gather(
    *, photographs: str, families: Sequence[str], images: np.ndarray, size: int, channels: int, repeats: int = 1
) -> np.ndarray:
    """The pictures of a folder of photographs or, with '', families of backgrounds and images: (P, T, T, C) uint8.

    Args:
      photographs: a folder; T is then four times `size`, else `size`.
      families: of which as many each are drawn.
      images: (M, size, size, C) uint8, taken as they are.
      size: pixels.
      channels: 1 or 3.
      repeats: half of the families' are drawn 2 to so many times smaller, all equally often, and repeated in mirrors
        to fill an image, so that they are finer, regular, and have closed outlines; 1 leaves all as they are.

    Raises:
      InputError: as `load_photographs`.
    """
    if photographs:
        return load_photographs(photographs, size=size, channels=channels)
    drawn = np.zeros((0, size, size, channels))
    if families:
        drawn = _draw(families, size=size, channels=channels, repeats=repeats)
    return np.concatenate([np.round(255 * drawn).astype(np.uint8), images])
