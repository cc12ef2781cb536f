"""The test backgrounds: exact patterns, and how images are set on them."""

import hashlib
import json

import numpy as np
import pytest

from bginv_jax.backgrounds import patterns as backgrounds
from bginv_jax.config import default_config
from bginv_jax.data import sources
from bginv_jax.images.pixels import pad_to

# SHA-256 of each pattern at 32x32 as uint8, so that they are held where the reference is not at hand.
PATTERNS = {
    "stripes": "b34bbc2d70e8d89d7b66b532a67edb2ccc425e5fbb355531640bdb8466fd4dbc",
    "board": "53972d97ce4e5c4d55c436eb43523d35a8be39f618454b9169a2716a16b6a3d3",
    "border": "1da09c2da647ceeec1410b2427a93466b292ab97e69b156e5246710c1cd2b307",
    "circles": "eb30ac7f814f529e6b827ad956d8e8129d1d7ad45728e385d452ae9b89974828",
    "clock": "ee74259689a8d840ce3a7f9d528c3bbaef55318f556fbc0cad2c4341c9b2c80c",
    "random": "9d1f0bf9e4469a573c6e966a1cf840b4bdc89e45d9da344361cc8fd3447cc597",
}


def test_the_backgrounds_stand_in_the_tables_order():
    order = ["none", "stripes", "board", "border", "circles", "clock", "random"]
    assert list(backgrounds.BACKGROUNDS) == order


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_are_exact(name):
    pattern = backgrounds.BACKGROUNDS[name](32)
    assert pattern.dtype == np.float32
    assert hashlib.sha256(pattern.astype(np.uint8).tobytes()).hexdigest() == PATTERNS[name]


@pytest.fixture(scope="module")
def golden(shared_data):
    return json.loads((shared_data.parent / "reference" / "golden.json").read_text())


def test_patterns_equal_the_reference(golden):
    for name, rows in golden["backgrounds"].items():
        expected = [[pixel == "#" for pixel in row] for row in rows]
        np.testing.assert_array_equal(backgrounds.BACKGROUNDS[name](32), expected)


def test_all_composed_test_images_equal_the_reference(golden, shared_data):
    config = default_config().data
    config.source = f"idx:{shared_data / 'mnist_idx'}"
    padded = pad_to(sources.load(config).test.images, 32)
    assert len(padded) == 10_000
    for name, expected in golden["composites"].items():
        composed = backgrounds.compose_test(padded, name)
        digest = hashlib.sha256(np.round(255 * composed).astype(np.uint8).tobytes()).hexdigest()
        assert digest == expected["sha256_uint8_10000x32x32"], name


@pytest.mark.parametrize("size", [16, 28, 64, 96])
@pytest.mark.parametrize("name", backgrounds.BACKGROUNDS)
def test_patterns_of_other_sizes_are_neither_empty_nor_full(name, size):
    pattern = backgrounds.BACKGROUNDS[name](size)
    assert pattern.shape == (size, size)
    assert set(np.unique(pattern)) <= {0, 1}
    share = pattern.mean()
    assert share == 0 if name == "none" else 0.03 < share < 0.6


def test_random_has_exactly_the_rate():
    for rate in (0, 0.01, 0.25, 1):
        assert backgrounds.random(32, rate).sum() == round(1024 * rate)


def test_compose_keeps_the_object_and_its_halo():
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[0, 16, 16] = (0, 51, 0)
    composed = backgrounds.compose_test(image, np.ones((32, 32)))
    assert composed.dtype == np.float32
    assert composed[0, 16, 16].tolist() == [0, np.float32(0.2), 0]
    black = (composed[0] == 0).all(axis=-1)
    assert black.sum() == 13 - 1  # a disk of 2 pixels, less the object
    assert (composed[0].sum(axis=-1) == 3).sum() == 32 * 32 - 13
    np.testing.assert_array_equal(composed, backgrounds.compose_test(image / np.float32(255), np.ones((32, 32, 3))))


def test_wrong_backgrounds_are_refused():
    image = np.zeros((1, 32, 32, 1), np.uint8)
    with pytest.raises(ValueError, match=r"background 'strips' is not one of none, stripes"):
        backgrounds.compose_test(image, "strips")
    with pytest.raises(ValueError, match=r"\(28, 28\) pixels for images of \(32, 32\)"):
        backgrounds.compose_test(image, np.zeros((28, 28)))
