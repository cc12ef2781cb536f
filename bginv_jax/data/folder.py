"""Photographs as data: PATH/train/CLASS/* to train on, PATH/test/CLASS/* and any number of other folders to test on.

The classes are the folders in `train`; pictures lie in them directly. What is hidden is passed over.
"""

import dataclasses
import errno
import logging
import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from bginv_jax.data import pictures
from bginv_jax.data.dataset import Dataset, Split
from bginv_jax.errors import InputError, MissingDataError, one_line, some
from bginv_jax.files import as_text
from bginv_jax.images.reading import find_pictures, look_into, printable, suffixes

_LOG = logging.getLogger(__name__)


class _Listing(NamedTuple):
    """A folder of classes: the picture files of each, by the name of the class."""

    folder: Path
    files: dict[str, list[Path]]


def load(config: ConfigDict, name: str) -> Dataset:
    """The pictures of the folder NAME as the config's group `data` asks for them.

    Raises:
      InputError: names the folder or the files at fault and what was expected.
    """
    root = Path(os.path.expanduser(name))
    if not os.path.isdir(root):
        raise MissingDataError(f"config.data.source is 'folder:{name}', which is no folder; expected train/CLASS/*")
    train = _list(_inside(root, config.train_split, "config.data.train_split"))
    classes = tuple(train.files)
    if len(classes) < 2:
        raise InputError(
            f"{printable(train.folder)} holds {len(classes)} folders of pictures; expected one for each of at least "
            "two classes"
        )
    for label, files in train.files.items():
        if not files:
            raise InputError(
                f"{printable(train.folder / label)} holds no picture that Pillow reads; expected at least one of its "
                "class"
            )
    places = {"test": _inside(root, config.test_split, "config.data.test_split")}
    places |= {test: _place_of_test(root, test, place) for test, place in _named_tests(config.tests).items()}
    tests = {test: _list(place) for test, place in places.items()}
    for test in tests.values():
        _check_classes(test, train)
    first = next(iter(train.files.values()))[0]
    fitting = pictures.Fitting(size=config.image_size, fit=config.fit, channels=config.channels, first=first)
    train_split, known = _read(train, classes, fitting)
    mask_files = {name: _list_masks(test, config.masks) for name, test in tests.items()}
    if config.masks and not mask_files["test"]:
        raise InputError(f"config.data.masks is {config.masks!r}, with no folder {tests['test'].folder.name}")
    splits = []
    for name, test in tests.items():
        split, digests = _read(test, classes, fitting)
        if mask_files[name]:
            split = dataclasses.replace(split, masks=_read_masks(test, classes, mask_files[name], config))
        twice = sum(digest in known for digest in digests)
        if twice:
            _LOG.warning("%s: %d of %d pictures are in %s, too", test.folder, twice, len(digests), train.folder)
        splits.append(split)
    test_split, *others = splits
    return Dataset(
        one_line(as_text(f"folder:{root.resolve().name}")),
        train_split,
        test_split,
        classes,
        fitting.shape,
        tests=dict(zip(list(tests)[1:], others, strict=True)),
        by_class=True,
    )


def _named_tests(tests: Iterable[str]) -> dict[str, str | None]:
    """The paths of config.data.tests by name: NAME alone, with None, is a folder beside `train`, NAME:PATH any."""
    return {name: path if colon else None for name, colon, path in (test.partition(":") for test in tests)}


def _inside(root: Path, name: str, field: str) -> Path:
    folder = root / name
    if os.path.isdir(folder):
        return folder
    try:
        there = some([printable(path.name) for path in look_into(root).folders])
    except OSError as error:
        raise InputError(f"{field} is {name!r}, in {printable(root)}: {error.strerror}; expected a folder") from error
    raise InputError(
        f"{field} is {name!r}, which is no folder in {printable(root)}; there {f'are {there}' if there else 'is none'}"
    )


def _place_of_test(root: Path, name: str, path: str | None) -> Path:
    if path is None:
        return _inside(root, name, "config.data.tests")
    folder = Path(os.path.expanduser(path))
    if not os.path.isdir(folder):
        raise InputError(f"config.data.tests has {f'{name}:{path}'!r}, which is no folder; expected one of CLASS/*")
    return folder


def _class_name(folder: Path) -> str:
    """A folder's name in one spelling (NFC), whatever its file system does; what cannot be shown is escaped."""
    return one_line(unicodedata.normalize("NFC", folder.name))


def _is_lost(path: Path) -> bool:
    """Whether a path is a link to nothing, or to itself.

    Raises:
      OSError: if the system does not say, as in a folder that may not be entered.
    """
    try:
        path.stat()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP):
            raise
        return True
    return False


