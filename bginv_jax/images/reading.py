"""Picture files: which files of a folder are pictures, and the one reader of them all.

A picture is RGB, uint8 (H, W, 3), upright. Whatever Pillow reads is read; what the file holds counts, not its suffix.
"""

import contextlib
import functools
import logging
import os
import stat
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, TiffImagePlugin, UnidentifiedImageError

from bginv_jax.errors import InputError, some
from bginv_jax.images import colours

MOST_PIXELS = 175_000_000  # a little below what Pillow refuses by itself, so that one limit holds
WHITE = (255, 255, 255)

_EXPECTED = f"expected a still picture that Pillow reads, of at most {MOST_PIXELS // 10**6} megapixels"
# Films, drawings and data, whose suffixes Pillow registers although it shows none of them as a picture; and PostScript,
# a program, which Pillow has another program run.
_NO_STILLS = frozenset({"BUFR", "EPS", "FLI", "GRIB", "HDF5", "MPEG", "WMF"})
_MOST_PAGES = 100  # of a TIFF that are looked at; each is compared with all before it
_SEPARATE = 2  # of PlanarConfiguration
_ONE_PICTURE = frozenset({"MPO", "PSD"})  # with previews or depth beside it, or as layers; Pillow gives the whole first

_LOG = logging.getLogger(__name__)
_STDERR = threading.Lock()


def list_pictures(folder: str | Path, *, field: str) -> list[Path]:
    """The picture files of a folder, in the order of their names: those with a suffix of a format that Pillow reads.

    Hidden files, subfolders and files of other suffixes are passed over.

    Args:
      folder: a path; ~ is the user's home.
      field: what the user set to the folder.

    Raises:
      ValueError: if it is no folder, cannot be read or holds no picture; names the field.
    """
    wrong = f"{field} is {str(folder)!r}; expected a folder with pictures"
    try:
        pictures = find_pictures(Path(folder).expanduser())
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError is of ~ with an unknown user
        raise InputError(f"{wrong}: {getattr(error, 'strerror', None) or error}") from error
    if not pictures:
        raise InputError(f"{wrong}: it holds no file whose name ends as a picture's, as .jpg, .png, .tif or .webp")
    return pictures


def find_pictures(folder: Path) -> list[Path]:
    """As `list_pictures`, of a folder that may hold none.

    Raises:
      OSError: if it is no folder or cannot be read.
    """
    return look_into(folder).pictures


class Contents(NamedTuple):
    """What is in a folder and not hidden, in the order of names: `others` are no pictures by their suffix."""

    pictures: list[Path]
    folders: list[Path]
    others: list[Path]


def look_into(folder: Path) -> Contents:
    """What a folder holds.

    Raises:
      OSError: if it is no folder or cannot be read.
    """
    contents = Contents([], [], [])
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if os.path.isdir(path):  # Path.is_dir raises for a link to a closed place
            contents.folders.append(path)
        else:
            (contents.pictures if is_called_picture(path) else contents.others).append(path)
    if contents.others:
        others = suffixes(contents.others)
        _LOG.info("%s: %d pictures; other files passed over: %s", folder, len(contents.pictures), others)
    return contents


def suffixes(paths: Sequence[Path]) -> str:
    """How many files there are and how their names end, in words: "3 (.heic, .txt)"."""
    ends = sorted({path.suffix.lower() or "without a suffix" for path in paths})
    return f"{len(paths)} ({some(ends)})" if ends else "0"


def is_called_picture(path: Path) -> bool:
    """Whether a path ends as the name of a picture does, in a suffix of a format that Pillow reads."""
    return path.suffix.lower() in _suffixes()


@functools.cache
def _suffixes() -> frozenset[str]:
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if _shows(name))


@functools.cache
def _formats() -> tuple[str, ...]:
    """The formats that Pillow opens and shows, in its own order."""
    Image.init()
    return tuple(name for name in Image.ID if _shows(name))


def _shows(name: str) -> bool:
    """Whether Pillow shows a format, and not only names or writes it."""
    return (name in Image.OPEN and name not in _NO_STILLS) or name == "MPO"  # which JPEG's reader opens


def read_picture(path: str | Path, *, behind: tuple[int, int, int] = WHITE) -> np.ndarray:
    """A picture of any still format as upright RGB: uint8 (H, W, 3).

    EXIF's orientation is applied. Grey of 16 bits and floats are scaled to eight bits, not clipped; CMYK follows the
    profile in the file. Of a phone's file with previews or depth beside the picture, and of layers, the whole picture
    is read; pages of a TIFF that are marked as smaller copies do not count.

    Args:
      path: of the file, as it is: ~ is no home here, since a file may be called so.
      behind: the colour, 0 to 255, over which what is transparent is laid.

    Raises:
      ValueError: if it is no file, no picture, damaged, of several frames or pages, or of more than `MOST_PIXELS`;
        names the file in one line.
    """
    try:
        path = Path(path)
        _check_file(path)
        with _SILENCE, Image.open(path, formats=_formats()) as image:
            _check_image(image)
            with _AT_ONCE.taking(image.width * image.height):
                colours.scale_transparent_key(image)
                _load(image)
                _turn_upright(image)
                return np.array(colours.as_rgb(image, behind=behind))
    except Exception as error:  # Pillow's readers raise errors of any kind on damaged files
        raise InputError(f"{printable(path)}: {_reason(error)}; {_EXPECTED}") from error


