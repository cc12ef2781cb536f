"""Image-classification sets of TensorFlow Datasets, prepared as array_record: read without TensorFlow."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ml_collections import ConfigDict

from bginv_jax.data import tfds_folders
from bginv_jax.data.dataset import Dataset, make_dataset
from bginv_jax.data.tfds_prepare import first_line
from bginv_jax.errors import InputError

if TYPE_CHECKING:  # two seconds that no other source needs
    from tensorflow_datasets.core.dataset_info import DatasetInfo
    from tensorflow_datasets.core.features import FeaturesDict
    from tensorflow_datasets.core.utils.shard_utils import FileInstruction


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
        records = _read(builder.info, place, f"config.data.{field}")
        images = [record[image_key] for record in records]
        splits[split] = (images, np.array([record[label_key] for record in records], np.int64))
    names = builder.info.features[label_key].names
    return make_dataset(config, f"tfds:{reference.tfds_name(include_version=False)}", splits, names)


def _read(info: "DatasetInfo", split: str, field: str) -> list[dict[str, np.ndarray]]:
    """All examples of a split or slice, shard by shard, so that a damaged one can be named."""
    counts = ", ".join(f"{name} ({one.num_examples} images)" for name, one in info.splits.items())
    allowed = f"allowed: {counts}, and slices such as train[:80%] that leave at least one"
    try:
        shards = info.splits[split].file_instructions
    except (ValueError, KeyError, NotImplementedError, AssertionError) as error:
        raise InputError(f"{field} is {split!r}; {allowed}") from error
    if any(shard.take < 0 for shard in shards) or not sum(shard.take for shard in shards):
        raise InputError(f"{field} is {split!r}, which holds no image; {allowed}")
    return [example for shard in shards for example in _read_shard(shard, info.features)]


def _read_shard(shard: "FileInstruction", features: "FeaturesDict") -> list[dict[str, np.ndarray]]:
    from array_record.python import array_record_data_source, array_record_module
    from google.protobuf.message import DecodeError

    path = Path(shard.filename)
    if not path.is_file():
        raise InputError(f"{path} is missing; expected it beside dataset_info.json, which names it")
    try:
        with contextlib.closing(array_record_module.ArrayRecordReader(str(path))) as reader:
            if reader.num_records() != shard.examples_in_shard:
                raise ValueError(f"{reader.num_records()} examples")
        source = array_record_data_source.ArrayRecordDataSource([shard])
        records = source.__getitems__(range(len(source)))
    except (OSError, RuntimeError, ValueError, IndexError) as error:  # what array_record makes of its C++ errors
        raise InputError(
            f"{path}: {first_line(error)}; expected a whole array_record file of "
            f"{shard.examples_in_shard} examples, as dataset_info.json has it"
        ) from error
    try:
        return [features.deserialize_example_np(record) for record in records]
    except (OSError, ValueError, KeyError, TypeError, AssertionError, DecodeError) as error:
        raise InputError(
            f"{path}: an example cannot be read ({first_line(error)}); expected what features.json says"
        ) from error
