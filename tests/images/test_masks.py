"""Masks against values worked out by hand and against scikit-image."""

import jax.numpy as jnp
import numpy as np
import pytest
from skimage import filters, morphology

from bginv_jax.errors import InputError
from bginv_jax.images.masks import binarize, dilate, grow, mean_area, otsu_threshold, overlap, total_variation


def test_area_and_total_variation_by_hand():
    m = jnp.array([[1.0, 0.0], [0.5, 0.0]]).reshape(1, 2, 2, 1)
    assert mean_area(m) == pytest.approx(1.5 / 4)
    assert total_variation(m) == pytest.approx((0.5 + 0 + 1.0 + 0.5) / 4)


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


def test_another_binarization_is_refused():
    with pytest.raises(InputError, match="masks are cut by 'half'; allowed: otsu, threshold, quantile, none"):
        binarize(jnp.zeros((1, 4, 4, 1)), "half", area=0.2)


def test_binarize_by_threshold_quantile_and_none():
    m = jnp.arange(10.0).reshape(1, 2, 5, 1) / 10
    assert binarize(m, "threshold", area=0.2).sum() == 4  # 0.6 and above
    quantile = binarize(m, "quantile", area=0.2)
    np.testing.assert_array_equal(quantile.ravel(), [0] * 8 + [1, 1])
    assert binarize(m, "none", area=0.2) is m


def test_overlap_by_hand():
    m, truth = np.zeros((3, 4, 4, 1), bool), np.zeros((3, 4, 4, 1), bool)
    m[0, :2], truth[0, 1:3] = True, True  # 4 of 12
    m[1, 0] = True
    np.testing.assert_allclose(overlap(m, truth), [1 / 3, 0, 1])


def test_erosion_takes_away_what_dilation_of_the_rest_reaches():
    m = np.zeros((2, 9, 9, 1), np.float32)
    m[:, 2:7, 2:7] = 1
    eroded = np.asarray(grow(m, np.array([0, -1]), least=-1, most=0))
    np.testing.assert_array_equal(eroded[0], m[0])
    assert eroded[1].sum() == 9
    assert eroded[1, 3:6, 3:6].sum() == 9


def test_grow_dilates_and_erodes_as_scikit_image_does():
    m = np.random.RandomState(0).rand(10, 20, 17, 1).astype(np.float32)
    radii = np.arange(10) % 5 - 3
    grown = grow(jnp.array(m), jnp.array(radii), least=-3, most=1)
    for mask, radius, result in zip(m, radii, grown, strict=True):
        by = morphology.dilation if radius > 0 else morphology.erosion
        expected = by(mask[..., 0], morphology.disk(abs(radius)))
        np.testing.assert_allclose(result[..., 0], expected, atol=1e-7)  # 1 - (1 - m) rounds


def test_beyond_the_edge_nothing_grows_into_a_mask():
    m = jnp.ones((2, 5, 5, 1)).at[1].set(0)
    np.testing.assert_array_equal(grow(m, jnp.array([-2, 2]), least=-2, most=2), m)
