"""What f_b makes of the same noise along a run: a file of backgrounds side by side for each step that is shown."""

import collections
import logging
from pathlib import Path

import numpy as np
from PIL import Image

from bginv_jax import files
from bginv_jax.errors import InputError
from bginv_jax.images.reading import read_picture

_LOG = logging.getLogger(__name__)

SHOWN = 8  # backgrounds in a file
_FOLDER = "backgrounds"  # in a workdir


def write(workdir: Path, step: int, backgrounds: np.ndarray) -> None:
    """Writes backgrounds (N, S, S, C) in [0, 1] side by side, as WORKDIR/backgrounds/STEP.png."""
    strip = np.round(255 * np.concatenate(list(backgrounds), axis=1)).astype(np.uint8)
    strip = strip[..., 0] if strip.shape[-1] == 1 else strip
    with files.replacing(workdir / _FOLDER / f"{step:08d}.png") as whole:
        Image.fromarray(strip).save(whole)


def _read_strip(path: Path) -> np.ndarray:
    """A file of `write`: (N, S, S, 3)."""
    step = path.stem
    if not (path.suffix == ".png" and step.isascii() and step.isdecimal() and step == f"{int(step):08d}"):
        raise InputError(f"{path}: expected a step of eight digits and .png")
    strip = read_picture(path)
    height, width, _ = strip.shape
    if width != SHOWN * height:
        raise InputError(f"{path}: it has {height}x{width} pixels; expected {SHOWN} squares in a row")
    return np.stack(np.split(strip, SHOWN, axis=1))


def read(workdir: Path) -> dict[int, np.ndarray]:
    """What `write` wrote, by step: uint8 (N, S, S), or (N, S, S, 3) where any of it has colour.

    What else lies in that folder, half a file or one of another size than most, is passed over with a warning.
    """
    folder = workdir / _FOLDER
    strips = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            strips[path] = _read_strip(path)
        except InputError as error:
            _LOG.warning("passed over: %s", error)
    sizes = collections.Counter(strip.shape[1] for strip in strips.values())
    for path, strip in list(strips.items()):
        if strip.shape[1] != sizes.most_common(1)[0][0]:
            _LOG.warning("passed over: %s: its backgrounds have another size than those of most files", path)
            del strips[path]
    coloured = any((strip != strip[..., :1]).any() for strip in strips.values())
    return {int(path.stem): strip if coloured else strip[..., 0] for path, strip in strips.items()}
