"""What looks like the border, on images made by hand."""

import numpy as np
import pytest

from bginv_jax.images.backdrops import border_colour, border_likeness


def _leaf(backdrop, colour, channels=3):
    x = np.broadcast_to(np.array(backdrop, np.float32), (1, 20, 20, channels)).copy()
    x[0, 5:15, 5:15] = colour
    return x


def test_the_colour_is_the_median_of_the_border_alone():
    x = _leaf([0.2, 0.4, 0.6], [0.9, 0.1, 0.1])
    x[0, 0, :9] = 1.0  # less than half of the border
    np.testing.assert_allclose(border_colour(x)[0, 0, 0], [0.2, 0.4, 0.6], rtol=1e-6)
    assert border_colour(x).shape == (1, 1, 1, 3)


@pytest.mark.parametrize("strength", [1.0, 0.2])
def test_the_object_is_unlike_and_the_backdrop_alike(strength):
    grey = np.array([0.5, 0.5, 0.5], np.float32)
    likeness = np.asarray(border_likeness(_leaf(grey, grey + strength * np.array([-0.2, 0.2, -0.2]))))[0, ..., 0]
    assert likeness[2, 2] > 0.999
    assert likeness[10, 10] < 0.01


def test_a_shadow_is_more_alike_than_an_object_of_as_great_a_difference():
    x = _leaf([0.5, 0.5, 0.5], [0.3, 0.7, 0.3])
    x[0, 16:18, 5:15] = 0.3
    likeness = np.asarray(border_likeness(x))[0, ..., 0]
    assert likeness[17, 10] > 0.9 > 0.1 > likeness[10, 10]


def test_grey_images_go_by_lightness_and_a_flat_one_is_alike_everywhere():
    likeness = np.asarray(border_likeness(_leaf([0.2], [0.8], channels=1)))[0, ..., 0]
    assert likeness[2, 2] > 0.999
    assert likeness[10, 10] < 0.01
    np.testing.assert_allclose(border_likeness(np.full((1, 8, 8, 3), 0.3, np.float32)), 1.0)
