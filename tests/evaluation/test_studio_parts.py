"""Backdrops without their objects, borders alone, partners and crops: what the background's views are made of."""

import numpy as np
import pytest

from bginv_jax.errors import InputError
from bginv_jax.evaluation import studio_parts


def _before_wall(colours, size=32):
    """Objects, red squares, before walls of plain colours; and their masks."""
    images = np.stack([np.full((size, size, 3), colour, np.uint8) for colour in colours])
    masks = np.zeros((len(images), size, size, 1), bool)
    masks[:, size // 4 : -size // 4, size // 4 :] = True  # to the border on the right
    images[np.broadcast_to(masks, images.shape)] = 250
    return images, masks


def test_a_backdrop_holds_nothing_of_its_object_and_all_of_the_wall():
    images, masks = _before_wall([(10, 80, 30), (0, 0, 0)])
    backdrops = studio_parts.studio_backdrops(images, masks)
    assert np.array_equal(backdrops, np.stack([np.full((32, 32, 3), colour) for colour in ((10, 80, 30), (0, 0, 0))]))
    assert backdrops.dtype == np.uint8
    uneven = images.copy()
    uneven[:, :8] = 200
    seen = studio_parts.studio_backdrops(uneven, masks)
    assert np.array_equal(seen[:, :6], uneven[:, :6])
    assert seen[0, 16].max() <= 200


@pytest.mark.parametrize("channels", [1, 3])
def test_where_there_is_no_backdrop_it_is_grey(channels):
    images, masks = np.full((2, 32, 32, channels), 7, np.uint8), np.ones((2, 32, 32, 1), bool)
    masks[1, 0, 0] = False  # what the margin would cover
    images[1, 0, 0] = 90
    first, second = studio_parts.studio_backdrops(images, masks)
    assert (first == 128).all()
    assert (second == 90).all()


def test_the_border_alone_is_an_eighth_wide_and_has_no_object():
    images, masks = _before_wall([(10, 80, 30)])
    (border,) = studio_parts.border_alone(images, masks)
    ring = np.ones((32, 32), bool)
    ring[4:-4, 4:-4] = False
    assert (border[ring] == (10, 80, 30)).all()
    assert (border[~ring] == 128).all()


def test_objects_stand_before_backgrounds_to_the_pixel():
    images, masks = _before_wall([(10, 80, 30)])
    backgrounds = np.random.RandomState(0).randint(0, 256, images.shape).astype(np.uint8)
    placed = studio_parts.set_before(images, masks, backgrounds)
    assert placed.dtype == np.uint8
    assert np.array_equal(placed, np.where(masks, images, backgrounds))


@pytest.mark.parametrize("other", [False, True])
def test_partners_are_others_of_the_same_or_another_class(other):
    labels = np.repeat([0, 1, 4], (40, 3, 1))
    partners = studio_parts.draw_partners(labels, other=other, seed=0)
    assert np.array_equal(partners, studio_parts.draw_partners(labels, other=other, seed=0))
    assert not np.array_equal(partners, studio_parts.draw_partners(labels, other=other, seed=1))
    assert ((labels[partners] != labels) == other).all()
    assert (partners[:43] != np.arange(43)).all()
    assert (partners[43] == 43) == (not other)  # alone in its class
    if other:
        assert 12 <= (labels[partners[:40]] == 4).sum() <= 28  # classes alike, however few images they have


def test_of_one_class_there_is_no_other():
    assert studio_parts.draw_partners(np.zeros(3, int), other=True, seed=0).tolist() == [0, 1, 2]


def test_every_photograph_is_cropped_as_often():
    photographs = [np.full((40 + 9 * i, 50, 3), 40 * i, np.uint8) for i in range(5)]
    crops = studio_parts.crop_photographs(photographs, 12, size=16, channels=3, seed=0)
    assert crops.shape == (12, 16, 16, 3)
    counts = np.bincount(crops[:, 0, 0, 0] // 40, minlength=5)
    assert sorted(counts) == [2, 2, 2, 3, 3]
    grey = studio_parts.crop_photographs(photographs, 12, size=16, channels=1, seed=0)
    assert np.array_equal(grey[..., 0], crops[..., 0])
    assert not np.array_equal(crops, studio_parts.crop_photographs(photographs, 12, size=16, channels=3, seed=1))


def test_without_photographs_there_are_no_crops():
    with pytest.raises(InputError, match="there are no photographs; expected at least one"):
        studio_parts.crop_photographs([], 2, size=16, channels=3, seed=0)
