"""What a studio photograph tells without its object, and objects before what they were never photographed before.

These are test images: nothing trains on them. Images are (N, S, S, C) uint8, masks (N, S, S, 1) bool, 1 on the object.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from skimage import morphology

from bginv_jax.errors import InputError
from bginv_jax.images.compose import compose
from bginv_jax.images.fitting import fit_picture

_MARGIN = 0.025  # of the side, around an object: its shadow, and pixels that mix the two
_RING = 8  # the border alone is an eighth of the side wide
_GREY = 128
_LEAST_CROP = 0.4  # of a photograph's shorter side


def studio_backdrops(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """What stands behind the objects, as far as the photographs tell.

    Each object, and a margin of pixels around it, is filled with the backdrop that is nearest, and what was filled is
    smoothed, so that no seam draws the outline. An image that is object all over becomes grey.
    """
    return np.stack([_without_object(image, mask[..., 0]) for image, mask in zip(images, masks, strict=True)])


def _without_object(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    margin = morphology.disk(max(1, round(_MARGIN * len(image))))
    hole = ndimage.binary_dilation(mask, margin)
    if hole.all():
        hole = mask
    if hole.all():
        return np.full_like(image, _GREY)
    rows, columns = ndimage.distance_transform_edt(hole, return_distances=False, return_indices=True)
    filled = image[rows, columns]
    blur = len(image) / 32
    smooth = ndimage.gaussian_filter(filled.astype(np.float32), (blur, blur, 0), mode="nearest")
    return np.where(hole[..., None], np.round(smooth), image).astype(np.uint8)


def border_alone(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The outer ring, an eighth of the side wide, without the object as `studio_backdrops`; grey inside."""
    backdrops = studio_backdrops(images, masks)
    height, width = (side // _RING for side in images.shape[1:3])
    backdrops[:, height:-height, width:-width] = _GREY
    return backdrops


def set_before(images: np.ndarray, masks: np.ndarray, backgrounds: np.ndarray) -> np.ndarray:
    """The objects of images before backgrounds (N, S, S, C), cut sharply."""
    return compose(images, masks.astype(np.uint8), backgrounds)


def draw_partners(labels: np.ndarray, *, other: bool, seed: int) -> np.ndarray:
    """For each image the number of another: of its class, or of one of the `other` classes, all classes alike.

    An image that has no such partner is its own.

    Args:
      labels: (N,) integers.
      other: which of the two.
      seed: of the draw.

    Returns:
      (N,) integers.
    """
    random = np.random.RandomState(seed)
    places = {label: np.flatnonzero(labels == label) for label in np.unique(labels)}
    partners = np.arange(len(labels))
    for i, label in enumerate(labels):
        classes = [one for one in places if (one != label) == other]
        among = places[classes[random.randint(len(classes))]] if classes else partners[:0]
        among = among[among != i]
        if len(among):
            partners[i] = among[random.randint(len(among))]
    return partners


def crop_photographs(
    photographs: Sequence[np.ndarray], count: int, *, size: int, channels: int, seed: int
) -> np.ndarray:
    """Random squares of photographs, of 0.4 to 1 of their shorter side, each photograph as often: uint8 (count, ...).

    Args:
      photographs: uint8 (H, W, 3) each, gone through once.
      count: squares.
      size: what they are resized to, pixels.
      channels: 3, or 1 for the luminance.
      seed: of the draw.

    Raises:
      InputError: if there are no photographs, or one cannot be read.
    """
    if not len(photographs):
        raise InputError("there are no photographs; expected at least one")
    random = np.random.RandomState(seed)
    rounds = [random.permutation(len(photographs)) for _ in range(-(-count // len(photographs)))]
    chosen = np.concatenate(rounds)[:count] if count else np.zeros(0, int)
    shares, tops, lefts = random.uniform(size=(3, count))
    crops = np.zeros((count, size, size, channels), np.uint8)
    for number in np.unique(chosen):
        photograph = photographs[number]
        height, width = photograph.shape[:2]
        for i in np.flatnonzero(chosen == number):
            side = max(1, round((_LEAST_CROP + (1 - _LEAST_CROP) * shares[i]) * min(height, width)))
            top, left = int(tops[i] * (height - side + 1)), int(lefts[i] * (width - side + 1))
            crop = photograph[top : top + side, left : left + side]
            crops[i] = fit_picture(crop, size=size, fit="stretch", channels=channels)
    return crops
