"""What is held out of the training images: the same each time, of each class its share, and never trained on."""

import dataclasses

import numpy as np
import pytest

from bginv_jax.data import rows, sources
from bginv_jax.data.dataset import Dataset, Split
from bginv_jax.data.holdout import hold_out
from bginv_jax.errors import InputError
from tests.conftest import changed


def _dataset(labels, *, masks=None, class_names=("a", "b")):
    """Images that are told by their first pixel."""
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 1), np.uint8)
    train = Split(images, np.asarray(labels), masks)
    return Dataset("set", train, train, class_names, (8, 8, 1))


def test_each_class_gives_its_share_and_every_image_is_in_one_part():
    dataset = hold_out(_dataset([0] * 60 + [1] * 20), 0.25)
    assert np.bincount(dataset.validation.targets).tolist() == [15, 5]
    assert np.bincount(dataset.train.targets).tolist() == [45, 15]
    held, rest = (set(split.images[:, 0, 0, 0]) for split in (dataset.validation, dataset.train))
    assert not held & rest
    assert held | rest == set(range(80))
    assert held != set(range(0, 80, 4))  # not by their place
    for split in (dataset.validation, dataset.train):  # images keep their labels
        assert ((split.images[:, 0, 0, 0] >= 60) == split.targets).all()
    again = hold_out(_dataset([0] * 60 + [1] * 20), 0.25)
    np.testing.assert_array_equal(again.validation.images, dataset.validation.images)


def test_targets_that_are_no_labels_and_masks_go_with_their_images():
    targets = {"place": np.arange(40.0), "size": np.arange(80.0).reshape(40, 2)}
    dataset = _dataset(np.arange(40), class_names=())
    train = dataclasses.replace(dataset.train, targets=targets, masks=dataset.train.images > 20)
    dataset = hold_out(dataclasses.replace(dataset, train=train), 0.1)
    first = dataset.validation.images[:, 0, 0, 0]
    assert len(first) == 4
    np.testing.assert_array_equal(dataset.validation.targets["place"], first)
    np.testing.assert_array_equal(dataset.validation.targets["size"][:, 0], 2.0 * first)
    np.testing.assert_array_equal(dataset.validation.masks[:, 0, 0, 0], first > 20)


def test_what_lies_in_a_file_stays_in_files(tmp_path, monkeypatch):
    monkeypatch.setenv("BGINV_CACHE", str(tmp_path))
    dataset = _dataset([0] * 60 + [1] * 20)
    stored = rows.store(iter([dataset.train.images]), tmp_path)
    in_file = hold_out(dataclasses.replace(dataset, train=dataclasses.replace(dataset.train, images=stored)), 0.25)
    in_memory = hold_out(dataset, 0.25)
    for own, other in ((in_file.train, in_memory.train), (in_file.validation, in_memory.validation)):
        assert rows.in_file(own.images)
        assert not rows.in_file(other.images)
        np.testing.assert_array_equal(own.images, other.images)


@pytest.mark.parametrize(("count", "share", "held"), [(10, 0.01, 0), (1, 0.9, 1), (2, 0.1, 0)])
def test_nothing_held_out_and_nothing_left_are_refused(count, share, held):
    message = (
        rf"^config.data.validation_share is {share}, which is {held} of the {count} training images of data set set"
    )
    with pytest.raises(InputError, match=message):
        hold_out(_dataset([0] * count), share)


def test_by_default_nothing_is_held_out(tiny_config):
    whole = sources.load(tiny_config.data)
    assert whole.validation is None
    assert hold_out(whole, 0.0) is whole
    part = sources.load(changed(tiny_config.data, validation_share=0.25))
    assert (len(part.train.images), len(part.validation.images)) == (36, 12)
    np.testing.assert_array_equal(part.test.images, whole.test.images)
    assert part.description.sha256 != whole.description.sha256  # a run on other images is refused
    assert part.description.train_count == 36


def test_of_each_class_an_image_stays():
    dataset = hold_out(_dataset([0] * 5 + [1] + [2] * 30 + [3], class_names=tuple("abcd")), 0.5)
    assert np.bincount(dataset.train.targets, minlength=4).min() >= 1
    assert len(dataset.train.images) + len(dataset.validation.images) == 37
    assert 16 <= len(dataset.validation.images) <= 18
    with pytest.raises(InputError, match="has one training image of each class; expected more"):
        hold_out(_dataset([0, 1]), 0.5)


def test_without_a_place_for_files_they_are_held_in_memory(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BGINV_CACHE", str(tmp_path / "file" / "below"))
    dataset = _dataset([0] * 20 + [1] * 20)
    stored = rows.store(iter([dataset.train.images]), tmp_path)
    in_file = hold_out(dataclasses.replace(dataset, train=dataclasses.replace(dataset.train, images=stored)), 0.25)
    in_memory = hold_out(dataset, 0.25)
    for split in ("train", "validation"):
        np.testing.assert_array_equal(getattr(in_file, split).images, getattr(in_memory, split).images)
    assert caplog.text.count("and are held in memory: ") == 2
