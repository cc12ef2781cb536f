"""A process that ends at once, from whatever thread or handler it is in, and what is still done then."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

SYSTEM, SIGNALLED = 1, 128  # exit status: of an error of the system; of a signal, as shells have it, with its number

_last: list[Callable[[], None]] = []


@contextlib.contextmanager
def last(act: Callable[[], None]) -> Iterator[None]:
    """Where `act` is still called if the process leaves; it must be quick, and may be called from any thread."""
    _last.append(act)
    try:
        yield
    finally:
        _last.remove(act)


def leave(message: str | None, status: int) -> NoReturn:
    """Ends this process with a line on standard error: a usual end would wait for threads, or for other processes."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # closed, or full; it is the end in any case
            stream.flush()
    for act in _last:
        with contextlib.suppress(Exception):
            act()
    if message is not None:
        with contextlib.suppress(OSError):
            os.write(2, f"{message}\n".encode(errors="backslashreplace"))
    os._exit(status)
