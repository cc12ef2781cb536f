"""Component, box and crop are scikit-image's, on thousands of random maps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import measure, transform

from bginv_jax.images import attention


def _random_masks(count, height, width):
    random = np.random.RandomState(height)
    masks = random.random_sample((count, height, width)) < random.random_sample((count, 1, 1))
    masks[0], masks[1] = False, True
    return masks


@pytest.mark.parametrize(("count", "height", "width"), [(2000, 4, 4), (1000, 7, 5), (300, 14, 14), (100, 12, 31)])
def test_component_and_box_are_scikit_images(count, height, width):
    masks = _random_masks(count, height, width)
    labels = np.asarray(jax.jit(attention.label_components)(masks))
    largest = np.asarray(jax.jit(attention.largest_component)(masks))
    boxes = np.asarray(jax.jit(attention.bounding_box)(largest))
    assert not largest[0].any()
    assert boxes[0].tolist() == [0, 0, 0, 0]
    assert boxes[1].tolist() == [0, 0, height, width]
    for i in range(1, count):
        expected = measure.label(masks[i], connectivity=2)
        places = np.unique(expected[expected > 0], return_index=True)[1]
        first = np.flatnonzero(expected.ravel())[places]
        assert (labels[i] == np.append(height * width, first)[expected]).all()
        regions = measure.regionprops(expected)
        if regions:
            region = max(regions, key=lambda region: region.area)  # the first of the largest
            assert (largest[i] == (expected == region.label)).all()
            assert tuple(boxes[i]) == region.bbox


def test_crop_is_scikit_images_resize():
    random = np.random.RandomState(0)
    images = random.random_sample((1000, 32, 32, 3)).astype(np.float32)
    starts = random.randint(0, 32, (1000, 2))
    stops = starts + 1 + (random.random_sample((1000, 2)) * (32 - starts)).astype(int)
    crops = np.asarray(jax.jit(attention.crop)(images, np.concatenate([starts, stops], axis=1)))
    for image, start, stop, crop in zip(images, starts, stops, crops, strict=True):
        inside = image[start[0] : stop[0], start[1] : stop[1]]
        expected = transform.resize(inside, (32, 32), order=1, mode="edge", anti_aliasing=False)
        np.testing.assert_allclose(crop, expected, atol=1e-5)


def test_the_whole_image_is_its_own_crop():
    images = jax.random.uniform(jax.random.key(0), (3, 16, 16, 1))
    np.testing.assert_allclose(attention.crop(images, jnp.tile(jnp.array([0, 0, 16, 16]), (3, 1))), images, atol=1e-6)


def test_heat_map_by_hand():
    maps = jnp.array([[[1.0, -5.0], [2.0, 0.0]], [[-3.0, 1.0], [0.0, 1.0]]])[None]
    np.testing.assert_allclose(attention.heat_map(maps)[0], [[1.0, 0.25], [0.5, 0.0]])
    assert (attention.heat_map(jnp.full((2, 4, 4, 8), 3.0)) == 0).all()


def test_attended_box_by_hand():
    heat = np.zeros((4, 4, 4), np.float32)
    heat[0, 1, 1:3] = 0.7, 1.0  # two cells of 8 pixels
    heat[0, 3, 3] = 0.9  # hot, but smaller
    heat[1, 2, 0] = 0.69  # not hot: nothing is
    heat[2] = 1.0
    heat[3, 0, 0], heat[3, 1, 1] = 1.0, 0.8  # connected over the corner
    boxes = attention.attended_box(heat, threshold=0.7, size=32)
    assert boxes.tolist() == [[8, 8, 16, 24], [0, 0, 32, 32], [0, 0, 32, 32], [0, 0, 16, 16]]
    flat = attention.attended_box(np.zeros((1, 4, 4)), threshold=0.0, size=32)
    assert flat.tolist() == [[0, 0, 32, 32]]


def test_cells_that_do_not_divide_the_image_are_rounded_outwards():
    heat = np.zeros((1, 3, 3), np.float32)
    heat[0, 1, 1] = 1.0
    assert attention.attended_box(heat, threshold=0.5, size=16).tolist() == [[5, 5, 11, 11]]
