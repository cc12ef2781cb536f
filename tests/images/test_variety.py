"""Pictures that stand behind objects: enlarged, brightened, in two greys or others, and mixed; each by its own key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.images.variety import Variety, brighten, enlarge, mix, reshade, split_greys, vary_pictures


def _keys(count):
    return jax.random.split(jax.random.key(0), count)


def test_enlarged_images_are_parts_of_their_image():
    ramp = jnp.broadcast_to(jnp.arange(16.0)[:, None] + 100 * jnp.arange(16.0), (16, 16))[None, ..., None]
    crops = np.asarray(enlarge(_keys(200), jnp.repeat(ramp, 200, axis=0), zoom=3.0))[..., 0]
    down, right = crops[:, 1:] - crops[:, :-1], crops[:, :, 1:] - crops[:, :, :-1]
    share = down[:, 0, 0]
    np.testing.assert_allclose(down, np.broadcast_to(share[:, None, None], down.shape), atol=1e-3)
    np.testing.assert_allclose(right, np.broadcast_to(100 * share[:, None, None], right.shape), atol=0.1)
    assert 0.25 - 1e-3 < share.min() < 0.3
    assert 0.9 < share.max() <= 1 + 1e-3
    assert crops.min() >= -1e-3
    assert crops.max() <= 1515 + 1e-2


def test_brighter_pictures_are_whiter_and_none_is_darker():
    pictures = np.random.default_rng(0).random((200, 4, 4, 3), np.float32)
    brighter = np.asarray(brighten(_keys(200), jnp.asarray(pictures), gain=1.0))
    assert (brighter >= pictures).all()
    assert brighter.max() == 1
    dark = np.where((pictures > 0.01) & (pictures < 0.5), brighter / pictures, np.nan)
    factors = np.nanmean(dark, axis=(1, 2, 3))
    assert np.nanstd(dark, axis=(1, 2, 3)).max() < 1e-5  # one factor for each image
    assert 1 <= factors.min() < 1.03
    assert 1.97 < factors.max() <= 2
    assert factors.mean() == pytest.approx(1.5, abs=0.06)  # three times 0.29 / sqrt(200)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_share_is_black_and_white_split_between_its_darkest_and_brightest(channels):
    pictures = 0.25 + np.random.default_rng(0).random((400, 6, 6, channels), np.float32) / 2
    split = np.asarray(split_greys(_keys(400), jnp.asarray(pictures), share=0.25))
    chosen = np.isin(split, (0, 1)).all(axis=(1, 2, 3))
    np.testing.assert_array_equal(split[~chosen], pictures[~chosen])
    assert chosen.mean() == pytest.approx(0.25, abs=0.065)  # three standard deviations
    greys = pictures.mean(axis=-1)
    white = split[..., 0] == 1
    np.testing.assert_array_equal(split[chosen], np.broadcast_to(white[chosen][..., None], split[chosen].shape))
    whites = white[chosen].mean(axis=(1, 2))
    for grey, where in zip(greys[chosen], white[chosen], strict=True):  # what is white is what is brighter
        assert where.any()
        assert not where.all()
        assert grey[where].min() > grey[~where].max()
    assert whites.min() < 0.1
    assert whites.max() > 0.9


@pytest.mark.parametrize("channels", [1, 3])
def test_a_share_is_reshaded_from_any_grey_to_any_other(channels):
    pictures = 0.4 + np.random.default_rng(0).random((600, 6, 6, channels), np.float32) / 10
    shaded = np.asarray(reshade(_keys(600), jnp.asarray(pictures), share=0.25))
    chosen = (shaded != pictures).any(axis=(1, 2, 3))
    assert chosen.mean() == pytest.approx(0.25, abs=0.053)  # three standard deviations
    before, after = (images[chosen].mean(axis=-1).reshape(chosen.sum(), -1) for images in (pictures, shaded))
    in_order = np.take_along_axis(after, before.argsort(axis=1), axis=1)
    ends = in_order[:, [0, -1]]  # of the darkest and the brightest pixel, up to colours that were clipped
    for end in ends.T:
        assert end.mean() == pytest.approx(0.5, abs=0.08)  # 0.29 / sqrt(150) is a standard deviation
        assert end.std() == pytest.approx(0.29, abs=0.05)
    rises = np.diff(in_order, axis=1)
    turned = (ends[:, 0] > ends[:, 1]).mean()
    assert turned == pytest.approx(0.5, abs=0.13)
    np.testing.assert_array_less(-0.01, rises * np.sign(ends[:, 1] - ends[:, 0])[:, None])  # no grey passes another


def test_colours_fade_where_a_picture_is_reshaded_and_keep_their_hue():
    pictures = np.broadcast_to(np.float32([0.6, 0.5, 0.4]), (400, 2, 2, 3))
    shaded = np.asarray(reshade(_keys(400), jnp.asarray(pictures), share=1.0))[:, 0, 0]
    inside = ((shaded > 0) & (shaded < 1)).all(axis=-1)
    left = (shaded - shaded.mean(axis=-1, keepdims=True))[inside] / [0.1, 1, -0.1]
    assert inside.mean() > 0.8
    np.testing.assert_allclose(left[:, 0], left[:, 2], atol=1e-5)
    np.testing.assert_allclose(left[:, 1], 0, atol=1e-6)
    assert 0 <= left[:, 0].min() < 0.05
    assert 0.95 < left[:, 0].max() <= 1 + 1e-5


def test_of_a_share_the_picture_before_goes_on_where_the_third_is_dark():
    pictures = np.zeros((300, 2, 32, 1), np.float32)
    pictures[0::3], pictures[1::3] = 0.25, 0.75
    pictures[2::3] = np.linspace(0.1, 0.9, 32)[:, None]
    mixed = np.asarray(mix(_keys(300), jnp.asarray(pictures), share=0.4))
    chosen = (mixed != pictures).any(axis=(1, 2, 3))
    assert chosen.mean() == pytest.approx(0.4, abs=0.085)  # three standard deviations
    # Before every second of three, 0.75, stand 0.25 and the ramp, dark at the left.
    rows = mixed[1::3][chosen[1::3]][:, 0, :, 0]
    shown = (rows - 0.25) / 0.5
    assert (np.diff(shown, axis=1) >= -1e-6).all()
    half = np.abs(shown - 0.5).argmin(axis=1) / 31
    assert half.min() < 0.3
    assert half.max() > 0.7
    widths = ((shown > 0.01) & (shown < 0.99)).mean(axis=1)
    assert widths.min() < 0.1
    assert widths.max() > 0.5


def test_of_each_variety_there_is_none_until_it_is_asked_for_and_each_has_keys_of_its_own():
    pictures = jax.random.uniform(jax.random.key(1), (50, 8, 8, 1))
    keys = _keys(50)
    np.testing.assert_array_equal(vary_pictures(keys, pictures, Variety()), pictures)
    fold = [jax.vmap(lambda key, number=number: jax.random.fold_in(key, number))(keys) for number in range(5, 10)]
    by_hand = enlarge(fold[0], pictures, zoom=2.0)
    by_hand = brighten(fold[1], by_hand, gain=1.0)
    by_hand = split_greys(fold[2], by_hand, share=0.5)
    by_hand = reshade(fold[3], by_hand, share=0.5)
    by_hand = mix(fold[4], by_hand, share=0.5)
    np.testing.assert_array_equal(vary_pictures(keys, pictures, Variety(2.0, 1.0, 0.5, 0.5, 0.5)), by_hand)
