"""Digits on canvases: every one once, whole, apart from the others; the class of every pixel; what is refused."""

import numpy as np
import pytest
from scipy import ndimage

from bginv_jax.config import default_config
from bginv_jax.data import sources
from bginv_jax.data.canvas import draw_canvases
from bginv_jax.data.dataset import make_dataset
from bginv_jax.errors import InputError

SIDE = 16


def _blocks(count):
    """Image i is a block of its own height and width, with a faint rim: (count, 16, 16, 1); labels i % 10."""
    images = np.zeros((count, SIDE, SIDE, 1), np.uint8)
    for i, image in enumerate(images):
        image[1 : 5 + i % 7, 1 : 5 + i % 9] = 100
        image[2 : 4 + i % 7, 2 : 4 + i % 9] = 130 + i
    return images, np.arange(count) % 10


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 7, 11, 50])
def test_every_digit_is_there_once_and_whole_by_twos_and_threes(count):
    images, labels = _blocks(count)
    canvases, classes = draw_canvases(images, labels, seed=3)
    assert (canvases.dtype, classes.dtype) == (np.uint8, np.uint8)
    assert canvases.shape[1:] == (2 * SIDE, 2 * SIDE, 1)
    assert classes.shape == canvases.shape[:3]
    found = []
    for canvas, of_pixels in zip(canvases[..., 0], classes, strict=True):
        # Blocks that overlapped or touched, corners too, would be one.
        parts, number = ndimage.label(canvas, np.ones((3, 3)))
        assert number in (2, 3)
        for place in ndimage.find_objects(parts):
            value = canvas[place].max()
            found.append(value - 130)
            image, label = images[found[-1]], labels[found[-1]]
            np.testing.assert_array_equal(canvas[place], image[image.any(axis=(1, 2))][:, image.any(axis=(0, 2)), 0])
            np.testing.assert_array_equal(of_pixels[place], np.where(canvas[place] == value, 1 + label, 0))
        assert not of_pixels[canvas == 0].any()
        assert not any(edge.any() for edge in (canvas[0], canvas[-1], canvas[:, 0], canvas[:, -1]))
    assert sorted(found) == list(range(count))


def test_what_fills_its_image_fills_its_quarter():
    canvases, classes = draw_canvases(np.full((3, SIDE, SIDE, 3), 255, np.uint8), np.array([0, 1, 254]), seed=0)
    assert sorted(np.unique(classes)) == [0, 1, 2, 255]
    assert np.bincount(classes.ravel())[[0, 1, 2, 255]].tolist() == [SIDE**2] * 4
    assert (canvases.all(axis=-1) == (classes > 0)).all()


def test_an_empty_image_leaves_its_place_empty():
    canvases, classes = draw_canvases(np.zeros((2, SIDE, SIDE, 1), np.uint8), np.array([0, 1]), seed=0)
    assert not canvases.any()
    assert not classes.any()


def test_canvases_follow_from_their_seed():
    images, labels = _blocks(20)
    first, again, other = (draw_canvases(images, labels, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any()


def _load(monkeypatch, splits, class_names=None, **fields):
    config = default_config().data
    given = make_dataset(config, "toy", splits, class_names)
    monkeypatch.setitem(sources.SOURCES, "toy", sources.Source("toy", lambda config, name: given))
    config.source, config.targets = "toy", "canvas"
    config.update(fields)
    return sources.load(config)


def test_a_data_set_of_canvases_says_what_its_pixels_are(monkeypatch):
    images, labels = _blocks(50)
    splits = {"train": (images, labels), "test": (images[:20], labels[:20]), "far": (images[:10], labels[:10])}
    dataset = _load(monkeypatch, splits)
    description = dataset.description
    assert description.name == "toy, on canvases"
    assert (description.shape, description.size, description.target_shape) == ((32, 32, 1), 32, (32, 32))
    assert (description.train_count, description.test_count) == (20, 8)
    assert len(dataset.tests["far"].images) == 4
    assert description.class_names == ()
    assert description.pixel_classes == ("background", *map(str, range(10)))
    assert type(description).from_json(description.to_json()) == description
    np.testing.assert_array_equal(dataset.test.objects[..., 0], dataset.test.targets > 0)
    assert _load(monkeypatch, splits).description == description


def test_a_studio_stands_behind_canvases_too(monkeypatch):
    images, labels = _blocks(20)
    dataset = _load(monkeypatch, {"train": (images, labels), "test": (images, labels)}, studio="wall")
    assert dataset.description.pixel_classes[0] == "background"
    assert dataset.description.name == "toy, on canvases, wall"
    assert dataset.test.images.min() > 0
    assert dataset.test.targets.shape == dataset.test.images.shape[:3]
    np.testing.assert_array_equal(dataset.test.objects[..., 0], dataset.test.targets > 0)


def test_what_has_no_labels_or_one_image_is_refused(monkeypatch):
    images, labels = _blocks(4)
    with pytest.raises(InputError, match="config.data.targets is 'canvas', but data set toy has 0 classes; expected 1"):
        _load(monkeypatch, {"train": (images, labels), "test": (images, labels)}, ())
    with pytest.raises(InputError, match="split test of data set toy has 1 image; expected at least 2"):
        _load(monkeypatch, {"train": (images, labels), "test": (images[:1], labels[:1])})
