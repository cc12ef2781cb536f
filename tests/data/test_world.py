"""Pictures of a world by a random player, and what its moves were worth, by hand."""

import numpy as np
import pytest

from bginv_jax.config import default_config
from bginv_jax.data import sources
from bginv_jax.errors import InputError


def _load(source):
    config = default_config().data
    config.source = source
    return sources.load(config)


@pytest.fixture(scope="module")
def catch():
    return _load("world:catch")


def test_pictures_and_targets(catch):
    assert (catch.name, catch.class_names, catch.shape) == ("world:catch", (), (32, 32, 1))
    for split in (catch.train, catch.test):
        assert split.images.shape == (2048, 32, 32, 1)
        assert set(np.unique(split.images)) == {0, 255}
        assert set(np.unique(split.targets["action"])) == {0, 1, 2}
        np.testing.assert_array_equal(split.objects, split.images > 0)
    assert not np.array_equal(catch.train.images, catch.test.images)


def test_values_fall_off_with_the_moves_that_are_left(catch):
    """The ball in row r has 9 - r falls to go, so r = 8 is worth +-1, and r = 0 as much times 0.97 to the 8th."""
    images, values = catch.test.images, catch.test.targets["value"]
    rows = (images[:, :28, :, 0] > 0).any(axis=2).argmax(axis=1) // 3
    begun = np.arange(2048) // 32 < 63  # whole episodes: 64 steps are seven of nine
    np.testing.assert_allclose(np.abs(values[begun]), 0.97 ** (8 - rows[begun]), rtol=1e-5)
    assert 0.02 < (values[begun] > 0).mean() < 0.2


def test_it_is_the_same_whenever_it_is_loaded(catch):
    assert _load("world:catch").description == catch.description


def test_an_unknown_world():
    with pytest.raises(InputError, match=r"config.data.source is 'world:chess'; the worlds are catch, breakout"):
        _load("world:chess")
