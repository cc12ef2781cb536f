"""The files that are written: tried before the work, UTF-8 in every locale, JSON as the standard has it, whole or not.

Folders and files may be given as text or as a path.
"""

import contextlib
import errno
import json
import logging
import math
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bginv_jax.errors import InputError

_LOG = logging.getLogger(__name__)

_PROBE = bytes(4096)  # an empty file fits on a full disk
_MOST_LEVELS = 20  # of JSON
_NO_BYTES = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # lone surrogates that stand for no byte


def _nearest(path: Path) -> Path:
    """What there already is of `path`: itself or the innermost folder above it."""
    for place in (path, *path.parents):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.lstat(place)
            return place
    return Path()


def _try(path: Path) -> None:
    """Writes a file where the folder `path` is or will be, and takes it away again; nothing is made."""
    nearest = _nearest(path)
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"{nearest} is no folder")
    with tempfile.NamedTemporaryFile(dir=nearest) as probe:
        probe.write(_PROBE)


@contextlib.contextmanager
def _complaints(path: str | Path, field: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"{field} is {str(path)!r}, which cannot be written ({reason}); expected another path"
        ) from error


def check_path(path: str | Path, *, field: str) -> Path:
    """The path that a text means, whatever lies there; a leading ~ is the user's home.

    Raises:
      InputError: names the field, for a null byte, letters that no file's name has here, and the home of nobody.
    """
    try:
        place = Path(path).expanduser()
        if b"\0" in os.fsencode(place):
            raise ValueError("embedded null byte")
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{field} is {str(path)!r}, which is no path ({error}); expected another path") from error
    return place


def check_folder(path: str | Path, *, field: str, files: Sequence[str] = (), folders: Sequence[str] = ()) -> Path:
    """The folder `path`, which need not be there yet, if what a command writes can be written into it.

    Args:
      path: a leading ~ is the user's home.
      field: what the message calls it, such as "--output".
      files: names of the files that will be written there.
      folders: names of the folders.

    Raises:
      InputError: names the field, the path and what is in the way.
    """
    folder, given = check_path(path, field=field), f"{field} is {str(path)!r}"
    with _complaints(path, field):
        if os.path.lexists(folder) and not folder.is_dir():
            raise InputError(f"{given}, a file; expected a folder")
        for name in files:
            if (folder / name).is_dir():
                raise InputError(f"{given}, where {name} is a folder; expected a file")
        for name in folders:
            if os.path.lexists(folder / name) and not (folder / name).is_dir():
                raise InputError(f"{given}, where {name} is a file; expected a folder")
        for place in (folder, *(folder / name for name in folders)):
            _try(place)
    return folder


def check_file(path: str | Path, *, field: str) -> Path:
    """The file `path`, which need not be there yet, nor its folder, if it can be written; as `check_folder`."""
    file = check_path(path, field=field)
    with _complaints(path, field):
        if file.is_dir():
            raise InputError(f"{field} is {str(path)!r}, a folder; expected a file")
        if not file.exists() or file.is_file():  # a device or a pipe takes what it is given
            _try(file.parent)
    return file


def check_apart(files: Mapping[str, Path], *, folders: Mapping[str, Path]) -> None:
    """Refuses files that would be written over each other, or stand where a folder has to be; devices take both.

    Args:
      files, folders: what is written, by the field that says where.

    Raises:
      InputError: names both fields.
    """
    places = {field: os.path.realpath(path) for field, path in (*files.items(), *folders.items())}
    for field, path in files.items():
        if path.exists() and not path.is_file():
            continue
        for other, place in places.items():
            if other != field and os.path.commonpath([places[field], place]) == places[field]:
                raise InputError(f"{field} is {str(path)!r}, where {other} is written, too; expected another path")


@contextlib.contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Has the errors of the system name `path`; those of a file that is open name none."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Where to write what becomes the file `path` once it is whole; its folder is made where it is missing.

    Raises:
      OSError: names `path`.
    """
    path = Path(path)
    with naming(path):
        if path.exists() and not path.is_file():  # a device or a pipe, which must stay what it is
            yield path
            return
        path = Path(os.path.realpath(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
            whole = Path(folder) / path.name
            yield whole
            os.replace(whole, path)


def as_text(name: str) -> str:
    r"""What can be written as UTF-8: bytes of a file's name that are none become such as \xff."""
    # In a locale without UTF-8 Python holds the bytes of a file's name, which a table quotes, as lone surrogates. JSON
    # may hold any others.
    name = _NO_BYTES.sub(lambda found: f"\\u{ord(found[0]):04x}", name)
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def write_text(path: str | Path, text: str) -> None:
    r"""Writes UTF-8 with lines that end in \n."""
    with replacing(path) as whole:
        whole.write_bytes(as_text(text).encode("utf-8"))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_json(value: Any, *, indent: int | None = None) -> str:
    """`value` as JSON, which has no numbers that are not finite: they are null."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def write_json_lines(path: str | Path, records: Iterable[Mapping]) -> None:
    """Writes a record a line."""
    write_text(path, "".join(to_json(record) + "\n" for record in records))


def append_json_line(path: str | Path, record: Mapping[str, Any]) -> None:
    """Adds a line to a file, which is made where it is missing: the whole line, or nothing of it.

    Raises:
      OSError: names `path`.
    """
    line = memoryview((to_json(record) + "\n").encode("utf-8"))
    with naming(path), open(path, "ab", buffering=0) as file:
        before = file.seek(0, os.SEEK_END)
        try:
            while line:
                line = line[file.write(line) :]
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(before)
            raise


def _is_deep(value: list) -> bool:
    """Whether one of some values of JSON is nested deeper than what is written here; it may be too deep to write."""
    for _ in range(_MOST_LEVELS):
        value = [inner for outer in value for inner in (outer.values() if isinstance(outer, dict) else outer)]
        value = [inner for inner in value if isinstance(inner, dict | list)]
        if not value:
            return False
    return True


def _record(line: bytes, fields: Mapping[str, Any]) -> dict | None:
    try:
        record = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or _is_deep([record]):
        return None
    values = ((record.get(name), kind) for name, kind in fields.items())
    fits = (isinstance(value, kind) and not isinstance(value, bool) for value, kind in values)
    return record if all(fits) else None


def read_json_lines(path: str | Path, *, fields: Mapping[str, Any]) -> list[dict]:
    """The records of a file that `write_json_lines` wrote, or that grew line by line.

    Lines that are no records, such as the half line of a killed process, are passed over with a warning.

    Args:
      path: the file.
      fields: what each record holds: the type, or types, by name.
    """
    records, passed = [], []
    for number, line in enumerate(Path(path).read_bytes().splitlines(), start=1):
        record = _record(line, fields)
        if record is not None:
            records.append(record)
        elif line.strip():
            passed.append(number)
    if passed:
        shown = ", ".join(map(str, passed[:5])) + (", ..." if len(passed) > 5 else "")
        _LOG.warning("%s: no record of %s, passed over: line %s", path, " and ".join(fields), shown)
    return records
