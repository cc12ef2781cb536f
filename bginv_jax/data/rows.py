"""Rows of arrays that may lie in a file: read as they are needed, so that memory holds no more than was asked for."""

import mmap
from collections.abc import Iterator

import numpy as np

_CHUNK_BYTES = 2**26


def take(array: np.ndarray, rows: np.ndarray | slice) -> np.ndarray:
    """Some rows of an array, in memory.

    Args:
      array: (N, ...); of a memory-mapped one, the pages that were read are given back, and the process stays small.
      rows: places, or a slice.
    """
    taken = np.array(array[rows], copy=isinstance(rows, slice), subok=False)
    if isinstance(array.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
        array.base.madvise(mmap.MADV_DONTNEED)
    return taken


def chunks(array: np.ndarray) -> Iterator[np.ndarray]:
    """All rows in order, some at a time: of a memory-mapped array copies, of others views."""
    step = max(1, _CHUNK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), step):
        rows = slice(start, start + step)
        yield take(array, rows) if isinstance(array.base, mmap.mmap) else array[rows]
