"""Other domains of digits, made of MNIST's: what a classifier of one domain is tested on, never trained.

Two are stand-ins for real sets, MNIST-M (Ganin et al. 2016) and USPS (LeCun et al. 1989), which have to be downloaded;
the others are the same digits in the strokes of other pens. Images are (N, H, W, C) uint8.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from skimage import measure, morphology, transform
from skimage.util import img_as_ubyte

from bginv_jax.data.dataset import resize
from bginv_jax.errors import InputError

PEN_WIDTHS = (1, 2, 4, 5)  # pixels of 28; MNIST's own strokes are 2.6 on average, nine of ten between 1.7 and 3.7
_FINE = 5  # times as many pixels a side where strokes are drawn along lines of one pixel
_USPS_SIDE = 16  # pixels
_USPS_SOFTNESS = 0.7  # with it MNIST's digits have the deviation of USPS's pixels, 0.30; the mean, 0.25, they had


def blend(digits: np.ndarray, photographs: Sequence[np.ndarray], *, seed: int) -> np.ndarray:
    """|photograph - digit| with a random crop of a random photograph for each digit, as MNIST-M is made.

    The digit is white wherever it is above 0, as in the public tool that makes the set (pumpikano's create_mnistm.py):
    the stroke is as wide as its grey edge, and its border is hard.

    Args:
      digits: (N, S, S, 1) or (N, S, S, 3).
      photographs: (H, W, 3) each, of any sizes from S, which crops are taken from as they are. They are gone through
        twice, and no two are held at once.
      seed: of the crops.

    Returns:
      (N, S, S, 3).

    Raises:
      ValueError: if a photograph is smaller than a digit.
    """
    size = digits.shape[1]
    shapes = [photograph.shape[:2] for photograph in photographs]
    for height, width in shapes:
        if min(height, width) < size:
            raise InputError(f"a photograph has {height}x{width} pixels; expected at least {size}x{size}")
    random = np.random.RandomState(seed)
    places = []
    for _ in digits:
        chosen = random.randint(len(shapes))
        places.append((chosen, *(random.randint(side - size + 1) for side in shapes[chosen])))
    crops = np.reshape(places, (-1, 3))
    blended = np.zeros((*digits.shape[:3], 3), np.uint8)
    for number, photograph in enumerate(photographs):
        for i in np.flatnonzero(crops[:, 0] == number):
            _, top, left = crops[i]
            crop = img_as_ubyte(photograph[top : top + size, left : left + size])
            blended[i] = np.where(digits[i] > 0, 255 - crop, crop)
    return blended


def fill_box(digits: np.ndarray, *, softness: float = 0.0) -> np.ndarray:
    """Digits as USPS has them: cut out at their first and last ink, scaled to fill 16x16 pixels, aspect kept, centred.

    Args:
      digits: (N, H, W, C), 0 where no ink is. An image without ink stays black.
      softness: standard deviation of the blur of their strokes, pixels of the 16.

    Returns:
      (N, 16, 16, C).
    """
    boxes = np.zeros((len(digits), _USPS_SIDE, _USPS_SIDE, digits.shape[-1]), np.uint8)
    for box, digit in zip(boxes, digits, strict=True):
        if not digit.any():
            continue
        rows, columns = (np.flatnonzero(digit.any(axis=axes)) for axes in ((1, 2), (0, 2)))
        cut = digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        scale = _USPS_SIDE / max(cut.shape[:2])
        height, width = (max(1, round(scale * side)) for side in cut.shape[:2])
        top, left = (_USPS_SIDE - height) // 2, (_USPS_SIDE - width) // 2
        scaled = transform.resize(cut, (height, width), anti_aliasing=True, preserve_range=True)
        box[top : top + height, left : left + width] = np.round(scaled)
    return ndimage.gaussian_filter(boxes, (0, softness, softness, 0)) if softness else boxes


def redraw(digits: np.ndarray, *, widths: Sequence[float]) -> list[np.ndarray]:
    """Digits drawn again with pens of one width: white, with a soft edge, along the middle of their strokes.

    The middle is the skeleton (Zhang and Suen 1984) of what is brighter than half, at five times as many pixels a side.

    Args:
      digits: (N, H, W, 1).
      widths: of the pens, pixels; of an even number of fifths the next odd one is drawn, 2.2 for 2.

    Returns:
      (N, H, W, 1) for each width.
    """
    drawn = np.zeros((len(widths), *digits.shape), np.uint8)
    for i, digit in enumerate(digits):
        large = transform.rescale(digit[..., 0] / 255, _FINE, order=1) > 0.5
        distance = ndimage.distance_transform_edt(~morphology.skeletonize(large)) / _FINE if large.any() else np.inf
        for pen, width in zip(drawn, widths, strict=True):
            ink = np.broadcast_to(2 * distance <= width, large.shape)
            pen[i, ..., 0] = np.round(255 * measure.block_reduce(ink, (_FINE, _FINE), np.mean))
    return list(drawn)


def make(digits: np.ndarray, *, size: int, photographs: Sequence[np.ndarray] = ()) -> dict[str, np.ndarray]:
    """The domains by name: MNIST itself, stand-ins for MNIST-M, where there are photographs, and USPS, and pens.

    Each is made at its native size and resized to the side of the images trained on, as the protocol has it.

    Args:
      digits: (N, H, W, 1) at their native size.
      size: of the images, pixels.
      photographs: as `blend` takes them.

    Returns:
      (N, size, size, 3) each; "pen_2" is a pen two pixels wide.
    """
    grey = {"mnist": digits, "usps": fill_box(digits, softness=_USPS_SOFTNESS)}
    pens = redraw(digits, widths=PEN_WIDTHS)
    grey |= {f"pen_{width}": pen for width, pen in zip(PEN_WIDTHS, pens, strict=True)}
    domains = {name: resize(images, size).repeat(3, axis=-1) for name, images in grey.items()}
    if len(photographs):
        domains["mnist_m"] = resize(blend(digits, photographs, seed=0), size)
    return domains
