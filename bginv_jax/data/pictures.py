"""Many picture files as one array: read in parallel, and kept between runs by their content.

The array is a memory-mapped file, so a set may be larger than the memory.
"""

import contextlib
import hashlib
import io
import logging
import math
import os
import time
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from tqdm import tqdm

from bginv_jax import files
from bginv_jax.data import rows
from bginv_jax.data.parallel import in_order
from bginv_jax.errors import InputError, one_line
from bginv_jax.images.fitting import fit_picture
from bginv_jax.images.pixels import pad_to
from bginv_jax.images.reading import check_file, printable, read_picture
from bginv_jax.networks.contract import padded_size

_LOG = logging.getLogger(__name__)

_FORMAT = 1  # of the files that are kept; another one is another key
_CHECKSUM_BYTES = 4  # behind the array
_ABANDONED = 3600  # seconds without a write, after which a half-written file is nobody's any more
_NAMED = 10  # broken files; a message does not list hundreds


class Fitting:
    """How pictures become images of one shape.

    Args:
      size, fit, channels: as `fit_picture` takes them.
      first: a picture, whose shape all must have where `size` is 0.
    """

    def __init__(self, *, size: int, fit: str, channels: int, first: Path):
        self._options: dict[str, Any] = {"size": size, "fit": fit, "channels": channels}
        self._first = first
        self.shape = (size, size, channels or 3) if size else fit_picture(read_picture(first), **self._options).shape
        try:
            self.side = padded_size(*self.shape[:2])
        except InputError as error:
            raise InputError(f"{printable(first)}: {error}") from error

    @property
    def words(self) -> str:
        """All that an image depends on beside its file."""
        return f"{_FORMAT} {self._options} {self.shape}"

    def image(self, path: Path) -> np.ndarray:
        """A file's padded image, uint8 (side, side, C).

        Raises:
          InputError: names the file.
        """
        image = fit_picture(read_picture(path), **self._options)
        if image.shape != self.shape:
            (height, width), (first_height, first_width) = image.shape[:2], self.shape[:2]
            raise InputError(
                f"{printable(path)} has {height}x{width} pixels and {printable(self._first)} has {first_height}x"
                f"{first_width}; set config.data.image_size, the side in pixels that all are resized to"
            )
        return pad_to(image[None], self.side)[0]


def load(paths: Sequence[Path], fitting: Fitting, *, name: str) -> tuple[np.ndarray, list[str]]:
    """The images of picture files, uint8 (N, side, side, C), read-only, and the SHA-256 of each file.

    They are decoded once and kept in `cache_folder`; the same files are found there again, wherever they lie. Where
    that cannot be written, they are held in memory.

    Args:
      paths: at least one.
      fitting: how they become images.
      name: of the progress bar.

    Raises:
      InputError: names the files that cannot be read.
    """
    name = one_line(name)
    looking = in_order(_digest, paths)
    found = list(tqdm(looking, f"{name}: looking", len(paths), unit="file", delay=2, leave=False, disable=None))
    if wrong := [one for one in found if isinstance(one, InputError)]:
        deque(_decode(paths, fitting, name), maxlen=0)  # complains of all together
        raise wrong[0]
    looked = [one for one in found if not isinstance(one, InputError)]
    digests = [one.digest for one in looked]
    key = hashlib.sha256("\n".join([fitting.words, *digests]).encode()).hexdigest()
    file = cache_folder() / f"{key}.npy"
    shape = (len(paths), fitting.side, fitting.side, fitting.shape[-1])
    images = _open(file, shape)
    if images is None:
        try:
            _remove_abandoned(file.parent)
            with files.replacing(file) as whole, whole.open("wb") as stream:
                _write(stream, shape, _decode(paths, fitting, name))
                _check_unchanged(paths, looked)  # or the next run would find other images than the files are
            images = _open(file, shape)
        except OSError as error:
            _LOG.warning("the images of %s cannot be kept for the next run: %s", name, error)
    if images is None:
        images = np.empty(shape, np.uint8)
        for row, image in zip(images, _decode(paths, fitting, name), strict=True):
            row[:] = image
    return images, digests


