"""Random light: each option alone, by what it may and may not change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.images.light import vary_light


def _keys(count):
    return jax.random.split(jax.random.key(0), count)


@pytest.fixture(scope="module")
def images():
    return 0.3 + 0.4 * jax.random.uniform(jax.random.key(1), (200, 6, 6, 3))


def _spread(ratio):
    """The extremes of factors that should be 1 -+ 0.2, and whether they use the range."""
    return ratio.min() > 0.8 - 1e-4 and ratio.max() < 1.2 + 1e-4 and ratio.std() > 0.09


def test_nothing_asked_changes_nothing(images):
    assert vary_light(_keys(200), images) is images


def test_brightness_multiplies(images):
    ratio = np.asarray(vary_light(_keys(200), images, brightness=0.2) / images)
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1, :1], ratio.shape), rtol=1e-5)
    assert _spread(ratio)


def test_contrast_keeps_the_mean_and_scales_deviations(images):
    varied = np.asarray(vary_light(_keys(200), images, contrast=0.2))
    np.testing.assert_allclose(varied.mean(axis=(1, 2, 3)), images.mean(axis=(1, 2, 3)), atol=1e-5)
    assert _spread(varied.std(axis=(1, 2, 3)) / np.asarray(images.std(axis=(1, 2, 3))))


def test_saturation_keeps_grey_and_leaves_one_channel_alone(images):
    varied = np.asarray(vary_light(_keys(200), images, saturation=0.2))
    np.testing.assert_allclose(varied.mean(axis=-1), images.mean(axis=-1), atol=1e-5)
    colour = np.asarray(images - images.mean(axis=-1, keepdims=True))
    assert _spread((varied - varied.mean(axis=-1, keepdims=True)).std(axis=(1, 2, 3)) / colour.std(axis=(1, 2, 3)))
    grey = images[..., :1]
    np.testing.assert_allclose(vary_light(_keys(200), grey, saturation=0.2), grey, atol=1e-6)


def test_tint_multiplies_each_channel_by_its_own_factor(images):
    ratio = np.asarray(vary_light(_keys(200), images, tint=0.2) / images)
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1], ratio.shape), rtol=1e-5)
    factors = ratio[:, 0, 0]
    assert _spread(factors)
    assert abs(np.corrcoef(factors[:, 0], factors[:, 1])[0, 1]) < 0.25


def test_blur_reaches_a_share_of_the_images_and_keeps_what_is_flat(images):
    varied = np.asarray(vary_light(_keys(200), images, blur=0.5))
    changed = np.abs(varied - images).max(axis=(1, 2, 3)) > 1e-6
    assert 80 < changed.sum() < 120
    assert varied[changed].std(axis=(1, 2)).mean() < 0.9 * np.asarray(images)[changed].std(axis=(1, 2)).mean()
    flat = jnp.full((8, 6, 6, 3), 0.4)
    np.testing.assert_allclose(vary_light(_keys(8), flat, blur=1.0), flat, atol=1e-6)


def test_everything_stays_within_0_and_1(images):
    varied = vary_light(_keys(200), images, brightness=0.9, contrast=0.9, saturation=0.9, tint=0.9, blur=1.0)
    assert varied.min() >= 0
    assert varied.max() <= 1
