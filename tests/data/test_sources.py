"""Every source gives the arrays it should, and says which file or field is wrong."""

import gzip
import sys

import numpy as np
import pytest

from bginv_jax.config import default_config
from bginv_jax.data import sources
from bginv_jax.data.dataset import fit, make_dataset, resize
from bginv_jax.errors import InputError
from bginv_jax.evaluation.prediction import fit_to
from bginv_jax.images.fitting import FITS
from bginv_jax.images.pixels import crop_to
from tests.conftest import write_idx


def _load(source, **fields):
    config = default_config().data
    config.source = source
    config.update(fields)
    return sources.load(config)


def test_mnist_5k_is_a_fixed_stratified_split(mnist_5k):
    assert mnist_5k.shape == (28, 28, 1)
    assert mnist_5k.train.images.shape == (4000, 32, 32, 1)
    assert mnist_5k.test.images.shape == (1000, 32, 32, 1)
    assert np.bincount(mnist_5k.train.targets).tolist() == [400] * 10
    assert np.bincount(mnist_5k.test.targets).tolist() == [100] * 10
    assert mnist_5k.train.images.dtype == np.uint8
    assert mnist_5k.description.sha256 == "114b1861d759d658d58bce19bc2d445476ea8f59751d38f160fba599b6a9ad9c"
    train, test = ({image.tobytes() for image in split.images} for split in (mnist_5k.train, mnist_5k.test))
    assert len(train) == 4000
    assert not train & test


def test_size_channels_and_classes_come_from_the_data(mnist_5k, tiny_folder):
    assert (mnist_5k.shape, mnist_5k.size, len(mnist_5k.class_names)) == ((28, 28, 1), 32, 10)
    tiny = _load(f"idx:{tiny_folder}")
    assert (tiny.shape, tiny.size, tiny.class_names) == ((12, 12, 1), 16, ("0", "1", "2"))
    for stem, count in (("train", 48), ("t10k", 21)):
        write_idx(tiny_folder / f"{stem}-images-idx3-ubyte", np.ones((count, 20, 36, 3)))
    colour = _load(f"idx:{tiny_folder}")
    assert (colour.shape, colour.size) == ((20, 36, 3), 48)


def test_gzipped_and_raw_files_are_the_same(tiny_folder):
    raw = _load(f"idx:{tiny_folder}").description
    for path in list(tiny_folder.iterdir()):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert _load(f"idx:{tiny_folder}").description == raw


def test_the_fingerprint_changes_with_one_pixel_or_label(tiny_folder):
    before = _load(f"idx:{tiny_folder}").description.sha256
    for name in ("train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        path = tiny_folder / name
        raw = bytearray(path.read_bytes())
        raw[-1] = (raw[-1] + 1) % 3
        path.write_bytes(raw)
        after = _load(f"idx:{tiny_folder}").description.sha256
        assert after != before
        before = after


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def _cut(path):
    path.write_bytes(path.read_bytes()[:-5])


def _cut_gzip(path):
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes())[:-20])
    path.unlink()


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (IMAGES, lambda path: path.unlink(), f"{IMAGES} is missing; expected it, raw or with .gz"),
        (IMAGES, _cut, r"6907 bytes of data; expected 6912 for the shape \(48, 12, 12\)"),
        (IMAGES, _cut_gzip, f"{IMAGES}.gz: .*; expected a whole IDX file"),
        (
            IMAGES,
            lambda path: path.write_bytes(b""),
            f"{IMAGES}: starts with nothing; expected 00 00 08 03 or 00 00 08 04",
        ),
        (IMAGES, lambda path: path.write_bytes(b"\0\0\x08\x03\0\0"), f"{IMAGES}: 6 bytes; expected a header of 16"),
        (
            IMAGES,
            lambda path: write_idx(path, np.zeros(48)),
            f"{IMAGES}: starts with 00 00 08 01; expected 00 00 08 03",
        ),
        (IMAGES, lambda path: path.write_bytes(b"<html>not found"), f"{IMAGES}: starts with 3c 68 74 6d"),
        (IMAGES, lambda path: write_idx(path, np.zeros((0, 12, 12))), f"{LABELS}: 48 labels; expected 0"),
        (LABELS, lambda path: write_idx(path, np.zeros(47)), f"{LABELS}: 47 labels; expected 48"),
        (LABELS, lambda path: write_idx(path, np.full(48, 1)), "split test: label 2; expected 0 to 1"),
        (
            IMAGES,
            lambda path: write_idx(path, np.zeros((48, 13, 12))),
            r"images of \(13, 12, 1\) to train, \(12, 12, 1\)",
        ),
        (IMAGES, lambda path: write_idx(path, np.zeros((48, 6, 6, 2))), r"expected uint8 \(height, width, 1 or 3\)"),
    ],
)
def test_a_damaged_file_is_named(tiny_folder, name, damage, message):
    damage(tiny_folder / name)
    with pytest.raises(ValueError, match=message):
        _load(f"idx:{tiny_folder}")


def test_an_empty_set_is_refused(tiny_folder):
    write_idx(tiny_folder / IMAGES, np.zeros((0, 12, 12)))
    write_idx(tiny_folder / LABELS, np.zeros(0))
    with pytest.raises(ValueError, match=f"{IMAGES}: no images; expected at least one"):
        _load(f"idx:{tiny_folder}")


@pytest.mark.parametrize("source", ["mnist", "tfds:", "idx:", "csv:digits"])
def test_an_unknown_source_is_refused(source):
    with pytest.raises(
        ValueError, match="config.data.source is .* allowed: mnist_5k, tfds:NAME, idx:FOLDER, folder:PATH or world:NAME"
    ):
        _load(source)


