"""Test images are turned once and known; training images stay, for augmentation to turn."""

import numpy as np
import pytest

from bginv_jax.config import default_config
from bginv_jax.data import sources
from bginv_jax.data.angles import LARGEST
from bginv_jax.data.dataset import make_dataset

SHAPE = (12, 12, 1)


@pytest.fixture
def both(monkeypatch):
    """The data set as its source has it, and with angles."""
    config = default_config().data
    images = np.zeros((40, *SHAPE), np.uint8)
    images[:, 2:6, 5:7] = 200
    splits = {name: (images, np.arange(40) % 2) for name in ("train", "test", "far")}
    given = make_dataset(config, "toy", splits)
    monkeypatch.setitem(sources.SOURCES, "toy", sources.Source("toy", lambda config, name: given))
    config.source, config.targets = "toy", "angle"
    return given, sources.load(config)


def test_training_images_stand_upright(both):
    given, angles = both
    np.testing.assert_array_equal(angles.train.images, given.train.images)
    assert (angles.train.targets.dtype, angles.train.targets.shape) == (np.float32, (40,))
    assert not angles.train.targets.any()


def test_test_images_are_turned_by_their_targets_the_same_each_time(both):
    given, angles = both
    degrees = angles.test.targets
    assert np.abs(degrees).max() <= LARGEST
    assert degrees.min() < -30 < 30 < degrees.max()
    row, column = np.indices(angles.test.images.shape[1:3]) - (angles.size - 1) / 2
    weights = angles.test.images[..., 0].astype(float)
    found = np.rad2deg(np.arctan2(-(weights * column).sum(axis=(1, 2)), -(weights * row).sum(axis=(1, 2))))
    np.testing.assert_allclose(found, degrees, atol=2)
    config = default_config().data
    config.source, config.targets = "toy", "angle"
    again = sources.load(config)
    np.testing.assert_array_equal(again.test.images, angles.test.images)
    assert again.description == angles.description
    assert (angles.tests["far"].targets != degrees).any()
    assert angles.description.sha256 != given.description.sha256


def test_a_description_says_that_targets_are_angles(both):
    _, angles = both
    assert angles.description.name == "toy, turned"
    assert angles.description.class_names == ()
    assert angles.description.target_shape == ()
    assert angles.description.shape == SHAPE


def test_nothing_is_turned_beyond_the_native_size(both):
    _, angles = both
    margin = (angles.size - SHAPE[0]) // 2
    assert not angles.test.images[:, :margin].any()
    assert not angles.test.images[:, :, -margin:].any()