def _list(folder: Path) -> _Listing:
    """The classes of a folder in the order of their names, and their files."""
    try:
        contents = look_into(folder)
        lost = [path for path in contents.others if _is_lost(path)]
        if lost:  # a disk that is not mounted would be a class less
            raise InputError(f"{printable(lost[0])} is a link to nothing; expected the folder of a class")
        found: dict[str, Path] = {}
        for path in contents.folders:
            other = found.setdefault(_class_name(path), path)
            if other is not path:
                raise InputError(f"{printable(folder)} holds two folders whose name is {_class_name(path)!r}")
        classes = {name: look_into(found[name]) for name in sorted(found)}
    except OSError as error:
        raise InputError(f"{printable(error.filename or folder)}: {error.strerror}; expected a folder") from error
    for name, within in classes.items():
        if within.folders:
            inner = some(path.name for path in within.folders)
            _LOG.warning("%s: folders in the class %s, passed over with what they hold: %s", folder, name, inner)
    if others := [path for within in classes.values() for path in within.others]:
        _LOG.warning("%s: files that do not end as pictures do, passed over: %s", folder, suffixes(others))
    if stray := contents.pictures:
        _LOG.warning("%s: %d pictures of no class, passed over: %s", folder, len(stray), some(p.name for p in stray))
    return _Listing(folder, {name: within.pictures for name, within in classes.items()})


def _check_classes(test: _Listing, train: _Listing) -> None:
    """Refuses classes that were not trained, and says which are not tested."""
    unknown = [name for name, files in test.files.items() if name not in train.files and files]
    if unknown:
        raise InputError(
            f"{printable(test.folder)} holds classes that {printable(train.folder)} lacks: {some(unknown)}; expected "
            f"some of {some(list(train.files))}"
        )
    absent = [name for name in train.files if not test.files.get(name)]
    if len(absent) == len(train.files):
        raise InputError(f"{printable(test.folder)} holds no picture; expected CLASS/* as {printable(train.folder)}")
    if absent:
        _LOG.warning("%s: no picture of %d classes: %s", test.folder, len(absent), some(absent))


def _stem(path: Path) -> str:
    """A file's name without its suffix, in one spelling (NFC)."""
    return unicodedata.normalize("NFC", path.stem)


def _list_masks(listing: _Listing, roots: Sequence[str]) -> dict[Path, Path]:
    """The file of each picture's true mask, of the same name but for its suffix; {} where no root has such a folder."""
    there = [Path(os.path.expanduser(root)) / listing.folder.name for root in roots]
    there = [folder for folder in there if os.path.isdir(folder)]
    if not there:
        return {}
    masks: dict[Path, Path] = {}
    by_class: dict[str, dict[str, Path]] = {}
    for folder in (inner for place in there for inner in sorted(place.iterdir()) if os.path.isdir(inner)):
        by_class.setdefault(_class_name(folder), {}).update({_stem(mask): mask for mask in find_pictures(folder)})
    for name, files in listing.files.items():
        stems: dict[str, Path] = {}
        for path in files:
            other = stems.setdefault(_stem(path), path)
            if other is not path:
                raise InputError(
                    f"{printable(other)} and {printable(path)} would have one mask; expected names that differ by more "
                    "than the suffix"
                )
        found = by_class.get(name, {})
        masks |= {path: found[stem] for stem, path in stems.items() if stem in found}
    absent = [path for files in listing.files.values() for path in files if path not in masks]
    if absent:
        raise InputError(
            f"{printable(absent[0])} has no mask in {some(list(map(printable, there)))}, nor have {len(absent) - 1} "
            "other pictures; expected CLASS/NAME of any suffix for each"
        )
    return masks


def _read_masks(listing: _Listing, classes: Sequence[str], masks: dict[Path, Path], config: ConfigDict) -> np.ndarray:
    """The true masks of a listing's pictures, fitted as they are: bool (N, side, side, 1)."""
    paths = [masks[path] for name in classes for path in listing.files.get(name, ())]
    fitting = pictures.Fitting(size=config.image_size, fit=config.fit, channels=1, first=paths[0])
    greys, _ = pictures.load(paths, fitting, name=f"masks of {listing.folder.name}")
    return greys > 127


def _read(listing: _Listing, classes: Sequence[str], fitting: pictures.Fitting) -> tuple[Split, set[str]]:
    """The pictures and labels of a listing, and the SHA-256 of its files."""
    files = [path for name in classes for path in listing.files.get(name, ())]
    labels = [label for label, name in enumerate(classes) for _ in listing.files.get(name, ())]
    images, digests = pictures.load(files, fitting, name=listing.folder.name)
    return Split(images, np.array(labels, np.int32)), set(digests)
