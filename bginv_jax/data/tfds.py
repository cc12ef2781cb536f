"""Image-classification sets of TensorFlow Datasets, prepared as array_record: read without TensorFlow."""

import contextlib
import functools
import io
import itertools
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ml_collections import ConfigDict
from PIL import Image
from tqdm import tqdm

from bginv_jax.data import rows, tfds_folders
from bginv_jax.data.dataset import Dataset, fit, make_dataset
from bginv_jax.data.parallel import in_order
from bginv_jax.data.pictures import cache_folder
from bginv_jax.errors import InputError, first_line
from bginv_jax.images.reading import MOST_PIXELS

if TYPE_CHECKING:  # two seconds that no other source needs
    from tensorflow_datasets.core.dataset_info import DatasetInfo
    from tensorflow_datasets.core.utils.shard_utils import FileInstruction

_FORMATS = ("PNG", "JPEG", "GIF", "BMP")  # what TensorFlow decodes as an image
_READ_TOGETHER = 512  # examples
_DECODED_TOGETHER = 16  # by one thread
_FITTED_BYTES = 2**22  # of images that are fitted together, or of a single larger one
_MOST_HELD = 2**28  # bytes of a split; a larger one lies in a file


def load(config: ConfigDict, name: str) -> Dataset:
    """The splits that the config's group `data` names, of the set NAME, NAME/CONFIG, or either with :VERSION.

    Raises:
      ValueError: names the file or the field at fault and what was expected.
    """
    reference = tfds_folders.parse(name)
    builder = tfds_folders.open_builder(reference, config.dir)
    decoder = _Decoder(builder.info, *tfds_folders.supervised_keys(builder, name))
    named = {"train": (config.train_split, "train_split"), "test": (config.test_split, "test_split")}
    for test in config.tests:
        own, _, split = test.partition(":")
        named[own] = (split or own, "tests")
    title = f"tfds:{reference.tfds_name(include_version=False)}"
    splits = {}
    for split, (place, field) in named.items():
        shards = _find_shards(builder.info, place, f"config.data.{field}")
        splits[split] = _read(shards, decoder, config, name=title, split=split)
    return make_dataset(config, title, splits, decoder.class_names)


def _find_shards(info: "DatasetInfo", split: str, field: str) -> "Sequence[FileInstruction]":
    """The files of a split or slice, and which of their examples are in it."""
    counts = ", ".join(f"{name} ({one.num_examples} images)" for name, one in info.splits.items())
    allowed = f"allowed: {counts}, and slices such as train[:80%] that leave at least one"
    try:
        shards = info.splits[split].file_instructions
    except Exception as error:  # the words of a split are parsed, and wrong ones fail anywhere in there
        raise InputError(f"{field} is {split!r}; {allowed}") from error
    if any(shard.take < 0 for shard in shards) or not sum(shard.take for shard in shards):
        raise InputError(f"{field} is {split!r}, which holds no image; {allowed}")
    folder = Path(os.path.abspath(info.data_dir))
    for shard in shards:
        path = Path(os.path.abspath(shard.filename))
        if path.parent != folder:
            raise InputError(f"{folder / 'dataset_info.json'} names {path}; expected files beside it")
        if not path.is_file():
            raise InputError(f"{path} is missing; expected it beside dataset_info.json, which names it")
    return shards


class _Decoder:
    """Takes an example's image and label. What else it holds is not decoded: a video would need another program."""

    def __init__(self, info: "DatasetInfo", image: str, label: str):
        import tensorflow_datasets as tfds

        self.class_names: list[str] = info.features[label].names
        self.shape: tuple[int | None, int | None, int] = info.features[image].shape
        self._features = tfds.features.FeaturesDict({key: info.features[key] for key in (image, label)})
        self._skipped = {image: tfds.decode.SkipDecoding()}
        self._image, self._label = image, label

    def decode(self, record: bytes) -> tuple[np.ndarray, int]:
        """The image, uint8 (H, W, C), which is looked at before it is decoded, since it may be of any kind and size."""
        example = self._features.deserialize_example_np(record, decoders=self._skipped)
        with Image.open(io.BytesIO(example[self._image]), formats=_FORMATS) as picture:
            width, height = picture.size
        fits = all(want in (None, side) for want, side in zip(self.shape[:2], (height, width), strict=True))
        if width * height > MOST_PIXELS or not fits:
            raise ValueError(f"a picture of {height}x{width} pixels")
        return self._features[self._image].decode_example_np(example[self._image]), int(example[self._label])


