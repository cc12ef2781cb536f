"""Prepared sets of TensorFlow Datasets: their descriptions, their shards, and the examples and pictures in them."""

import functools
import io
import json

import numpy as np
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bginv_jax.config import default_config
from bginv_jax.data import sources
from tests.data.test_tfds import _prepare
from tests.properties.cases import attempt, times
from tests.properties.damage import any_bytes, damaged, json_bytes, names

pytest.importorskip("tensorflow_datasets")
SHARD = "bars-train.array_record-00000-of-00001"
COUNT = 12  # examples in it


@pytest.fixture(scope="module", autouse=True)
def _no_network():
    def refuse(*_, **__):
        raise requests.exceptions.ConnectionError("no route")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests, "get", refuse)
        patch.setattr(requests.Session, "request", refuse)
        yield


@pytest.fixture(scope="module")
def place(folder):
    return _prepare(folder / "sets" / "bars" / "1.0.0")


def _load(kind, place, *, name="", content=b"", source="tfds:bars", **fields):
    path = place / name
    sound = path.read_bytes() if name else b""
    if name:
        path.write_bytes(content)
    config = default_config().data
    config.update({"source": source, "dir": str(place.parents[1]), **fields})
    try:
        return attempt(kind, lambda: sources.load(config))
    finally:
        if name:
            path.write_bytes(sound)


@given(st.data())
@times(0.5)
def test_any_description_of_the_set(place, data):
    original = json.loads((place / "dataset_info.json").read_text())
    _load("dataset_info.json", place, name="dataset_info.json", content=data.draw(json_bytes(original)))


@given(st.data())
@times(0.5)
def test_any_description_of_the_features(place, data):
    original = json.loads((place / "features.json").read_text())
    _load("features.json", place, name="features.json", content=data.draw(json_bytes(original)))


@given(st.data())
@times(0.5)
def test_any_bytes_as_a_shard(place, data):
    sound = (place / SHARD).read_bytes()
    _load("array_record, any bytes", place, name=SHARD, content=data.draw(any_bytes([sound])))


@functools.cache
def _examples():
    """The examples of the shard as they are in it."""
    from tests.data.test_tfds import tfds

    features = tfds.features.FeaturesDict(
        {"image": tfds.features.Image(shape=(8, 8, 1)), "label": tfds.features.ClassLabel(num_classes=3)}
    )
    found = []
    for kind, size in (("PNG", (8, 8)), ("JPEG", (8, 8)), ("BMP", (9, 8)), ("PNG", (3000, 3000)), ("TIFF", (8, 8))):
        stream = io.BytesIO()
        Image.fromarray(np.zeros(size, np.uint8)).save(stream, kind)
        png = io.BytesIO()
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(png, "PNG")
        png.seek(0)
        example = features.serialize_example(features.encode_example({"image": png, "label": 1}))
        found.append(example.replace(png.getvalue(), stream.getvalue()) if kind == "PNG" else example)
    return found


def _shard(path, examples):
    from array_record.python import array_record_module

    writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
    for example in examples:
        writer.write(example)
    writer.close()
    return path.read_bytes()


@given(st.data())
@times(0.5)
def test_any_examples(place, folder, data):
    sound = _examples()
    some = data.draw(st.lists(damaged(sound) | st.sampled_from(sound) | st.binary(max_size=60), min_size=1, max_size=3))
    content = _shard(folder / "shard", (some * COUNT)[:COUNT])
    _load("examples of TFDS", place, name=SHARD, content=content)


@given(names(), names())
@times(0.5)
def test_any_names_of_sets_folders_and_splits(place, name, split):
    # What is a set of theirs would be downloaded.
    source = f"tfds:bars{name}" if name.isalnum() else f"tfds:{name or 'x'}/{split}"
    _load("names of TFDS", place, source=source, train_split=split, tests=(name,), dir=str(place.parents[1] / "none"))
    _load("names of TFDS", place, train_split=split or "x", test_split=name or "x")
