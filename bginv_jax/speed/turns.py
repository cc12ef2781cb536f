"""Processes that measure on one machine: they compile side by side, and each is timed while no other does anything.

A file's lock is held shared by whoever works, and alone by whoever is timed, so a timing begins when all others have
come to one of their own, or are done. Who waits to be timed holds the lock of a second file, so that it comes next,
before any that was timed and worked meanwhile. Without a file nobody waits.
"""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from bginv_jax import files


class _Files(NamedTuple):
    work: IO[str]
    next: IO[str]


_files: _Files | None = None  # of this process; held open as long as it lives


def share(path: str | Path | None) -> None:
    """From now on this process takes turns with all that share the file `path`; None with nobody.

    Raises:
      InputError: where that file cannot be written.
    """
    global _files
    for file in _files or ():
        file.close()
    _files = None
    if path:
        first = files.check_file(path, field="--turns")
        first.parent.mkdir(parents=True, exist_ok=True)
        work, following = (file.open("a", encoding="ascii") for file in (first, Path(f"{first}.next")))
        _files = _Files(work, following)
        fcntl.flock(work, fcntl.LOCK_SH)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Waits until no other that shares the file works; and lets none go on until the context ends."""
    if _files is None:
        yield
        return
    # Locked directly, the first file would go again and again to one that works, whom nothing has to wake.
    fcntl.flock(_files.work, fcntl.LOCK_UN)
    fcntl.flock(_files.next, fcntl.LOCK_EX)
    fcntl.flock(_files.work, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(_files.work, fcntl.LOCK_SH)
        fcntl.flock(_files.next, fcntl.LOCK_UN)
