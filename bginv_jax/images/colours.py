"""Pillow's images of every mode as RGB: ink, palettes, transparency and more than eight bits a channel."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageFile, TiffImagePlugin

_PNG_KEYS = {"L;2": 85.0, "L;4": 17.0, "RGB;16B": 1 / 256}  # how Pillow scales the pixels, but not the key, of a PNG
_WHITE_IS_ZERO = 0
_UNSIGNED = (1,)


def scale_transparent_key(image: ImageFile.ImageFile) -> None:
    """Brings the colour that a PNG declares transparent to the scale of its pixels; before they are loaded.

    Pillow spreads 2, 4 and 16 bits over 0 to 255 and leaves the key as it is in the file.
    """
    key = image.info.get("transparency")
    if image.format == "PNG" and isinstance(key, int | tuple) and image.tile:
        scale = _PNG_KEYS.get(str(image.tile[0][3]), 1)
        scaled = tuple(int(scale * value) for value in np.atleast_1d(key))
        image.info["transparency"] = scaled if isinstance(key, tuple) else scaled[0]


def _tags(image: Image.Image) -> Mapping[int, Any]:
    """What a TIFF says of itself; of another picture nothing."""
    return image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}


def _full_scale(image: Image.Image) -> int:
    """The value of white: 1 in floats, the largest of 12 or 16 bits otherwise; more bits seldom hold more than 16."""
    if image.mode == "F":
        return 1
    bits = _tags(image).get(ExifTags.Base.BitsPerSample)
    if bits == (12,):
        return 2**12 - 1
    signed = bits == (16,) and image.mode == "I"  # Pillow keeps unsigned ones in a mode of their own
    return 2**15 - 1 if signed else 2**16 - 1


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 12, 16 or 32 bits, or floats, as mode L, or LA where a key is transparent.

    Black is 0, or the smallest value where it is negative; white is the full scale, or the largest value where it is
    more. What is not a number is black.
    """
    values = np.asarray(image)
    tags = _tags(image)
    if image.mode == "I" and tags and tags.get(ExifTags.Base.SampleFormat, _UNSIGNED) == _UNSIGNED:
        values = values.view(np.uint32)  # Pillow has no such mode
    levels = values.astype(np.float32)
    finite = np.isfinite(levels)
    black = float(levels.min(where=finite, initial=0))
    white = float(levels.max(where=finite, initial=_full_scale(image)))
    levels = np.nan_to_num(levels, copy=False, nan=black, posinf=white, neginf=black)
    scale = 255 / (white - black)
    levels = np.round(levels * scale - black * scale).clip(0, 255).astype(np.uint8)
    if tags.get(ExifTags.Base.PhotometricInterpretation) == _WHITE_IS_ZERO:
        levels = 255 - levels
    grey = Image.fromarray(levels)
    key = image.info.get("transparency")
    if not isinstance(key, int):
        return grey
    return Image.merge("LA", (grey, Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8))))


def _mix_inks(image: Image.Image) -> Image.Image:
    """CMYK as RGB: by the profile in the file, or by (1 - ink) (1 - black) where there is none that does."""
    profile = image.info.get("icc_profile")
    if profile:
        try:
            inks = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            mixed = ImageCms.profileToProfile(image, inks, ImageCms.createProfile("sRGB"), outputMode="RGB")
            assert mixed is not None, "only a conversion in place returns nothing"
            return mixed
        except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
            pass  # a damaged profile, or one of other colours: the picture is sound all the same
    return image.convert("RGB")


def as_rgb(image: Image.Image, *, behind: tuple[int, int, int]) -> Image.Image:
    """A loaded image of any mode in mode RGB.

    Only CMYK follows the profile in the file: in RGB and grey the numbers stay those of the file.

    Args:
      image: as Pillow opens it.
      behind: the colour, 0 to 255, over which what is transparent is laid.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _in_eight_bits(image)
    if image.mode == "CMYK":
        return _mix_inks(image)
    if image.has_transparency_data:
        image = image.convert("LA") if image.mode == "La" else image
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (*behind, 255)), image)
    return image if image.mode == "RGB" else image.convert("RGB")
