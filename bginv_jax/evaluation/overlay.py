"""What a network saw of a picture and said to it, as a picture: the mask as a tint, and a caption below.

Images are uint8 (H, W, C) of the size that the network takes, masks (H, W, 1) in [0, 1].
"""

import functools
import io
import math
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import segmentation

_LEAST_SIDE = 256  # of a picture that is looked at by itself, pixels
_DIMMED = 0.35  # what is left of the brightness where the mask sees no object
_OUTLINE = (213, 94, 0)
_LETTERS = 16  # their height, pixels
_LAST = len(" 100.0 %")  # letters of a caption that stay
_MARGIN = 6
_THUMBNAIL = 96
_QUALITY = 80


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    """DejaVu, which Matplotlib brings along: Latin, Greek, Cyrillic, Hebrew, Arabic and symbols."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", _LETTERS)


def tint(image: np.ndarray, mask: np.ndarray | None, *, side: int) -> Image.Image:
    """The image in colour, enlarged to at least `side` pixels by a whole factor, dark where the mask is below 0.5.

    Without a mask it is as it is.
    """
    factor = math.ceil(side / max(image.shape[:2]))

    def enlarged(array):
        return array.repeat(factor, axis=0).repeat(factor, axis=1)

    picture = enlarged(image if image.shape[-1] == 3 else image.repeat(3, axis=-1))
    if mask is None:
        return Image.fromarray(picture)
    kept = enlarged(mask[..., 0] > 0.5)
    picture = np.where(kept[..., None], picture, (_DIMMED * picture).astype(np.uint8))
    picture[segmentation.find_boundaries(kept, mode="inner")] = _OUTLINE
    return Image.fromarray(picture)


def with_prediction(picture: Image.Image, drawn: Callable[[np.ndarray], np.ndarray] | None) -> Image.Image:
    """The picture with a prediction drawn on it by a function of uint8 (H, W, 3), or as it is."""
    return picture if drawn is None else Image.fromarray(np.asarray(drawn(np.asarray(picture)), np.uint8))


def _fitting(text: str, width: int) -> str:
    """The text in one line of at most `width` pixels; where it is longer … stands before its end, the probability."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    if _font().getlength(line) <= width:
        return line
    start, end = line[:-_LAST], line[-_LAST:]
    while start and _font().getlength(f"{start}…{end}") > width:
        start = start[:-1]
    return f"{start}…{end}"


def draw(
    image: np.ndarray, mask: np.ndarray | None, caption: str, drawn: Callable[[np.ndarray], np.ndarray] | None = None
) -> Image.Image:
    """The tinted image with a prediction, if any, drawn on it as `with_prediction`, and a line of text below it."""
    picture = with_prediction(tint(image, mask, side=_LEAST_SIDE), drawn)
    width, height = picture.size
    strip = _LETTERS + 2 * _MARGIN
    whole = Image.new("RGB", (max(width, _LEAST_SIDE), height + strip), "white")
    whole.paste(picture, ((whole.width - width) // 2, 0))
    line = _fitting(caption, whole.width - 2 * _MARGIN)
    ImageDraw.Draw(whole).text((_MARGIN, height + strip // 2), line, "black", font=_font(), anchor="lm")
    return whole


def thumbnail(
    image: np.ndarray, mask: np.ndarray | None, drawn: Callable[[np.ndarray], np.ndarray] | None = None
) -> bytes:
    """The tinted image, with a prediction as `draw` has it, as a JPEG of some kilobytes."""
    picture = with_prediction(tint(image, mask, side=_THUMBNAIL), drawn)
    picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=_QUALITY)
    return content.getvalue()
