"""Orbax with the manners of this package: its failures are one error, and its log and its stray threads are silent."""

import asyncio
import logging
import os
import re
import threading
from pathlib import Path

from bginv_jax.errors import causes

# TensorStore, which writes the arrays, has no OSError: a disk that is full is a ValueError.
_SYSTEM_ERROR = re.compile(r"os_error_code='(\d+)'")


def _is_not_orbax(record: logging.LogRecord) -> bool:
    return f"{os.sep}orbax{os.sep}" not in record.pathname


class _PatientLoop(asyncio.SelectorEventLoop):
    """Before it closes it waits for what is under way in it.

    Orbax reads all arrays at once and closes its loop at the first error. TensorStore then prints a traceback, "Event
    loop is closed", for each array that is read later.
    """

    def close(self) -> None:
        if not self.is_closed() and not self.is_running():
            left = asyncio.all_tasks(self)
            if left:
                self.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        super().close()


class _PatientPolicy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return _PatientLoop()


class _Manners:
    """A context that several threads may be in at once: it is set when the first comes, and gone with the last."""

    def __init__(self) -> None:
        self._lock, self._inside, self._before = threading.Lock(), 0, asyncio.get_event_loop_policy()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = asyncio.get_event_loop_policy()
                asyncio.set_event_loop_policy(_PatientPolicy())
                logging.getLogger("absl").addFilter(_is_not_orbax)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                asyncio.set_event_loop_policy(self._before)
                logging.getLogger("absl").removeFilter(_is_not_orbax)


# While Orbax is used. It logs nothing: whatever fails there is raised too, and told by who calls it.
MANNERS = _Manners()


def system_error(error: BaseException) -> int | None:
    """The number of the system's error behind one of Orbax or TensorStore, if there is one."""
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.errno is not None:
            return cause.errno
        code = _SYSTEM_ERROR.search(str(cause))
        if code:
            return int(code[1])
    return None


def temporary_folders(directory: Path) -> list[Path]:
    """Checkpoints that are half written."""
    return [path for path in directory.glob("*.orbax-checkpoint-tmp*") if path.is_dir()] if directory.is_dir() else []
