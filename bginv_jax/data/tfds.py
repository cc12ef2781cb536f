"""Image-classification sets of TensorFlow Datasets."""

from pathlib import Path

import numpy as np

from bginv_jax.data.dataset import Dataset, make_dataset
from bginv_jax.errors import InputError


def load(config, name: str) -> Dataset:
    """An image-classification set of TensorFlow Datasets, prepared as array_record: read without TensorFlow."""
    import tensorflow_datasets as tfds  # two seconds that no other source needs

    folder = str(Path(config.dir).expanduser()) if config.dir else None
    try:
        builder = tfds.builder(name, data_dir=folder, file_format="array_record")
    except tfds.core.registered.DatasetNotFoundError as error:
        known = "a data set of TensorFlow Datasets, see https://www.tensorflow.org/datasets/catalog"
        raise InputError(f"config.data.source is 'tfds:{name}'; allowed: {known}") from error
    if not builder.is_prepared():
        _prepare(builder, name)
    features, keys = builder.info.features, builder.info.supervised_keys or ()
    expected = (tfds.features.Image, tfds.features.ClassLabel)
    if len(keys) != 2 or not all(isinstance(features[key], kind) for key, kind in zip(keys, expected, strict=True)):
        raise InputError(f"config.data.source is 'tfds:{name}'; allowed: an image-classification data set")
    image_key, label_key = keys
    splits = {}
    for split, field in (("train", "train_split"), ("test", "test_split")):
        try:
            source = builder.as_data_source(split=config[field])
        except (ValueError, KeyError) as error:
            known = ", ".join(builder.info.splits)
            raise InputError(f"config.data.{field} is {config[field]!r}; allowed: {known}, and slices") from error
        records = source.__getitems__(range(len(source)))
        images = [record[image_key] for record in records]
        splits[split] = (images, np.array([record[label_key] for record in records], np.int64))
    return make_dataset(config, f"tfds:{name}", splits, features[label_key].names)


def _prepare(builder, name: str) -> None:
    """Downloads and prepares a data set; some need TensorFlow for that, once."""
    try:
        builder.download_and_prepare()
    except ImportError as error:
        raise InputError(
            f"config.data.source is 'tfds:{name}', which is not in {builder.data_path}, and to prepare it "
            f"TensorFlow Datasets needs TensorFlow, once: .venv/bin/pip install -e '.[prepare]' ({error})"
        ) from error
    except OSError as error:
        raise InputError(
            f"config.data.source is 'tfds:{name}', which is not in {builder.data_path}, and downloading it failed "
            f"({error}); expected the network, or the prepared data set under config.data.dir"
        ) from error
