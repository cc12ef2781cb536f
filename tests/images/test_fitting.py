"""A picture becomes a square: stretched, padded or cropped, in colour or grey."""

import numpy as np
import pytest
from skimage import transform

from bginv_jax.images.fitting import FITS, fit_picture

# A red picture with a green middle square: 20 high, 40 wide.
WIDE = np.zeros((20, 40, 3), np.uint8)
WIDE[..., 0] = 200
WIDE[:, 10:30] = (0, 120, 0)
RED, GREEN = [200, 0, 0], [0, 120, 0]


def test_stretch_shows_all_of_the_picture():
    square = fit_picture(WIDE, size=20, fit="stretch", channels=3)
    assert square.shape == (20, 20, 3)
    assert square[10, 0].tolist() == square[10, -1].tolist() == RED
    assert square[10, 10].tolist() == GREEN


@pytest.mark.parametrize("upright", [False, True])
def test_crop_takes_the_middle_square(upright):
    picture = WIDE.swapaxes(0, 1) if upright else WIDE
    square = fit_picture(picture, size=10, fit="crop", channels=3)
    assert (square == GREEN).all()


@pytest.mark.parametrize("upright", [False, True])
def test_pad_keeps_all_of_it_before_the_colour_of_its_border(upright):
    picture = WIDE.copy()
    picture[[0, -1]], picture[:, [0, -1]] = (7, 8, 9), (7, 8, 9)
    picture = picture.swapaxes(0, 1) if upright else picture
    square = fit_picture(picture, size=20, fit="pad", channels=3)
    square = square.swapaxes(0, 1) if upright else square
    assert (square[:5] == (7, 8, 9)).all()
    assert (square[-5:] == (7, 8, 9)).all()
    assert square[10, 10].tolist() == GREEN
    assert square[10, 2].tolist() == RED


def test_grey_is_the_luminance_and_grey_pictures_stay_as_they_are():
    assert fit_picture(WIDE, size=10, fit="crop", channels=1).tolist() == np.full((10, 10, 1), 70).tolist()  # 0.587*120
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    np.testing.assert_array_equal(fit_picture(grey, size=16, fit="pad", channels=0), grey)
    colour = fit_picture(grey, size=0, fit="stretch", channels=3)
    np.testing.assert_array_equal(colour, grey.repeat(3, axis=-1))
    np.testing.assert_array_equal(fit_picture(colour, size=0, fit="stretch", channels=1), grey)


def test_a_large_picture_shrinks_as_scikit_image_shrinks_it():
    """No aliases: a fine chessboard becomes even, and a smooth picture is the same to a few levels."""
    fine = (np.indices((512, 512)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None]
    assert np.ptp(fit_picture(fine, size=32, fit="stretch", channels=1)) <= 4
    row, column = np.indices((300, 500))
    smooth = np.round(127 + 120 * np.sin(row / 40) * np.cos(column / 50)).astype(np.uint8)[..., None]
    expected = transform.resize(smooth, (64, 64), anti_aliasing=True, preserve_range=True)
    found = fit_picture(smooth, size=64, fit="stretch", channels=1)
    assert np.abs(found - expected).max() < 6


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 3000, 3), (3000, 1, 1), (5, 7, 1)])
def test_every_shape_is_fitted(fit, shape):
    assert fit_picture(np.full(shape, 9, np.uint8), size=16, fit=fit, channels=3).tolist() == [[[9] * 3] * 16] * 16


def test_what_cannot_be_fitted_is_named():
    with pytest.raises(ValueError, match="fit is 'squeeze'; allowed: stretch, pad, crop"):
        fit_picture(WIDE, size=8, fit="squeeze", channels=3)
    for wrong in (WIDE.astype(np.float32), WIDE[0], WIDE[:0], np.zeros((4, 4, 4), np.uint8)):
        with pytest.raises(ValueError, match=r"expected uint8 \(height, width, 1 or 3\)"):
            fit_picture(wrong, size=8, fit="pad", channels=3)
