"""The sources of data by name: each is a file of this folder and one entry here."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from bginv_jax.data import angles, canvas, folder, idx, mnist_5k, studio, tfds, world
from bginv_jax.data.dataset import Dataset, Split, make_dataset
from bginv_jax.data.holdout import hold_out
from bginv_jax.errors import InputError


class Source(NamedTuple):
    """A kind of data set.

    form: how config.data.source names it.
    load: load(config, NAME) reads it, where config is the group `data`.
    splits: whether it has parts by name, for config.data.train_split, test_split and tests.
    """

    form: str
    load: Callable[[ConfigDict, str], Dataset]
    splits: bool = False


def _load_idx(config: ConfigDict, name: str) -> Dataset:
    place = Path(os.path.expanduser(name))  # Path's own fails for a user that does not exist
    splits = idx.load(place)
    return make_dataset(config, f"idx:{place.resolve().name}", splits)


# The fields of `data` that name the two parts, and what they are by default.
SPLITS = {"train_split": "train", "test_split": "test"}

# What is asked of each image, by config.data.targets: a function of the data set as its source has it.
TARGETS: dict[str, Callable[[Dataset], Dataset]] = {
    "given": lambda dataset: dataset,
    "angle": angles.with_angles,
    "canvas": canvas.with_canvases,
}

# By what stands before the colon.
SOURCES: dict[str, Source] = {
    "mnist_5k": Source("mnist_5k", lambda config, name: mnist_5k.load(config)),
    "tfds": Source("tfds:NAME", tfds.load, splits=True),
    "idx": Source("idx:FOLDER", _load_idx),
    "folder": Source("folder:PATH", folder.load, splits=True),
    "world": Source("world:NAME", world.load),
}


def forms() -> str:
    """How the sources are named, for messages."""
    *most, last = (source.form for source in SOURCES.values())
    return f"{', '.join(most)} or {last}"


def is_source(text: str) -> bool:
    """Whether `text` has the form of a source."""
    kind, colon, name = text.partition(":")
    return kind in SOURCES and bool(colon) == bool(name) == (":" in SOURCES[kind].form)


def are_tests(tests: tuple) -> bool:
    """Whether each is NAME or NAME:PLACE, and the names differ and are not those of the two splits that there are."""
    if not all(isinstance(test, str) for test in tests):
        return False
    parts = [test.partition(":") for test in tests]
    names = [name for name, _, _ in parts]
    whole = all(name.strip() and bool(colon) == bool(place) for name, colon, place in parts)
    return whole and len(set(names)) == len(names) and not {"train", "test"} & set(names)


def load(config: ConfigDict) -> Dataset:
    """Loads `config.source` (the config's group `data`), one of SOURCES, with `config.targets`, one of TARGETS; and
    sets it into its `studio`, if any.

    Images of every source are resized to `config.image_size` and repeated to `config.channels`, unless these are 0. A
    `config.validation_share` of those to train on is held out.

    Raises:
      InputError: names the file or the field at fault and what was expected.
    """
    if not is_source(config.source):
        raise InputError(f"config.data.source is {config.source!r}; allowed: {forms()}")
    kind, _, name = config.source.partition(":")
    if config.masks and kind != "folder":
        raise InputError(f"config.data.masks is {config.masks!r}; allowed with {config.source}: ()")
    if kind == "world" and (config.studio or config.targets != "given"):
        field, allowed = ("studio", "''") if config.studio else ("targets", "given")
        raise InputError(f"config.data.{field} is {config[field]!r}; allowed with {config.source}: {allowed}")
    if config.masks and config.targets != "given":
        raise InputError(f"config.data.targets is {config.targets!r}; allowed with config.data.masks: given")
    if config.tests and not SOURCES[kind].splits:
        raise InputError(f"config.data.tests is {config.tests!r}; allowed with {config.source}, which has one test: ()")
    for field, default in SPLITS.items():
        if config[field] != default and not SOURCES[kind].splits:
            raise InputError(f"config.data.{field} is {config[field]!r}; allowed with {config.source}: {default}")
    try:
        dataset = TARGETS[config.targets](SOURCES[kind].load(config, name))
    except MemoryError as error:
        raise InputError(
            f"config.data.source is {config.source!r}, whose images do not fit into the memory ({error}); expected "
            "fewer, or a smaller config.data.image_size"
        ) from error
    if config.studio:
        dataset = _place(dataset, config.studio)
    return hold_out(dataset, config.validation_share)


def _place(dataset: Dataset, name: str) -> Dataset:
    """A data set whose objects stand before the backdrop of a studio."""

    def place(split: Split) -> Split:
        images, ink = studio.place(split.images, name)
        return Split(images, split.targets, ink if split.masks is None else split.masks)

    train, test = place(dataset.train), place(dataset.test)
    tests = {test_name: place(split) for test_name, split in dataset.tests.items()}
    placed, shape = f"{dataset.name}, {name}", train.images.shape[1:]
    return dataclasses.replace(dataset, name=placed, train=train, test=test, shape=shape, tests=tests)
