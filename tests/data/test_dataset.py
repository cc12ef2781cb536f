"""What every source must satisfy: classes without images are reported, images of any size become squares."""

import numpy as np
import pytest

from bginv_jax.config import default_config
from bginv_jax.data import rows
from bginv_jax.data.dataset import Dataset, Split, fingerprint, fit, make_dataset
from bginv_jax.images.fitting import FITS, fit_picture


def _make(train, test, names=None):
    splits = {
        split: (np.zeros((len(labels), 4, 4, 1), np.uint8), np.array(labels))
        for split, labels in (("train", train), ("test", test))
    }
    return make_dataset(default_config().data, "toy", splits, names)


@pytest.mark.parametrize(
    ("train", "test", "names", "expected"),
    [
        ([0, 1, 2], [2, 0], None, []),
        ([1, 2, 3], [1, 2], None, ["data set toy: 1 of 4 classes have no training image: 0"]),
        ([0, 2], [0], ("bag", "shirt", "shoe"), ["data set toy: 1 of 3 classes have no training image: shirt"]),
        (
            [0, 3],
            [0, 1],
            ("bag", "shirt", "shoe", "coat"),
            [
                "data set toy: 2 of 4 classes have no training image: shirt, shoe",
                "data set toy: 1 of 4 classes have test images but no training image: shirt",
            ],
        ),
        (
            [0, 1, 255],
            [0],
            None,
            ["data set toy: 253 of 256 classes have no training image: 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 243 more"],
        ),
    ],
)
def test_classes_without_a_training_image_are_named(caplog, train, test, names, expected):
    dataset = _make(train, test, names)
    assert [record.getMessage() for record in caplog.records] == expected
    assert (dataset.train.targets.dtype, dataset.train.images.dtype) == (np.int32, np.uint8)


@pytest.mark.parametrize("fit", FITS)
def test_images_of_any_size_become_squares_as_pictures_do(fit):
    random = np.random.RandomState(0)
    images = [random.randint(0, 256, (height, width, 3), np.uint8) for height, width in ((30, 50), (44, 20), (40, 40))]
    config = default_config().data
    config.image_size, config.fit = 32, fit
    tests = {"test": (images[::-1], np.array([2, 1, 0])), "far": (images[:1], np.array([1]))}
    dataset = make_dataset(config, "toy", {"train": (images, np.arange(3)), **tests})
    assert dataset.shape == (32, 32, 3)
    for image, fitted in zip(images, dataset.train.images, strict=True):
        expected = fit_picture(image, size=32, fit=fit, channels=3).astype(int)
        # scikit-image's stretching, which sets of arrays have had from the start, smooths a little more than Pillow's
        assert np.abs(fitted - expected).mean() <= (15 if fit == "stretch" else 0)
    np.testing.assert_array_equal(dataset.test.images[::-1], dataset.train.images)
    np.testing.assert_array_equal(dataset.tests["far"].images, dataset.train.images[:1])
    assert dataset.tests["far"].targets.tolist() == [1]
    config.image_size = 0
    with pytest.raises(ValueError, match="data set toy: images of 3 sizes; set config.data.image_size"):
        make_dataset(config, "toy", {"train": (images, np.arange(3)), **tests})


def test_a_further_test_is_checked_as_the_others_are():
    image = np.zeros((1, 4, 4, 1), np.uint8)
    splits = {"train": (image, np.array([0])), "test": (image, np.array([0]))}
    for wrong, message in (
        ((image, np.array([3])), "data set toy, split far: label 3; expected 0 to 0"),
        ((image[:0], np.array([])), "data set toy, split far is empty"),
        ((image[:, :2], np.array([0])), r"toy: images of \(4, 4, 1\) to train, \(2, 4, 1\) to far"),
    ):
        with pytest.raises(ValueError, match=message):
            make_dataset(default_config().data, "toy", {**splits, "far": wrong})


def test_the_fingerprint_is_over_all_images_however_they_are_read(tmp_path, monkeypatch):
    images = np.random.RandomState(0).randint(0, 256, (7, 16, 16, 1), np.uint8)
    labels = np.arange(7) % 2
    whole = make_dataset(default_config().data, "toy", {"train": (images, labels), "test": (images, labels)})
    expected = whole.description.sha256
    assert expected == fingerprint(images, labels.astype(np.int32), images, labels.astype(np.int32))
    monkeypatch.setattr(rows, "_CHUNK_BYTES", 600)
    split = Split(rows.store(iter([images]), tmp_path), labels.astype(np.int32))
    assert Dataset("toy", split, split, ("0", "1"), (16, 16, 1)).description.sha256 == expected


@pytest.mark.parametrize("how", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sizes", [((90, 70), (33, 20), (16, 16), (12, 40)), ((21, 34),) * 4])
@pytest.mark.parametrize("asked", [0, 3])
def test_parts_of_a_set_may_be_fitted_beforehand(how, channels, sizes, asked):
    config = default_config().data
    config.update({"image_size": 16, "fit": how, "channels": asked})
    random = np.random.RandomState(0)
    images = [random.randint(0, 256, (*size, channels), np.uint8) for size in sizes]
    whole = fit(config, "toy", images)
    assert whole.shape == (4, 16, 16, asked or channels)
    np.testing.assert_array_equal(np.concatenate([fit(config, "toy", [image]) for image in images]), whole)
    halves = [fit(config, "toy", images[:2]), fit(config, "toy", images[2:])]
    np.testing.assert_array_equal(np.concatenate(halves), whole)
    assert fit(config, "toy", whole) is whole


@pytest.mark.parametrize(("size", "side"), [(0, 32), (20, 32), (16, 16)])
@pytest.mark.parametrize("asked", [0, 3])
def test_images_in_a_file_are_fitted_and_padded_into_a_file(tmp_path, monkeypatch, asked, size, side):
    monkeypatch.setenv("BGINV_CACHE", str(tmp_path))
    monkeypatch.setattr(rows, "_CHUNK_BYTES", 3000)
    config = default_config().data
    config.update({"channels": asked, "image_size": size})
    images = np.random.RandomState(0).randint(0, 256, (9, 28, 28, 1), np.uint8)
    labels = np.arange(9) % 2
    in_file = rows.store(iter([images]), tmp_path)
    stored, held = (
        make_dataset(config, "toy", {"train": (some, labels), "test": (some[:2], labels[:2])})
        for some in (in_file, images)
    )
    assert rows.in_file(stored.train.images)
    assert held.train.images.shape == (9, side, side, asked or 1)
    np.testing.assert_array_equal(stored.train.images, held.train.images)
    assert stored.description == held.description
    assert list(tmp_path.iterdir()) == []
