"""Pictures that stand behind objects: enlarged, brightened, in two greys; each by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.images.variety import Variety, brighten, enlarge, split_greys, vary_pictures


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


def test_of_each_variety_there_is_none_until_it_is_asked_for_and_each_has_keys_of_its_own():
    pictures = jax.random.uniform(jax.random.key(1), (50, 8, 8, 1))
    keys = _keys(50)
    np.testing.assert_array_equal(vary_pictures(keys, pictures, Variety()), pictures)
    fold = [jax.vmap(lambda key, number=number: jax.random.fold_in(key, number))(keys) for number in (5, 6, 7)]
    by_hand = enlarge(fold[0], pictures, zoom=2.0)
    by_hand = brighten(fold[1], by_hand, gain=1.0)
    by_hand = split_greys(fold[2], by_hand, share=0.5)
    np.testing.assert_array_equal(vary_pictures(keys, pictures, Variety(2.0, 1.0, 0.5)), by_hand)
