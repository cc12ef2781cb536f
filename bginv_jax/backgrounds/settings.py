"""Backgrounds as objects are set before them to be scored: how much around an object they spare, and how strong."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bginv_jax.images.compose import compose
from bginv_jax.images.masks import dilate
from bginv_jax.images.pixels import as_float

HALOS = (0, 1, 2, 3, 4)  # pixels that are kept around an object
CONTRASTS = (1.0, 0.75, 0.5, 0.25)  # what a background is multiplied by


class Setting(NamedTuple):
    """A background (S, S, C), of a family, how many pixels around an object it spares, and what it is multiplied by."""

    family: str
    background: np.ndarray
    halo: int
    contrast: float


def vary(drawn: Mapping[str, np.ndarray]) -> list[Setting]:
    """Backgrounds (B, S, S, C) by family as settings; in each family halos and contrasts take turns, in all pairs."""
    return [
        Setting(family, background, HALOS[i % len(HALOS)], CONTRASTS[i % len(CONTRASTS)])
        for family, backgrounds in drawn.items()
        for i, background in enumerate(backgrounds)
    ]


@jax.jit
def _set_on(x, kept, background, contrast):
    return compose(x, kept, contrast * background)


def set_before(x: np.ndarray, objects: np.ndarray, settings: Sequence[Setting]) -> Iterator[np.ndarray]:
    """The objects of images before each background: (N, S, S, C) float32, a setting at a time.

    Args:
      x: images (N, S, S, C), uint8 or float in [0, 1].
      objects: masks (N, S, S, 1), what is an object.
      settings: of `vary`.
    """
    images, masks = jnp.asarray(as_float(x)), jnp.asarray(objects, jnp.float32)
    kept: dict[int, jax.Array] = {}
    for setting in settings:
        if setting.halo not in kept:
            radius = jnp.full(len(masks), setting.halo)
            kept[setting.halo] = dilate(masks, radius, largest=setting.halo)
        yield np.asarray(_set_on(images, kept[setting.halo], setting.background, setting.contrast))
