"""Processes that measure on one machine: they compile side by side, and each is timed while no other does anything.

A file's lock is held shared by whoever works, and alone by whoever is timed, so a timing begins when all others have
come to one of their own, or are done. Without a file nobody waits.
"""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_file: IO[str] | None = None  # of this process; held open as long as it lives


def share(path: Path | None) -> None:
    """From now on this process takes turns with all that share the file `path`; None with nobody."""
    global _file
    if _file:
        _file.close()
    _file = path.open("a", encoding="ascii") if path else None
    if _file:
        fcntl.flock(_file, fcntl.LOCK_SH)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Waits until no other that shares the file works; and lets none go on until the context ends."""
    if _file is None:
        yield
        return
    fcntl.flock(_file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(_file, fcntl.LOCK_SH)
