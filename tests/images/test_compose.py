"""Composites against values worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import label

from bginv_jax.images.compose import (
    Variation,
    add_copies,
    compose,
    compose_ink,
    compose_negative,
    ink,
    vary_and_compose,
    vary_masks,
)


def _keys(count):
    return jax.random.split(jax.random.key(0), count)


def test_compose_keeps_the_object_and_paints_the_rest():
    x, b = jnp.full((1, 1, 3, 1), 0.8), jnp.full((1, 1, 3, 1), 0.2)
    m = jnp.array([1.0, 0.0, 0.5]).reshape(1, 1, 3, 1)
    np.testing.assert_allclose(compose(x, m, b).ravel(), [0.8, 0.2, 0.5], rtol=1e-6)


def test_ink_by_hand():
    """Of a background of 0.6 and a contrast of 0.2, ink is in [0, 0.4] and [0.8, 1]: two parts and one."""
    x, b = jnp.array([1.0, 0.0, 1.0, 0.5]).reshape(1, 1, 4, 1), jnp.full((1, 1, 4, 1), 0.6)
    m = jnp.array([1.0, 1.0, 0.0, 1.0]).reshape(1, 1, 4, 1)
    for texture, expected in ((0.0, 0.0), (0.5, 0.3), (0.75, 0.85), (1.0, 1.0)):
        drawn = compose_ink(x, m, b, jnp.full_like(b, texture), contrast=0.2)
        np.testing.assert_allclose(drawn.ravel(), [expected, 0.6, 0.6, (expected + 0.6) / 2], atol=1e-6)
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
    drawn = compose_ink(ones, ones, b, texture, contrast=contrast)
    assert -1e-6 <= drawn.min() < 0.01
    assert 0.99 < drawn.max() <= 1 + 1e-6
    assert jnp.abs(drawn - b).min() >= contrast - 1e-6


def test_the_negative_of_a_background_is_the_absolute_difference_with_white():
    x = jnp.array([1.0, 0.0, 1.0, 0.5]).reshape(1, 2, 2, 1).repeat(3, axis=-1)
    m = jnp.array([1.0, 1.0, 0.0, 1.0]).reshape(1, 2, 2, 1)
    b = jnp.array([0.2, 0.6, 0.9]) * jnp.ones_like(x)
    drawn = compose_negative(x, m, b).reshape(4, 3)
    np.testing.assert_allclose(drawn[0], jnp.abs(jnp.array([0.2, 0.6, 0.9]) - 1), rtol=1e-6)
    np.testing.assert_allclose(drawn[1:3], [[0.2, 0.6, 0.9]] * 2, rtol=1e-6)
    np.testing.assert_allclose(drawn[3], [0.5] * 3, rtol=1e-6)  # half covered: the mean of both


def test_each_share_of_the_objects_has_its_ink():
    x, m = jnp.ones((2000, 1, 1, 1)), jnp.ones((2000, 1, 1, 1))
    b = jnp.full_like(x, 0.1).at[::2].set(0.3)
    drawn = np.asarray(ink(_keys(2000), x, m, b, share=0.2, contrast=0.25, negative_share=0.3)).ravel()
    assert abs((drawn == 1).mean() - 0.5) < 0.04
    assert abs(np.isclose(drawn, 1 - b.ravel()).mean() - 0.3) < 0.04
    np.testing.assert_array_equal(ink(_keys(9), x[:9], m[:9], b[:9]), x[:9])


def test_masks_are_dilated_or_eroded_by_each_radius_alike():
    """Of a square of 5 pixels, eroded by 2 or 1 pixels, as it is, dilated by 1: 1, 9, 25 and 45 pixels."""
    m = jnp.zeros((400, 11, 11, 1)).at[:, 3:8, 3:8].set(1.0)
    varied, radius = vary_masks(_keys(400), m, halo=1, erosion=2)
    sizes, counts = np.unique(varied.sum(axis=(1, 2, 3)), return_counts=True)
    assert sizes.tolist() == [1, 9, 25, 45]
    assert counts.min() > 70  # of 100 expected
    for size, expected in zip((1, 9, 25, 45), (-2, -1, 0, 1), strict=True):
        assert (radius[varied.sum(axis=(1, 2, 3)) == size] == expected).all()


def test_what_stands_behind_a_closely_cut_object_is_darkened():
    """Of a square of 5 pixels, white before white: as it is, dilated by 1 and by 2 pixels; the least is 2."""
    m = jnp.zeros((600, 11, 11, 1)).at[:, 3:8, 3:8].set(1.0)
    variation = Variation(halo=2, least_halo=2)
    x, shown = map(np.asarray, vary_and_compose(_keys(600), m, m, jnp.ones_like(m), variation))
    areas, behind = shown.sum(axis=(1, 2, 3)), x[:, 0, 0, 0]
    assert (behind[areas == 69] == 1).all()  # dilated by a disk of 2
    for area in (25, 45):
        factors = behind[areas == area]
        assert abs(factors.mean() - 0.5) < 0.07
        assert 0 <= factors.min() < 0.05
        assert 0.95 < factors.max() < 1
    np.testing.assert_array_equal(x[:, 5, 5], 1)


def test_what_does_not_vary_is_the_plain_composite():
    x, b = jax.random.uniform(jax.random.key(1), (2, 3, 8, 8, 1))
    m = (x > 0.5).astype(jnp.float32)
    np.testing.assert_array_equal(vary_and_compose(_keys(3), x, m, b, Variation())[0], compose(x, m, b))
    moved, _ = vary_and_compose(_keys(3), x, jnp.zeros_like(m), b, Variation(move=True))
    np.testing.assert_array_equal(np.sort(moved.reshape(3, -1)), np.sort(b.reshape(3, -1)))
    assert (moved != b).any()


def test_copies_are_of_the_object_alone_and_every_count_occurs():
    x = jnp.full((300, 24, 24, 3), 0.9).at[:, 10:14, 10:14].set(0.6)
    m = jnp.zeros((300, 24, 24, 1)).at[:, 10:14, 10:14].set(1.0)
    b = jnp.zeros_like(x)
    shown = np.asarray(add_copies(_keys(300), x, m, b, most=2))
    assert shown.max() <= 0.9  # at an edge, what surrounds the object is interpolated
    objects = np.array([label(image[..., 0] > 0.3)[1] for image in shown])
    assert set(objects) == {0, 1, 2}
    assert (add_copies(_keys(3), x[:3], m[:3], b[:3], most=0) == b[:3]).all()