def _read(
    shards: "Sequence[FileInstruction]", decoder: _Decoder, config: ConfigDict, *, name: str, split: str
) -> tuple[np.ndarray, np.ndarray]:
    """The images, fitted, (N, H, W, C), where they are many in a file, and the labels (N,)."""
    count = sum(shard.take for shard in shards)
    labels: list[int] = []
    decode = functools.partial(_decode, decoder=decoder, config=config, name=name)

    def parts() -> Iterator[np.ndarray]:
        labels.clear()
        shape = None
        with tqdm(total=count, desc=f"{split}: reading", unit="image", delay=2, leave=False, disable=None) as bar:
            for images, own in itertools.chain.from_iterable(in_order(decode, _blocks(shards))):
                shape = shape or images.shape[1:]
                if images.shape[1:] != shape:
                    both = " and ".join("{}x{}".format(*one) for one in (shape, images.shape[1:]))
                    raise InputError(
                        f"data set {name}: images of {both} pixels; set config.data.image_size, the side in pixels"
                    )
                labels.extend(own)
                bar.update(len(own))
                yield images

    sides = (config.image_size, config.image_size) if config.image_size else decoder.shape[:2]
    channels = max(config.channels, decoder.shape[-1])
    if None in sides or count * math.prod(sides) * channels > _MOST_HELD:  # type: ignore[arg-type]  # no None is left
        images = rows.gather(parts, cache_folder(), name=f"images of {name}")
    else:
        images = np.concatenate(list(parts()))
    return images, np.array(labels, np.int64)


def _decode(
    block: tuple[Path, Sequence[bytes]], *, decoder: _Decoder, config: ConfigDict, name: str
) -> list[tuple[np.ndarray, list[int]]]:
    """Fitted images (n, H, W, C) and their labels: several are fitted together, a large one alone."""
    path, records = block
    parts, images, labels = [], [], []
    for number, record in enumerate(records, 1):
        try:
            image, label = decoder.decode(record)
        except Exception as error:  # of Protocol Buffers, Pillow or TensorFlow Datasets
            raise InputError(
                f"{path}: an example cannot be read ({first_line(error)}); expected what features.json says"
            ) from error
        images.append(image)
        labels.append(label)
        if number == len(records) or sum(one.nbytes for one in images) > _FITTED_BYTES:
            parts.append((fit(config, name, images), labels))
            images, labels = [], []
    return parts


def _blocks(shards: "Sequence[FileInstruction]") -> Iterator[tuple[Path, Sequence[bytes]]]:
    """The examples as they lie in their files, some at a time, each with its file, so that a damaged one is named."""
    from array_record.python import array_record_data_source, array_record_module

    for shard in shards:
        path = Path(os.path.abspath(shard.filename))
        try:
            with contextlib.closing(array_record_module.ArrayRecordReader(str(path))) as reader:
                if reader.num_records() != shard.examples_in_shard:
                    raise ValueError(f"{reader.num_records()} examples")
            source = array_record_data_source.ArrayRecordDataSource([shard])
            for start in range(0, len(source), _READ_TOGETHER):
                records = source.__getitems__(range(start, min(start + _READ_TOGETHER, len(source))))
                for first in range(0, len(records), _DECODED_TOGETHER):
                    yield path, records[first : first + _DECODED_TOGETHER]
        except Exception as error:  # what array_record makes of its C++ errors
            raise InputError(
                f"{path}: {first_line(error)}; expected a whole array_record file of "
                f"{shard.examples_in_shard} examples, as dataset_info.json has it"
            ) from error
