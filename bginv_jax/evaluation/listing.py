"""Which files a command's arguments mean: files, folders that are searched, patterns that are matched."""

import functools
import glob
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bginv_jax.errors import InputError
from bginv_jax.images.reading import Contents, look_into, printable

EXPECTED = "picture files, folders of them, or quoted patterns such as 'pictures/**/*.jpg'"

_OWN = "where this command writes; expected another place for what it writes"


class Listed(NamedTuple):
    """A file to read, or what was named and gives none: then `error` says in one line why."""

    name: str
    error: str = ""


def _is_written(path: str, places: Collection[str]) -> bool:
    """Whether a path is one of the places that are written, or a file right in one, where overlays lie."""
    real = os.path.realpath(path)
    return real in places or (os.path.dirname(real) in places and not os.path.isdir(real))


def _walk(folder: Path, without: Collection[str] = ()) -> Iterator[tuple[Path, Contents | Listed]]:
    """A folder and those below it that are not hidden, each once, wherever links lead: what it holds, or why not."""
    left, seen = [folder], set(without)
    while left:
        place = left.pop()
        real = os.path.realpath(place)
        if real in seen:
            continue
        seen.add(real)
        try:
            contents = look_into(place)
        except OSError as error:
            yield place, Listed(str(place), f"{printable(place)}: {error.strerror or error}")
            continue
        yield place, contents
        left += reversed(contents.folders)


def _search(folder: Path, without: Collection[str]) -> Iterator[Listed]:
    """The pictures in a folder and in those below it."""
    empty = True
    for _, contents in _walk(folder, without):
        if isinstance(contents, Listed):
            empty = False
            yield contents
            continue
        empty = empty and not contents.pictures
        yield from (Listed(str(path)) for path in contents.pictures)
    if empty:
        yield Listed(str(folder), f"{printable(folder)}: no picture in this folder or below; hidden files do not count")


def _match(pattern: str) -> Iterator[Listed]:
    """What a pattern matches; ** alone between slashes is a folder and those below it, as `_walk` has them."""
    parts = Path(pattern).parts
    if "**" not in parts:
        yield from map(Listed, glob.glob(pattern))
        return
    first = parts.index("**")
    folders = pattern.endswith(os.sep)  # alone
    below = (*parts[first + 1 :], "") if folders else parts[first + 1 :] or ("*",)
    for above in glob.glob(str(Path(*parts[:first]))) if first else ["."]:
        for place, contents in _walk(Path(above)) if os.path.isdir(above) else ():
            if isinstance(contents, Listed):
                yield contents
            else:
                yield from _match(os.path.join(glob.escape(str(place)), *below))


def list_files(arguments: Sequence[str], *, without: Collection[Path] = ()) -> list[Listed]:
    """What the arguments of a command name, each file once, in the order of arguments and then of names.

    A file that is named is read whatever its suffix. A folder is searched, with the folders below it, for files with
    the suffix of a picture; hidden ones are passed over. An argument that is neither is matched as a pattern, where **
    stands for folders; a pattern that matches nothing gives an error of its own, and so does a folder without pictures.

    Args:
      arguments: paths; ~ is the user's home.
      without: folders and files that the command writes: passed over in folders, and where a pattern matches them.

    Raises:
      InputError: for an argument that is blank or "-", or that means only what the command writes.
    """
    found: dict[tuple[str, str], Listed] = {}
    real = functools.cache(os.path.realpath)  # of a folder; a link to a file is a file of its own
    written = {os.path.realpath(place) for place in without}
    for argument in arguments:
        if not argument.strip() or argument == "-":
            raise InputError(f"an argument is {argument!r}; expected {EXPECTED}")
        name = os.path.expanduser(argument)
        matches = [Listed(name)]
        if not os.path.lexists(name) and glob.has_magic(name):
            matches = sorted(_match(name)) or [Listed(name, f"{printable(name)}: no file matches this pattern")]
            others = [match for match in matches if match.error or not _is_written(match.name, written)]
            if not others:
                raise InputError(f"an argument is {argument!r}, {_OWN}")
            matches = others
        elif os.path.realpath(name) in written:
            raise InputError(f"an argument is {argument!r}, {_OWN}")
        for match in matches:
            searched = os.path.isdir(match.name) and not match.error
            path = Path(match.name)
            for listed in _search(path, written) if searched else [Listed(str(path), match.error)]:
                place, file = os.path.split(listed.name)
                found.setdefault((real(place), file), listed)
    return list(found.values())
