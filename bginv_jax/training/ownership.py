"""Whose a workdir is: one training at a time writes there, wherever it runs.

The file OWNER in it says which: host, process and when that began. It is made so that only one can make it, on folders
of a network too, where locks may fail, and its owner touches it every BEAT seconds. A file that nobody is behind keeps
nobody out: on this host one of a process that is no more; of another host one that was not touched for STALE seconds.
"""

import contextlib
import json
import logging
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from bginv_jax import files
from bginv_jax.errors import InputError
from bginv_jax.training import distributed, leaving, metrics_file

_LOG = logging.getLogger(__name__)

OWNER = "owner.json"
BEAT = 15  # seconds
STALE = 120  # seconds; folders of a network show another host's changes up to a minute late
_SAME = 2.0  # seconds by which one process may seem to have begun at two times: Linux gives its own start in whole ones
_MOST_BYTES = 4096  # of an owner's file
_SETTLES = 0.2  # seconds
_MOST_TRIES = 100  # of many that begin at once


def _is_workdir(folder: Path) -> bool:
    """Whether a training has begun to write there."""
    return (folder / metrics_file.NAME).is_file() or any(folder.glob("checkpoints/*/meta"))


def refuse_inside(folder: str | Path, *, folders: Sequence[str]) -> None:
    """Complains of a new workdir in one of the `folders` that a workdir consists of, where nobody looks for it.

    Raises:
      InputError: names the workdir.
    """
    place = Path(os.path.abspath(Path(folder).expanduser()))
    for part in () if (place / "checkpoints").is_dir() else (place, *place.parents):
        if part.name in folders and _is_workdir(part.parent):
            raise InputError(
                f"--workdir is {str(folder)!r}, in {part.name} of the workdir {str(part.parent)!r}; expected that one, "
                "or a folder outside"
            )


def _namespace() -> str:
    """In which numbers mean processes: containers of one host have their own."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _boot() -> str:
    """Which run of this host it is, where the system says so."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _began(number: int) -> float:
    """When a process began, seconds by no clock that can be set: Linux counts from its start, others note the time."""
    boot = psutil.boot_time() if psutil.LINUX else 0.0  # first: older psutil adds what this found to what Linux counts
    return psutil.Process(number).create_time() - boot


def _this_process() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "namespace": _namespace(),
        "boot": _boot(),
        "process": os.getpid(),
        "began": _began(os.getpid()),
    }


def _runs(owner: dict[str, Any]) -> bool:
    """Whether an owner on this host still runs; another process may have its number by now."""
    try:
        same = owner["boot"] == _boot() and abs(_began(owner["process"]) - owner["began"]) < _SAME
        return same and psutil.Process(owner["process"]).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _read(path: Path) -> dict[str, Any] | None:
    """What an owner wrote, {} where it is none yet or damaged, or None where there is no such file."""
    try:
        with path.open("rb") as file:
            owner = json.loads(file.read(_MOST_BYTES))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        return {}
    types = {"host": str, "namespace": str, "boot": str, "process": int, "began": int | float}
    fits = isinstance(owner, dict) and all(isinstance(owner.get(name), kind) for name, kind in types.items())
    return owner if fits and 0 < owner["process"] < 2**31 else {}


def _age(path: Path) -> float:
    """Seconds since an owner touched its file, by the clock of the disk, which may be another host's."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".") as now:
        now.write(b"now")
        now.flush()
        return os.fstat(now.fileno()).st_mtime - path.stat().st_mtime


def _is_here(owner: dict[str, Any]) -> bool:
    here = _this_process()
    return all(owner.get(name) == here[name] for name in ("host", "namespace"))


def _is_alive(path: Path, owner: dict[str, Any]) -> bool:
    if _is_here(owner):
        return _runs(owner)
    try:
        return _age(path) < STALE
    except FileNotFoundError:
        return False


def _make(path: Path, owner: dict[str, Any]) -> bool:
    """Makes the owner's file, if there is none."""
    try:
        with path.open("x", encoding="utf-8") as file:
            json.dump(owner, file)
    except FileExistsError:
        return False
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    return True


def _put_aside(path: Path, owner: dict[str, Any]) -> None:
    """Removes the file of an owner that is no more, unless another training has done so and made its own."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
        aside = Path(folder) / path.name
        with contextlib.suppress(FileNotFoundError):
            path.rename(aside)
            if _read(aside) != owner:
                with contextlib.suppress(OSError):
                    os.link(aside, path)


def _name(owner: dict[str, Any]) -> str:
    return f"process {owner['process']} on host {owner['host']}" if owner else "one that does not say which"


def _take(path: Path, this: dict[str, Any], workdir: str | Path) -> None:
    for _ in range(_MOST_TRIES):
        if _make(path, this):
            time.sleep(_SETTLES)  # another may have taken this file for the one of a training that is no more
            if _read(path) == this:
                return
            continue
        owner = _read(path)
        if owner is None:
            continue
        if _is_alive(path, owner):
            hint = "" if _is_here(owner) else f", which takes {STALE} seconds if it was killed"
            raise InputError(
                f"--workdir is {str(workdir)!r}, where another training writes: {_name(owner)}; expected another "
                f"workdir, or this one after that has ended{hint}"
            )
        _LOG.info("%s is of a training that is no more: %s", path, _name(owner))
        _put_aside(path, owner)
    raise InputError(f"{path} is there and cannot be read; expected a file that may be removed")


class Owner:
    """This training, as the owner of a workdir; of several processes the first owns it for all, and `this` is None."""

    def __init__(self, path: Path, this: dict[str, Any] | None):
        self._path, self._this = path, this

    def check(self) -> None:
        """Complains if the workdir is this training's no more.

        Raises:
          InputError: if another training has taken it, after this one had slept for longer than STALE.
          OSError: if the workdir is gone.
        """
        if self._this is None:
            return
        with files.naming(self._path):
            owner = _read(self._path)
        if owner is None:
            raise FileNotFoundError(
                2, "it is gone, and perhaps the workdir with it; nothing more is written", str(self._path)
            )
        if owner != self._this:
            raise InputError(f"{self._path}: the workdir was taken by {_name(owner)}; this training ends")

    def beat(self, ended: threading.Event) -> None:
        """Touches the file until it has ended."""
        while not ended.wait(BEAT):
            with contextlib.suppress(OSError):
                if _read(self._path) == self._this:
                    os.utime(self._path)


@contextlib.contextmanager
def own(workdir: str | Path) -> Iterator[Owner]:
    """Where this process alone trains in a workdir, which is made where it is missing.

    Raises:
      InputError: if another training writes there: names its process and host.
      OSError: if the workdir cannot be written.
    """
    folder = Path(workdir)
    if not distributed.is_first():
        yield Owner(folder / OWNER, None)
        return
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    path, this = folder.resolve() / OWNER, _this_process()
    with files.naming(path):
        _take(path, this, workdir)
    owner, ended = Owner(path, this), threading.Event()
    beats = threading.Thread(target=owner.beat, args=(ended,), daemon=True)
    beats.start()

    def release() -> None:
        with contextlib.suppress(OSError):
            if _read(path) == this:
                path.unlink()

    try:
        with leaving.last(release):
            yield owner
    finally:
        ended.set()
        beats.join()
        release()
        with contextlib.suppress(OSError):
            for place in made:  # where nothing came of it
                place.rmdir()
