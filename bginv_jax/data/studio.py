"""Objects photographed in a studio: images on black, set before one wall that is not black, with their true masks.

On black, whatever is above 0 is the object, so masks need no learning. Here they do.
"""

import numpy as np

from bginv_jax.backgrounds import families

STUDIOS = ("wall", "texture")

_INK = 0.9  # the shade of what was white
_TEXTURE_SEED = 20


def backdrop(kind: str, size: int) -> np.ndarray:
    """What stands behind every object: (size, size) float32, from 0.25 to 0.55.

    "wall" is grey under a light that falls from the upper left, "texture" one draw of the family `marble`.
    """
    if kind == "wall":
        row, column = np.indices((size, size)) / (size - 1)
        light = 1 - (row + 0.5 * column) / 1.5
    else:
        light = families.draw(["marble"], 1, size=size, seed=_TEXTURE_SEED)[0, ..., 0]
        light = (light - light.min()) / np.ptp(light)
    return (0.25 + 0.3 * light).astype(np.float32)


def place(images: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Sets objects before a backdrop, which shows where an object is dark.

    Args:
      images: (N, S, S, C) uint8, objects on black.
      kind: one of STUDIOS.

    Returns:
      Images (N, S, S, C) uint8 and the true masks (N, S, S, 1) bool.
    """
    opacity = images.astype(np.float32) / 255
    placed = opacity * _INK + (1 - opacity) * backdrop(kind, images.shape[1])[..., None]
    return np.round(255 * placed).astype(np.uint8), np.any(images > 0, axis=-1, keepdims=True)
