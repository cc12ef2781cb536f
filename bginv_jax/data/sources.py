"""The sources of data by name: each is a file of this folder and one entry here."""

import os
from pathlib import Path

from bginv_jax.data import idx, mnist_5k, studio, tfds
from bginv_jax.data.dataset import Dataset, Split, make_dataset
from bginv_jax.errors import InputError
from bginv_jax.images.pixels import pad_to


def load(config) -> Dataset:
    """Loads `config.source` (the config's group `data`): mnist_5k, tfds:NAME or idx:FOLDER; and its `studio`, if any.

    Images of every source are resized to `config.image_size` and repeated to `config.channels`, unless these are 0.

    Raises:
      ValueError: names the file or the field at fault and what was expected.
    """
    dataset = _load_source(config)
    if not config.studio:
        return dataset
    splits = []
    for split in (dataset.train, dataset.test):
        images, masks = studio.place(pad_to(split.images, dataset.size), config.studio)
        splits.append(Split(images, split.targets, masks))
    return Dataset(f"{dataset.name}, {config.studio}", *splits, dataset.class_names)


def _load_source(config) -> Dataset:
    kind, _, name = config.source.partition(":")
    if config.source == "mnist_5k":
        return mnist_5k.load(config)
    if kind == "tfds" and name:
        return tfds.load(config, name)
    if kind == "idx" and name:
        folder = Path(os.path.expanduser(name))  # Path's own fails for a user that does not exist
        splits = idx.load(folder)
        return make_dataset(config, f"idx:{folder.resolve().name}", splits)
    raise InputError(f"config.data.source is {config.source!r}; allowed: mnist_5k, tfds:NAME or idx:FOLDER")
