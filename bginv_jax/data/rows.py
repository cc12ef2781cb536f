"""Rows of arrays that may lie in a file: read as they are needed, so that memory holds no more than was asked for."""

import logging
import mmap
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

_LOG = logging.getLogger(__name__)

_CHUNK_BYTES = 2**26


def _mapping(array: np.ndarray) -> mmap.mmap | None:
    """The file that a whole array is a view of, if it is."""
    base = getattr(array, "base", None)
    return base if isinstance(base, mmap.mmap) else None


def take(array: np.ndarray, rows: np.ndarray | slice) -> np.ndarray:
    """Some rows of an array (N, ...), in memory.

    Of one that lies in a file the pages that were read are given back, so that the process stays small; the system
    keeps them as long as nobody else needs the memory.
    """
    taken = np.array(array[rows], copy=isinstance(rows, slice), subok=False)
    mapping = _mapping(array)
    if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
        mapping.madvise(mmap.MADV_DONTNEED)
    return taken


def in_file(array: np.ndarray) -> bool:
    """Whether an array lies in a file, and not in memory."""
    return _mapping(array) is not None


def chunks(array: np.ndarray, count: int = 0) -> Iterator[np.ndarray]:
    """All rows in order, `count` at a time, by default 64 MB: copies of what lies in a file, else views."""
    step = count or max(1, _CHUNK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), step):
        part = slice(start, start + step)
        yield array[part] if _mapping(array) is None else take(array, part)


def store(parts: Iterator[np.ndarray], folder: Path) -> np.ndarray:
    """Parts (n, ...) of one type one after the other, as an array (N, ...) in a file that is gone with the array.

    Raises:
      OSError: if the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as stream:
        count = 0
        for part in parts:
            stream.write(np.ascontiguousarray(part).data)
            count += len(part)
        stream.flush()
        return np.memmap(stream, part.dtype, "r", shape=(count, *part.shape[1:]))


def gather(parts: Callable[[], Iterator[np.ndarray]], folder: Path, *, name: str) -> np.ndarray:
    """As `store`, or in memory where the folder cannot be written, which is said.

    Args:
      parts: gives them from the start, each time it is called.
      folder: as `store`.
      name: what they are, for the message.
    """
    try:
        return store(parts(), folder)
    except OSError as error:
        _LOG.warning("%s cannot lie in %s, and are held in memory: %s", name, folder, error)
        return np.concatenate(list(parts()))


def convert(array: np.ndarray, function: Callable[[np.ndarray], np.ndarray], folder: Path, *, name: str) -> np.ndarray:
    """`function` of an array, which it takes row by row; of one that lies in a file the result lies in another."""
    if not in_file(array):
        return function(array)
    return gather(lambda: (function(part) for part in chunks(array)), folder, name=name)