def test_tfds_equals_the_idx_files_and_needs_no_tensorflow(shared_data):
    folder = str(shared_data / "tensorflow_datasets")
    dataset = _load("tfds:mnist", dir=folder, train_split="train[:500]")
    raw = _load(f"idx:{shared_data / 'mnist_idx'}")
    assert (dataset.train.images.shape, dataset.shape) == ((500, 32, 32, 1), (28, 28, 1))
    assert len(dataset.class_names) == 10
    assert sorted(image.tobytes() for image in dataset.test.images) == sorted(i.tobytes() for i in raw.test.images)
    assert np.bincount(dataset.test.targets).tolist() == np.bincount(raw.test.targets).tolist()
    assert "tensorflow" not in sys.modules
    small = _load("tfds:fashion_mnist", dir=folder, train_split="train[:20]", test_split="test[:10]", image_size=20)
    assert (small.train.images.shape, small.shape) == ((20, 32, 32, 1), (20, 20, 1))
    assert small.class_names[0] == "T-shirt/top"
    protocol = _load(
        "tfds:mnist", dir=folder, train_split="train[:20]", test_split="test[:10]", image_size=32, channels=3
    )
    native = _load("tfds:mnist", dir=folder, train_split="train[:20]", test_split="test[:10]")
    assert protocol.train.images.shape == (20, 32, 32, 3)
    np.testing.assert_array_equal(protocol.test.images[..., 1:2], resize(crop_to(native.test.images, (28, 28)), 32))
    with pytest.raises(ValueError, match="config.data.test_split is 'val'; allowed: t.*, and slices"):
        _load("tfds:mnist", dir=folder, test_split="val", train_split="train[:10]")


def test_an_unknown_tfds_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match="config.data.source is 'tfds:no_such_set'; allowed: a data set of TensorFlow"):
        _load("tfds:no_such_set", dir=str(tmp_path))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ImportError("No module named 'tensorflow'"), r"\.venv/bin/pip install -e '\.\[prepare\]'"),
        (
            ConnectionError("no route"),
            r"downloading it failed \(no route\); expected the network, or the prepared data",
        ),
    ],
)
def test_what_preparing_lacks_is_said(tmp_path, monkeypatch, error, message):
    import requests
    import tensorflow_datasets as tfds

    monkeypatch.setattr(requests, "get", lambda url, **_: requests.Response())
    monkeypatch.setattr(requests.Response, "close", lambda self: None)

    def download_and_prepare(self, **_):
        raise error

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", download_and_prepare)
    with pytest.raises(ValueError, match=message):
        _load("tfds:mnist", dir=str(tmp_path))


def test_images_of_several_sizes_ask_for_a_size():
    images = [np.full((4, 4, 3), 7, np.uint8), np.full((5, 4, 3), 9, np.uint8)]
    config = default_config().data
    with pytest.raises(ValueError, match="data set flowers: images of 2 sizes; set config.data.image_size"):
        fit(config, "flowers", images)
    config.image_size = 6
    fitted = fit(config, "flowers", images)
    assert fitted.shape == (2, 6, 6, 3)
    assert (fitted[0] == 7).all()
    assert (fitted[1] == 9).all()


@pytest.mark.parametrize("fit_by", FITS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [16, 28, 64])
def test_a_digit_in_a_file_is_resized_as_those_of_training(fit_by, channels, size, mnist_5k):
    digits = crop_to(mnist_5k.test.images[:20], (28, 28))
    config = default_config().data
    config.update({"image_size": size, "channels": channels, "fit": fit_by})
    fitted = fit(config, "digits", digits)
    pictures = [fit_to(digit.repeat(3, axis=-1), (size, size, channels), fit_by) for digit in digits]
    np.testing.assert_array_equal(fitted, pictures)


def test_images_of_another_type_are_refused_before_they_are_resized():
    config = default_config().data
    config.image_size = 6
    images = np.zeros((5, 9, 9, 1), np.uint16)
    with pytest.raises(InputError, match=r"data set deep, split train: images are uint16 \(9, 9, 1\); expected uint8"):
        make_dataset(config, "deep", {"train": (images, np.zeros(5, int)), "test": (images, np.zeros(5, int))})


def test_every_source_takes_a_size_and_channels(mnist_5k, tiny_folder):
    digits = _load("mnist_5k", image_size=32, channels=3)
    assert (digits.shape, digits.size) == ((32, 32, 3), 32)
    np.testing.assert_array_equal(digits.test.images[..., 0], digits.test.images[..., 2])
    np.testing.assert_array_equal(digits.test.images[..., :1], resize(crop_to(mnist_5k.test.images, (28, 28)), 32))
    native = crop_to(mnist_5k.train.images, (28, 28))
    assert np.abs(digits.train.images.mean() - native.mean()) < 0.5  # the digit grows with the side
    tiny = _load(f"idx:{tiny_folder}", image_size=16, channels=3)
    assert tiny.train.images.shape == (48, 16, 16, 3)
    same, grey = _load(f"idx:{tiny_folder}", channels=1), _load(f"idx:{tiny_folder}")
    assert same.description == grey.description
    for stem, count in (("train", 48), ("t10k", 21)):
        write_idx(tiny_folder / f"{stem}-images-idx3-ubyte", np.ones((count, 12, 12, 3)))
    with pytest.raises(ValueError, match="config.data.channels is 1; allowed for data set idx:tiny: 0 or 3"):
        _load(f"idx:{tiny_folder}", channels=1)
