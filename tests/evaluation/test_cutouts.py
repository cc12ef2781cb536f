"""Objects are cut out by their colour before walls that are unevenly lit; what lies behind them stays behind."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from bginv_jax.evaluation.cutouts import cut_out_by_colour
from bginv_jax.images.masks import overlap

SKIN, SIZE = (205, 160, 120), 64


def _draw(shape, *, light=0.0, noise=3.0, seed=0):
    """An object of a shape (SIZE, SIZE) before a bluish wall, brighter in the middle by a share `light`."""
    row, column = np.indices((SIZE, SIZE)) / SIZE - 0.5
    glow = 1 - light * 2 * (row**2 + column**2)
    wall = np.array((200, 205, 212)) * glow[..., None]
    drawn = np.where(shape[..., None], np.array(SKIN) * (0.7 + 0.3 * glow[..., None]), wall)
    drawn += np.random.RandomState(seed).normal(0, noise, drawn.shape)
    return np.clip(drawn, 0, 255).astype(np.uint8)


def _disc(row, column, radius):
    return np.hypot(*(np.indices((SIZE, SIZE)) - np.array([row, column])[:, None, None])) < radius


def _arm():
    """A fist on an arm that enters from below, as wrists do."""
    shape = _disc(28, 32, 14)
    shape[28:, 26:38] = True
    return shape


@pytest.mark.parametrize("light", [0.0, 0.6])
def test_an_object_that_enters_from_the_border_is_found_before_an_uneven_wall(light):
    shapes = [_arm(), _disc(32, 32, 20), _disc(20, 40, 9)]
    masks = cut_out_by_colour(np.stack([_draw(shape, light=light) for shape in shapes]))
    assert masks.shape == (3, SIZE, SIZE, 1)
    assert masks.dtype == bool
    assert overlap(masks, np.stack(shapes)[..., None]).min() > 0.93


def test_the_wall_shows_through_a_large_hole_and_specks_are_no_object():
    ring = _disc(32, 32, 22) & ~_disc(32, 32, 10)
    image = _draw(ring, noise=0)
    image[4:6, 4:6] = SKIN  # dirt on the wall
    image[32, 15] = 210  # a glint on the object
    mask = cut_out_by_colour(image[None])[0, ..., 0]
    assert not mask[4:6, 4:6].any()
    assert not mask[30:34, 30:34].any()
    assert mask[32, 15]
    assert ndimage.label(mask)[1] == 1


def test_grey_objects_are_cut_by_their_lightness():
    image = np.full((1, SIZE, SIZE, 1), 220, np.uint8)
    image[0, _arm()] = 90
    masks = cut_out_by_colour(image)
    assert overlap(masks, _arm()[None, ..., None])[0] > 0.93


def test_an_image_of_one_colour_has_no_object():
    assert not cut_out_by_colour(np.full((1, SIZE, SIZE, 3), 99, np.uint8)).any()


def _read(paths, mode="RGB"):
    return np.stack([np.asarray(Image.open(path).convert(mode)) for path in paths])


def test_real_leaves_are_cut_as_their_true_masks_have_it(shared_data):
    paths = sorted((shared_data / "leaves" / "test" / "apple_rust").iterdir())[:6]
    folder = shared_data / "leaves" / "masks" / "test" / "apple_rust"
    truth = _read([folder / f"{path.stem}.png" for path in paths], "L")[..., None] > 127
    assert overlap(cut_out_by_colour(_read(paths)), truth).min() > 0.93


def test_real_hands_fill_a_part_of_the_image_and_begin_at_its_lower_border(shared_data):
    folders = [shared_data / "sign_digits" / "test" / str(digit) for digit in range(10)]
    masks = cut_out_by_colour(_read([sorted(folder.iterdir())[0] for folder in folders]))
    areas = masks.mean(axis=(1, 2, 3))
    assert 0.15 < areas.min() < areas.max() < 0.45
    assert masks[:, -1].any(axis=(1, 2)).all()
    assert not masks[:, :2].any()
