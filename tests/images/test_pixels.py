"""Tiles, padding, scale and backdrop of arrays of pixels, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from bginv_jax.images.pixels import as_float, backdrop, crop_to, pad_to, reframe, tile


def test_tile_joins_in_reading_order():
    tiles = jnp.arange(8.0).reshape(8, 1, 1, 1)
    joined = tile(tiles, 2)
    np.testing.assert_array_equal(joined[..., 0], [[[0, 1], [2, 3]], [[4, 5], [6, 7]]])


def test_as_float_and_pad_to():
    padded = pad_to(np.full((2, 28, 27, 1), 255, np.uint8), 32)
    assert padded.shape == (2, 32, 32, 1)
    assert padded.sum() == 2 * 28 * 27 * 255
    assert (padded[:, 2:30, 2:29] == 255).all()
    assert crop_to(padded, (28, 27)).shape == (2, 28, 27, 1)
    assert (crop_to(padded, (28, 27)) == 255).all()
    np.testing.assert_allclose(as_float(jnp.array([0, 51, 255], jnp.uint8)), [0, 0.2, 1], rtol=1e-6)
    with pytest.raises(ValueError, match="33x20 pixels do not fit into 32x32"):
        pad_to(np.zeros((1, 33, 20, 1)), 32)


def test_the_backdrop_is_the_most_frequent_value_of_each_pixel():
    random = np.random.RandomState(0)
    behind = random.randint(1, 255, (6, 6, 3), dtype=np.uint8)
    shown = np.where(random.rand(40, 6, 6, 1) < 0.4, random.randint(0, 256, (40, 6, 6, 3)), behind).astype(np.uint8)
    np.testing.assert_array_equal(backdrop(shown), behind)


def test_looking_closer_enlarges_the_middle():
    ramp = jnp.tile(jnp.arange(8.0)[:, None], (1, 8))[None, ..., None]
    closer = np.asarray(reframe(ramp, 0.5))
    assert closer.shape == ramp.shape
    np.testing.assert_allclose(closer[0, :, 3, 0], [2, 2.25, 2.75, 3.25, 3.75, 4.25, 4.75, 5], atol=1e-6)
    np.testing.assert_allclose(reframe(ramp, 1.0), ramp, atol=1e-6)
    np.testing.assert_allclose(reframe(ramp, 0.01), np.full_like(ramp, 3.0), atol=1e-6)


@pytest.mark.parametrize(("share", "before", "after"), [(1.25, 2, 2), (1.3, 2, 3), (2.0, 8, 8)])
def test_a_wider_frame_has_more_of_the_edges_and_is_resized_as_pillow_does(share, before, after):
    image = np.random.RandomState(0).rand(16, 16).astype(np.float32)
    framed = Image.fromarray(np.pad(image, (before, after), mode="edge"))
    expected = framed.resize((16, 16), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(reframe(jnp.asarray(image)[None, ..., None], share)[0, ..., 0], expected, atol=1e-5)
