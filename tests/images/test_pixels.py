"""Image operations against values worked out by hand and against scikit-image."""

import jax.numpy as jnp
import numpy as np
import pytest
from skimage import filters, morphology

from bginv_jax.images.compose import compose, compose_ink
from bginv_jax.images.masks import binarize, dilate, erode, mean_area, otsu_threshold, overlap, total_variation
from bginv_jax.images.pixels import as_float, backdrop, pad_to, tile


def test_compose_keeps_the_object_and_paints_the_rest():
    x, b = jnp.full((1, 1, 3, 1), 0.8), jnp.full((1, 1, 3, 1), 0.2)
    m = jnp.array([1.0, 0.0, 0.5]).reshape(1, 1, 3, 1)
    np.testing.assert_allclose(compose(x, m, b).ravel(), [0.8, 0.2, 0.5], rtol=1e-6)


def test_ink_by_hand():
    """Of a background of 0.6 and a contrast of 0.2, ink is in [0, 0.4] and [0.8, 1]: two parts and one."""
    x, b = jnp.array([1.0, 0.0, 1.0, 0.5]).reshape(1, 1, 4, 1), jnp.full((1, 1, 4, 1), 0.6)
    m = jnp.array([1.0, 1.0, 0.0, 1.0]).reshape(1, 1, 4, 1)
    for texture, ink in ((0.0, 0.0), (0.5, 0.3), (0.75, 0.85), (1.0, 1.0)):
        drawn = compose_ink(x, m, b, jnp.full_like(b, texture), contrast=0.2)
        np.testing.assert_allclose(drawn.ravel(), [ink, 0.6, 0.6, (ink + 0.6) / 2], atol=1e-6)
    on_white = compose_ink(x, m, jnp.ones_like(b), jnp.zeros_like(b), contrast=0.2)
    np.testing.assert_array_equal(on_white, 1 - m * x)  # an inverted image
    red = jnp.array([1.0, 0.0, 0.0]).reshape(1, 1, 1, 3)  # any channel has its own ink, the grey value is their mean
    drawn = compose_ink(red, jnp.ones((1, 1, 1, 1)), jnp.zeros_like(red), red, contrast=0.2)
    np.testing.assert_allclose(drawn.ravel(), np.array([1.0, 0.2, 0.2]) / 3, rtol=1e-6)


@pytest.mark.parametrize("contrast", [0.0, 0.25, 0.5])
def test_ink_is_in_range_and_never_near_its_background(contrast):
    grid = jnp.linspace(0, 1, 129)
    b, texture = (values.reshape(1, 129, 129, 1) for values in jnp.meshgrid(grid, grid))
    ones = jnp.ones_like(b)
    ink = compose_ink(ones, ones, b, texture, contrast=contrast)
    assert -1e-6 <= ink.min() < 0.01
    assert 0.99 < ink.max() <= 1 + 1e-6
    assert jnp.abs(ink - b).min() >= contrast - 1e-6


def test_tile_joins_in_reading_order():
    tiles = jnp.arange(8.0).reshape(8, 1, 1, 1)
    joined = tile(tiles, 2)
    np.testing.assert_array_equal(joined[..., 0], [[[0, 1], [2, 3]], [[4, 5], [6, 7]]])


def test_area_and_total_variation_by_hand():
    m = jnp.array([[1.0, 0.0], [0.5, 0.0]]).reshape(1, 2, 2, 1)
    assert mean_area(m) == pytest.approx(1.5 / 4)
    assert total_variation(m) == pytest.approx((0.5 + 0 + 1.0 + 0.5) / 4)


def test_as_float_and_pad_to():
    padded = pad_to(np.full((2, 28, 27, 1), 255, np.uint8), 32)
    assert padded.shape == (2, 32, 32, 1)
    assert padded.sum() == 2 * 28 * 27 * 255
    assert (padded[:, 2:30, 2:29] == 255).all()
    np.testing.assert_allclose(as_float(jnp.array([0, 51, 255], jnp.uint8)), [0, 0.2, 1], rtol=1e-6)
    with pytest.raises(ValueError, match="33x20 pixels do not fit into 32x32"):
        pad_to(np.zeros((1, 33, 20, 1)), 32)


def test_dilate_equals_scikit_image_for_each_radius():
    random = np.random.RandomState(0)
    m = (random.rand(8, 20, 17, 1) < 0.03).astype(np.float32)
    radii = np.arange(8) % 4
    dilated = dilate(jnp.array(m), jnp.array(radii), largest=3)
    for mask, radius, result in zip(m, radii, dilated, strict=True):
        np.testing.assert_array_equal(result[..., 0], morphology.dilation(mask[..., 0], morphology.disk(radius)))


def test_otsu_equals_scikit_image():
    random = np.random.RandomState(0)
    m = np.concatenate([random.rand(4, 16, 16, 1), random.beta(0.2, 0.4, (4, 16, 16, 1))]).astype(np.float32)
    expected = [filters.threshold_otsu(mask) for mask in m]
    np.testing.assert_allclose(otsu_threshold(jnp.array(m)), expected, atol=1.01 / 256)
    binary = (m > 0.6).astype(np.float32)
    np.testing.assert_array_equal(binarize(jnp.array(binary), "otsu", area=0.2), binary)
    constant = binarize(jnp.full((1, 4, 4, 1), 0.7), "otsu", area=0.2)
    np.testing.assert_array_equal(constant, 0)


def test_binarize_by_threshold_quantile_and_none():
    m = jnp.arange(10.0).reshape(1, 2, 5, 1) / 10
    assert binarize(m, "threshold", area=0.2).sum() == 4  # 0.6 and above
    quantile = binarize(m, "quantile", area=0.2)
    np.testing.assert_array_equal(quantile.ravel(), [0] * 8 + [1, 1])
    assert binarize(m, "none", area=0.2) is m


def test_the_backdrop_is_the_most_frequent_value_of_each_pixel():
    random = np.random.RandomState(0)
    behind = random.randint(1, 255, (6, 6, 3), dtype=np.uint8)
    shown = np.where(random.rand(40, 6, 6, 1) < 0.4, random.randint(0, 256, (40, 6, 6, 3)), behind).astype(np.uint8)
    np.testing.assert_array_equal(backdrop(shown), behind)


def test_overlap_by_hand():
    m, truth = np.zeros((3, 4, 4, 1), bool), np.zeros((3, 4, 4, 1), bool)
    m[0, :2], truth[0, 1:3] = True, True  # 4 of 12
    m[1, 0] = True
    np.testing.assert_allclose(overlap(m, truth), [1 / 3, 0, 1])


def test_erosion_takes_away_what_dilation_of_the_rest_reaches():
    m = np.zeros((2, 9, 9, 1), np.float32)
    m[:, 2:7, 2:7] = 1
    eroded = np.asarray(erode(m, np.array([0, 1]), largest=1))
    np.testing.assert_array_equal(eroded[0], m[0])
    assert eroded[1].sum() == 9
    assert eroded[1, 3:6, 3:6].sum() == 9