def cache_folder() -> Path:
    """Where decoded pictures are kept: $BGINV_CACHE, or bginv_jax in $XDG_CACHE_HOME or ~/.cache.

    Raises:
      InputError: for ~NAME of nobody.
    """
    given = os.path.expanduser(os.environ.get("BGINV_CACHE", ""))
    if given.startswith("~"):
        raise InputError(f"$BGINV_CACHE is {given!r}; expected ~ or the ~NAME of a user")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "bginv_jax"


def _remove_abandoned(folder: Path) -> None:
    """Removes files that killed processes left half-written."""
    for half in folder.glob(f".*/{'[0-9a-f]' * 64}.npy"):
        with contextlib.suppress(OSError):  # somebody else does it, or may not
            if time.time() - half.stat().st_mtime > _ABANDONED:
                half.unlink()
                half.parent.rmdir()


def _open(file: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The array that was kept, or None where there is none that is whole."""
    if not os.path.isfile(file):  # or it cannot be reached
        return None
    head = _head(shape)
    try:
        with file.open("rb") as stream:
            whole = stream.read(len(head)) == head
            stream.seek(-_CHECKSUM_BYTES, os.SEEK_END)
            if not whole or stream.tell() != len(head) + math.prod(shape):
                raise ValueError("it is not as it was written")
            images = np.memmap(file, np.uint8, "r", len(head), shape)
            if stream.read() != _checksum(images):
                raise ValueError("its checksum is wrong")
    except (OSError, ValueError) as error:
        _LOG.warning("%s is damaged and made anew: %s", file, error)
        return None
    return images


def _head(shape: tuple[int, ...]) -> bytes:
    """What stands before the array in a .npy file."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def _checksum(images: np.ndarray) -> bytes:
    checksum = 0
    for chunk in rows.chunks(images):
        checksum = zlib.crc32(chunk.data, checksum)
    return checksum.to_bytes(_CHECKSUM_BYTES, "big")


def _write(stream: BinaryIO, shape: tuple[int, ...], images: Iterator[np.ndarray]) -> None:
    """A .npy file with a checksum behind it, written front to back."""
    stream.write(_head(shape))
    checksum = 0
    for image in images:
        pixels = image.tobytes()
        checksum = zlib.crc32(pixels, checksum)
        stream.write(pixels)
    stream.write(checksum.to_bytes(_CHECKSUM_BYTES, "big"))


class _Looked(NamedTuple):
    """What a file was when it was looked at: its SHA-256, and what tells that it was written since."""

    digest: str
    stamp: tuple[int, int, int]


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _check_unchanged(paths: Sequence[Path], looked: Sequence[_Looked]) -> None:
    for path, one in zip(paths, looked, strict=True):
        if _stamp(path) != one.stamp:
            raise InputError(f"{printable(path)} was written while it was read; expected a folder that stays as it is")


def _digest(path: Path) -> _Looked | InputError:
    try:
        check_file(path)
        stamp = _stamp(path)
        with path.open("rb") as stream:
            return _Looked(hashlib.file_digest(stream, "sha256").hexdigest(), stamp)
    except OSError as error:
        return InputError(f"{printable(path)}: {error.strerror}; expected a picture")
    except InputError as error:
        return error


def _decode(paths: Sequence[Path], fitting: Fitting, name: str) -> Iterator[np.ndarray]:
    """The images in order; complains of all that are broken together, at the end."""
    broken: list[str] = []

    def attempt(path: Path) -> np.ndarray | InputError:
        try:
            return fitting.image(path)
        except InputError as error:
            return error

    reading = in_order(attempt, paths)
    for image in tqdm(reading, f"{name}: reading", len(paths), unit="file", leave=False, disable=None):
        if isinstance(image, InputError):
            broken.append(str(image))
        elif not broken:
            yield image
    if len(broken) == 1:
        raise InputError(broken[0])
    if broken:
        more = f"; and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
        raise InputError(f"{len(broken)} of {len(paths)} files cannot be used: {'; '.join(broken[:_NAMED])}{more}")
