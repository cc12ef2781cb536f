"""Image-classification sets of TensorFlow Datasets, prepared as array_record: read without TensorFlow."""

import contextlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from bginv_jax.data import tfds_folders
from bginv_jax.data.dataset import Dataset, fit_large, make_dataset
from bginv_jax.errors import InputError, first_line
from bginv_jax.images.reading import MOST_PIXELS

if TYPE_CHECKING:  # two seconds that no other source needs
    from tensorflow_datasets.core.dataset_info import DatasetInfo
    from tensorflow_datasets.core.features import FeaturesDict
    from tensorflow_datasets.core.utils.shard_utils import FileInstruction

_FORMATS = ("PNG", "JPEG", "GIF", "BMP")  # what TensorFlow decodes as an image


def load(config: ConfigDict, name: str) -> Dataset:
    """The splits that the config's group `data` names, of the set NAME, NAME/CONFIG, or either with :VERSION.

    Raises:
      ValueError: names the file or the field at fault and what was expected.
    """
    reference = tfds_folders.parse(name)
    builder = tfds_folders.open_builder(reference, config.dir)
    image_key, label_key = tfds_folders.supervised_keys(builder, name)
    named = {"train": (config.train_split, "train_split"), "test": (config.test_split, "test_split")}
    for test in config.tests:
        own, _, split = test.partition(":")
        named[own] = (split or own, "tests")
    splits = {}
    for split, (place, field) in named.items():
        records = _read(builder.info, place, f"config.data.{field}", image_key, label_key, config)
        images = [record[image_key] for record in records]
        splits[split] = (images, np.array([record[label_key] for record in records], np.int64))
    names = builder.info.features[label_key].names
    return make_dataset(config, f"tfds:{reference.tfds_name(include_version=False)}", splits, names)


def _read(
    info: "DatasetInfo", split: str, field: str, image: str, label: str, config: ConfigDict
) -> list[dict[str, np.ndarray]]:
    """All examples of a split or slice, shard by shard, so that a damaged one can be named: their image and label.

    Images that are much larger than asked for are fitted at once.
    """
    import tensorflow_datasets as tfds

    counts = ", ".join(f"{name} ({one.num_examples} images)" for name, one in info.splits.items())
    allowed = f"allowed: {counts}, and slices such as train[:80%] that leave at least one"
    try:
        shards = info.splits[split].file_instructions
    except Exception as error:  # the words of a split are parsed, and wrong ones fail anywhere in there
        raise InputError(f"{field} is {split!r}; {allowed}") from error
    if any(shard.take < 0 for shard in shards) or not sum(shard.take for shard in shards):
        raise InputError(f"{field} is {split!r}, which holds no image; {allowed}")
    folder = Path(os.path.abspath(info.data_dir))
    features = tfds.features.FeaturesDict({key: info.features[key] for key in (image, label)})
    return [example for shard in shards for example in _read_shard(shard, folder, features, image, config)]


def _read_shard(
    shard: "FileInstruction", folder: Path, features: "FeaturesDict", image: str, config: ConfigDict
) -> list[dict[str, np.ndarray]]:
    from array_record.python import array_record_data_source, array_record_module

    path = Path(os.path.abspath(shard.filename))
    if path.parent != folder:
        raise InputError(f"{folder / 'dataset_info.json'} names {path}; expected files beside it")
    if not path.is_file():
        raise InputError(f"{path} is missing; expected it beside dataset_info.json, which names it")
    try:
        with contextlib.closing(array_record_module.ArrayRecordReader(str(path))) as reader:
            if reader.num_records() != shard.examples_in_shard:
                raise ValueError(f"{reader.num_records()} examples")
        source = array_record_data_source.ArrayRecordDataSource([shard])
        records = source.__getitems__(range(len(source)))
    except Exception as error:  # what array_record makes of its C++ errors
        raise InputError(
            f"{path}: {first_line(error)}; expected a whole array_record file of "
            f"{shard.examples_in_shard} examples, as dataset_info.json has it"
        ) from error
    try:
        decoded = (_decode(record, features, image) for record in records)
        return [example | {image: fit_large(config, example[image])} for example in decoded]
    except Exception as error:  # of Protocol Buffers, Pillow or TensorFlow Datasets
        raise InputError(
            f"{path}: an example cannot be read ({first_line(error)}); expected what features.json says"
        ) from error


def _decode(record: bytes, features: "FeaturesDict", image: str) -> dict[str, np.ndarray]:
    """One example, whose picture is looked at before it is decoded: it may be of any kind and size."""
    import tensorflow_datasets as tfds

    example = features.deserialize_example_np(record, decoders={image: tfds.decode.SkipDecoding()})
    with Image.open(io.BytesIO(example[image]), formats=_FORMATS) as picture:
        width, height = picture.size
    expected = features[image].shape
    fits = all(want in (None, side) for want, side in zip(expected[:2], (height, width), strict=True))
    if width * height > MOST_PIXELS or not fits:
        raise ValueError(f"a picture of {height}x{width} pixels")
    return example | {image: features[image].decode_example_np(example[image])}
