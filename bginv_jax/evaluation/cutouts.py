"""Objects cut out by their colour before a plain wall, for test sets alone: nothing trains on these masks."""

import numpy as np
from scipy import ndimage
from skimage import color, filters, morphology

_LIGHTNESS = (0.1, 0.3)  # its weight beside colour, before and after the wall's light is known: walls have shadows
_LEAST = 1.0  # in Lab; nobody sees less
_SMALLEST = 0.004  # of the image: a smaller hole is closed
_MARGIN = 0.03  # of the side, around an object: too near to it to learn the wall's light from


def cut_out_by_colour(images: np.ndarray) -> np.ndarray:
    """The masks of single objects before a plain wall of another colour, which may be unevenly lit.

    Twice the pixels are parted, by Otsu's threshold, by how far their colour in Lab lies from the wall's: first from
    the border's median, then from a smooth surface through what looked like wall. The largest piece is the object; it
    may reach the border, as wrists do, but must leave the wall most of it; wall that shows through it stays wall.

    Args:
      images: (N, S, S, C) uint8. Grey ones are parted by lightness.

    Returns:
      bool (N, S, S, 1), 1 on the object.
    """
    return np.stack([_cut_out(image) for image in images])[..., None]


def _cut_out(image: np.ndarray) -> np.ndarray:
    lab = color.rgb2lab(np.broadcast_to(image, (*image.shape[:2], 3)))
    lab = ndimage.gaussian_filter(lab, (0.7, 0.7, 0))
    border = np.concatenate([lab[0], lab[-1], lab[1:-1, 0], lab[1:-1, -1]])
    rough = _largest(_unlike(lab - np.median(border, axis=0), _LIGHTNESS[0]))
    margin = morphology.disk(max(1, round(_MARGIN * len(image))))
    wall = ~ndimage.binary_dilation(rough, margin)
    fine = _unlike(lab - _surface(lab, wall), _LIGHTNESS[1])
    return morphology.remove_small_holes(_largest(fine), max_size=int(_SMALLEST * fine.size))


def _unlike(differences: np.ndarray, lightness: float) -> np.ndarray:
    """Which pixels differ more, of differences in Lab (S, S, 3); of greys lightness is all there is."""
    grey = not differences[..., 1:].any()
    weights = (1, 0, 0) if grey else (lightness, 1, 1)
    distances = np.linalg.norm(differences * weights, axis=-1)
    return distances > max(_LEAST, filters.threshold_otsu(distances))


def _surface(lab: np.ndarray, wall: np.ndarray) -> np.ndarray:
    """The quadratic surface in row and column that comes nearest to the wall: (S, S, 3)."""
    row, column = np.indices(wall.shape) / len(wall) - 0.5
    terms = np.stack([np.ones_like(row), row, column, row * row, row * column, column * column], axis=-1)
    if wall.sum() < terms.shape[-1]:
        return np.broadcast_to(np.median(lab, axis=(0, 1)), lab.shape)
    factors, *_ = np.linalg.lstsq(terms[wall], lab[wall], rcond=None)
    return terms @ factors


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected piece of a mask (S, S)."""
    pieces, count = ndimage.label(mask)
    if count < 2:
        return mask
    return pieces == 1 + np.argmax(ndimage.sum_labels(mask, pieces, np.arange(1, count + 1)))
