"""IDX files, raw and gzipped."""

import gzip
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bginv_jax.config import default_config
from bginv_jax.data import sources
from tests.conftest import write_tiny_folder
from tests.properties.cases import attempt, times
from tests.properties.damage import SIZES, any_bytes

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@pytest.fixture(scope="module")
def place(folder):
    return write_tiny_folder(folder / "tiny")


@pytest.fixture(scope="module")
def originals(place):
    raw = [(place / name).read_bytes() for name in NAMES]
    return [*raw, *map(gzip.compress, raw)]


def _load(kind, place, name, content):
    path, sound = place / name, (place / name).read_bytes()
    path.write_bytes(content)
    config = default_config().data
    config.source = f"idx:{place}"
    try:
        dataset = attempt(kind, lambda: sources.load(config))
    finally:
        path.write_bytes(sound)
    if dataset is not None:
        assert dataset.train.images.nbytes <= 2000 * 1032 * len(content) + 10**6


@given(st.sampled_from(NAMES), st.data())
@times(1)
def test_any_bytes(place, originals, name, data):
    _load("IDX, any bytes", place, name, data.draw(any_bytes(originals)))


@given(
    st.sampled_from(NAMES),
    st.sampled_from((0, 8, 9, 13)),
    st.lists(st.sampled_from(SIZES) | st.integers(0, 60), max_size=5),
    st.booleans(),
    st.binary(max_size=100),
)
@times(1)
def test_any_sizes(place, name, kind, sizes, zipped, rest):
    sizes = [size % 2**32 for size in sizes]
    raw = struct.pack(f">BBBB{len(sizes)}I", 0, 0, kind, len(sizes), *sizes) + rest
    raw += bytes(min(10**6, max(0, math.prod(sizes) - len(rest))))
    _load("IDX, any sizes", place, name, gzip.compress(raw) if zipped else raw)
