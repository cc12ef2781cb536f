"""Random light: each option alone, by what it may and may not change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.images.light import recolour, vary_light


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


def test_recoloured_channels_are_mixtures_of_the_images_own(images):
    varied = np.asarray(recolour(_keys(200), images), np.float64).reshape(200, -1, 3)
    own = np.asarray(images, np.float64).reshape(200, -1, 3)
    corrected = [np.linalg.lstsq(np.c_[a, np.ones(len(a))], b, rcond=None)[0] for a, b in zip(own, varied, strict=True)]
    weights, constant = np.array([c[:3] for c in corrected]), np.array([c[3] for c in corrected])
    signs = np.where(constant > 0.5, -1.0, 1.0)  # 1 - mixture, or the mixture
    np.testing.assert_allclose(constant, constant.round(), atol=1e-4)
    np.testing.assert_allclose(weights.sum(axis=1), signs, atol=1e-4)
    assert (weights * signs[:, None] > -1e-4).all()
    assert 0.4 < (signs < 0).mean() < 0.6
    largest = np.abs(weights).argmax(axis=1)
    np.testing.assert_allclose(np.bincount(largest.ravel()) / 600, 1 / 3, atol=0.06)


def test_recolouring_one_pair_of_colours_gives_all():
    pair = jnp.zeros((300, 2, 2, 3)).at[:, 0, :, 1].set(1.0)  # green above black
    colours = np.asarray(recolour(jax.random.split(jax.random.key(2), 300), pair))[:, :, 0]
    assert colours.std(axis=0).min() > 0.3, "of both, in every channel"
    assert (np.abs(colours[:, 0] - colours[:, 1]).max(axis=1) > 0.3).mean() > 0.75, "and the pattern stays"


def test_recolouring_grey_inverts_or_not():
    grey = jax.random.uniform(jax.random.key(3), (64, 4, 4, 1))
    varied = np.asarray(recolour(_keys(64), grey))
    same = np.isclose(varied, grey).all(axis=(1, 2, 3))
    np.testing.assert_allclose(varied[~same], 1 - grey[~same], rtol=1e-6)
    assert 20 < same.sum() < 44


def test_gamma_is_one_power_for_each_image_evenly_on_both_sides(images):
    varied = np.asarray(vary_light(_keys(200), images, gamma=3.0))
    powers = np.log(varied) / np.log(np.asarray(images))
    np.testing.assert_allclose(powers, np.broadcast_to(powers[:, :1, :1, :1], powers.shape), rtol=1e-3)
    logs = np.log(powers[:, 0, 0, 0]) / np.log(4)  # a power between 1/4 and 4
    assert np.abs(logs).max() <= 1 + 1e-3
    np.testing.assert_allclose(np.quantile(logs, (0.05, 0.5, 0.95)), (-0.9, 0, 0.9), atol=0.15)
    ends = jnp.array([0.0, 1.0]).reshape(1, 1, 2, 1)
    np.testing.assert_array_equal(vary_light(_keys(1), ends, gamma=3.0), ends)  # black and white stay