def check_file(path: Path) -> None:
    """Refuses what `read_picture` would before it opens it: no file, a pipe, which would be waited for, or nothing.

    Raises:
      InputError: as `read_picture`.
    """
    try:
        _check_file(path)
    except (OSError, ValueError, _UnsuitableError) as error:
        raise InputError(f"{printable(path)}: {_reason(error)}; {_EXPECTED}") from error


def printable(path: str | Path) -> str:
    """A path as messages show it, in one line whatever its name holds."""
    return str(path) if str(path).isprintable() else repr(str(path))


class _UnsuitableError(Exception):
    """Why a file is refused that Pillow could open."""


def _reason(error: Exception) -> str:
    """An error in a few words, in one line and without the file's name."""
    if isinstance(error, UnidentifiedImageError):
        return "it is no picture, or a damaged one"
    if isinstance(error, Image.DecompressionBombError):
        return "it has too many pixels"
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, _UnsuitableError):
        return str(error)
    words = " ".join(str(error).split())
    return f"it cannot be decoded ({words or type(error).__name__})"


def _check_file(path: Path) -> None:
    """Refuses what is no file before it is opened: a pipe would be waited for."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise _UnsuitableError("it is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise _UnsuitableError("it is a pipe or a device")
    if not status.st_size:
        raise _UnsuitableError("it is empty")


def _check_image(image: Image.Image) -> None:
    """Refuses what is no still picture, or too large, before it is decoded."""
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.format not in _ONE_PICTURE:
        pages = [page for page in _pages(image) if not _is_copy(image, page)]
        image.seek(pages[0] if pages else 0)
        frames = len(pages)
    else:
        frames = 1 if image.format in _ONE_PICTURE else getattr(image, "n_frames", 1)
    if isinstance(image, TiffImagePlugin.TiffImageFile) and _is_deep_in_planes(image):
        raise _UnsuitableError("it has more than eight bits in separate planes")  # which Pillow mixes up
    if frames > 1:
        raise _UnsuitableError(f"it has {frames} {'pages' if image.format == 'TIFF' else 'frames'}")
    width, height = image.size
    if not width or not height:
        raise _UnsuitableError("it has no pixels")
    if width * height > MOST_PIXELS:
        raise _UnsuitableError(f"it has {width}x{height} pixels, {width * height / 1e6:.0f} megapixels")


def _pages(image: TiffImagePlugin.TiffImageFile) -> range:
    """The pages of a TIFF."""
    for page in range(1, _MOST_PAGES + 1):
        try:
            image.seek(page)
        except EOFError:
            return range(page)
    raise _UnsuitableError(f"it has more than {_MOST_PAGES} pages")


def _is_copy(image: TiffImagePlugin.TiffImageFile, page: int) -> bool:
    """Whether a page of a TIFF is marked as a smaller copy of another."""
    image.seek(page)
    return bool(image.tag_v2.get(ExifTags.Base.NewSubfileType, 0) & 1)


def _is_deep_in_planes(image: TiffImagePlugin.TiffImageFile) -> bool:
    """Whether the colours of a TIFF lie one behind the other in more than eight bits each."""
    bits = image.tag_v2.get(ExifTags.Base.BitsPerSample, (1,))
    return image.tag_v2.get(ExifTags.Base.PlanarConfiguration) == _SEPARATE and len(bits) > 1 and max(bits) > 8


def _load(image: ImageFile.ImageFile) -> None:
    if image.tile and image.tile[0][0] == "libtiff":
        with _silent_stderr():
            image.load()
    else:
        image.load()


def _turn_upright(image: Image.Image) -> None:
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except MemoryError:
        raise
    except Exception:  # damaged EXIF is no reason to refuse a sound picture
        _LOG.debug("EXIF of %s cannot be read", image, exc_info=True)


class _Budget:
    """Bounds what threads hold at once; what is larger than all of it waits until nobody else holds any."""

    def __init__(self, most: int):
        self._most = self._left = most
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def taking(self, amount: int) -> Iterator[None]:
        amount = min(amount, self._most)
        with self._changed:
            self._changed.wait_for(lambda: self._left >= amount)
            self._left -= amount
        try:
            yield
        finally:
            with self._changed:
                self._left += amount
                self._changed.notify_all()


_AT_ONCE = _Budget(MOST_PIXELS)  # pixels that are decoded: sixteen photographs, or one of the largest pictures


class _Silence:
    """Keeps Pillow's warnings and log from the screen while any thread reads; what matters of them is raised.

    Both belong to the process: each thread for itself would restore what another had set.
    """

    def __init__(self) -> None:
        self._lock, self._readers, self._undo = threading.Lock(), 0, contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._readers:
                log = logging.getLogger("PIL.TiffImagePlugin")  # the one that logs errors
                self._undo.callback(log.setLevel, log.level)
                log.setLevel(logging.CRITICAL)
                self._undo.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._readers += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._readers -= 1
            if not self._readers:
                self._undo.close()


_SILENCE = _Silence()


@contextlib.contextmanager
def keeping_stderr() -> Iterator[None]:
    """In it what is printed to standard error is seen, even while other threads read pictures."""
    with _STDERR:
        yield


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Keeps what libtiff prints by itself, below Python, from the screen; one thread at a time."""
    with _STDERR, contextlib.ExitStack() as undo:
        try:
            kept = os.dup(2)
        except OSError:  # there is no standard error
            yield
            return
        undo.callback(os.close, kept)
        nothing = os.open(os.devnull, os.O_WRONLY)
        undo.callback(os.close, nothing)
        os.dup2(nothing, 2)
        undo.callback(os.dup2, kept, 2)
        yield
