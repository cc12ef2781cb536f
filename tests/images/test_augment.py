"""Augmentation: one key per image, and mask and image move together."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.images.augment import augment, draw_moves, in_sight, random_crops, rearrange, resample

ALL = {"rotation": 20.0, "shift": 0.1, "shear": 5.0, "zoom": 0.2, "elastic": 0.02, "flip": True}


def _augment(keys, images, masks=None, **options):
    """As NumPy arrays, by one program."""
    return jax.tree.map(np.asarray, jax.jit(functools.partial(augment, **options))(keys, images, masks))


def _keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def test_nothing_asked_changes_nothing():
    x = np.random.default_rng(0).random((3, 8, 8, 1), np.float32)
    images, masks, _ = _augment(_keys(3), x, x)
    np.testing.assert_array_equal(images, x)
    np.testing.assert_array_equal(masks, x)


def test_mask_and_image_move_together_and_masks_keep_their_brightness():
    x = np.random.default_rng(0).random((5, 16, 16, 1), np.float32)
    images, masks, moves = _augment(_keys(5), x, x, **ALL)
    np.testing.assert_array_equal(images * in_sight(moves, 16), masks)
    assert not np.allclose(images, x, atol=0.1)
    brighter, same, _ = _augment(_keys(5), x, x, **ALL, brightness=0.2)
    np.testing.assert_array_equal(same, masks)
    factors = np.asarray(brighter.sum(axis=(1, 2, 3)) / images.sum(axis=(1, 2, 3)))
    assert factors.std() > 0.03
    assert brighter.max() <= 1


def test_brightness_says_nothing_of_zoom():
    x = np.zeros((200, 20, 20, 1), np.float32)
    x[:, 6:14, 6:14] = 0.5
    images, *_ = _augment(_keys(200), x, zoom=0.3, brightness=0.3)
    brightness = np.asarray(images[:, 10, 10, 0])
    zoom = np.asarray(images.sum(axis=(1, 2, 3))) / brightness
    assert brightness.std() > 0.05
    assert zoom.std() > 5
    assert abs(np.corrcoef(brightness, zoom)[0, 1]) < 0.25


def test_an_image_depends_on_its_own_key_alone():
    x = np.random.default_rng(0).random((4, 16, 16, 3), np.float32)
    keys = _keys(4)
    together, *_ = _augment(keys, x, **ALL, brightness=0.2)
    alone, *_ = _augment(keys[2:3], x[2:3], **ALL, brightness=0.2)
    np.testing.assert_allclose(together[2], alone[0], atol=1e-6)


def test_shifts_stay_within_their_share_and_use_it():
    x = np.zeros((400, 21, 21, 1), np.float32)
    x[:, 10, 10] = 1.0
    moved, *_ = _augment(_keys(400), x, shift=0.1)
    row, column = np.meshgrid(np.arange(21.0), np.arange(21.0), indexing="ij")
    for axis in (row, column):
        centres = (moved[..., 0] * axis).sum(axis=(1, 2)) / moved[..., 0].sum(axis=(1, 2)) - 10
        assert 1.9 < np.abs(centres).max() <= 2.1 + 1e-4
        assert abs(centres.mean()) < 0.25


def test_flip_mirrors_about_half_of_the_images():
    x = np.zeros((200, 8, 8, 1), np.float32)
    x[:, 3, 1] = 1.0
    flipped, *_ = _augment(_keys(200), x, flip=True)
    assert 70 < (flipped[:, 3, 6, 0] > 0.99).sum() < 130
    assert ((flipped[:, 3, 6, 0] > 0.99) | (flipped[:, 3, 1, 0] > 0.99)).all()


def test_moves_say_where_an_object_went_and_move_other_layers_alike():
    """Pixel q of the output comes from matrix @ q + offset, so what lay at s lies at the inverse of that."""
    x = np.zeros((50, 33, 33, 1), np.float32)
    x[:, 13:16, 20:23] = 1.0  # its centre is (-2, 5) from the middle
    moved, _, moves = _augment(_keys(50), x, rotation=40.0, shift=0.1, shear=10.0, zoom=0.2, flip=True)
    expected = np.linalg.solve(moves.matrix, (np.array([-2.0, 5.0]) - moves.offset)[..., None])[..., 0]
    row, column = np.meshgrid(np.arange(33.0) - 16, np.arange(33.0) - 16, indexing="ij")
    weight = moved[..., 0] / moved[..., 0].sum(axis=(1, 2), keepdims=True)
    centres = np.stack([(weight * axis).sum(axis=(1, 2)) for axis in (row, column)], axis=1)
    np.testing.assert_allclose(centres, expected, atol=0.1)
    assert np.std(centres, axis=0).min() > 2
    np.testing.assert_array_equal(resample(x, moves), moved)
    assert set(np.unique(resample(x, moves, order=0))) == {0, 1}


def test_images_that_stay_have_no_moves():
    assert draw_moves(_keys(2), 8) is None
    assert _augment(_keys(2), jnp.ones((2, 8, 8, 1)), brightness=0.5).moves is None


def test_rotation_keeps_the_centre_and_is_at_most_what_was_asked():
    x = np.zeros((300, 33, 33, 1), np.float32)
    x[:, 16, 28] = 1.0
    turned, *_ = _augment(_keys(300), x, rotation=30.0)
    row, column = np.meshgrid(np.arange(33.0) - 16, np.arange(33.0) - 16, indexing="ij")
    weight = turned[..., 0] / turned[..., 0].sum(axis=(1, 2), keepdims=True)
    angles = np.rad2deg(np.arctan2((weight * row).sum(axis=(1, 2)), (weight * column).sum(axis=(1, 2))))
    assert 28 < np.abs(angles).max() < 31.5


def test_elastic_displacements_are_smooth_and_as_large_as_asked_at_every_size():
    for size in (32, 64):
        place = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), axis=-1)
        x = np.broadcast_to((place / size).astype(np.float32), (200, size, size, 2))
        inner = slice(size // 5, -size // 5)  # nearer to the edge, what comes from beyond it is as the edge
        moved = np.asarray(_augment(_keys(200), x, elastic=0.02)[0] - x)[:, inner, inner]
        assert abs(moved.mean()) < 0.002
        assert 0.013 < moved.std() < 0.02  # between knots it is less than at them
        assert abs(np.corrcoef(moved[..., 0].ravel(), moved[..., 1].ravel())[0, 1]) < 0.1
        steps = np.diff(moved, axis=1).std() / moved.std()  # of white noise, 1.4
        assert steps < 2 * 5 / size  # twice the change along a straight line between knots


def test_rearranged_images_keep_their_pixels_and_take_all_places():
    x = jnp.zeros((600, 5, 5, 2)).at[:, 1, 2].set(jnp.array([1.0, 2.0])).at[:, 1, 3, 0].set(3.0)
    moved = np.asarray(jax.jit(rearrange)(_keys(600), x))
    np.testing.assert_array_equal(np.sort(moved.reshape(600, -1)), np.sort(x.reshape(600, -1)))
    counts = (moved[..., 1] == 2).sum(axis=0)
    assert counts.min() > 8  # of 24 expected
    row, column = np.nonzero(np.asarray(moved[..., 1] == 2).reshape(600, 5, 5).any(axis=0))
    assert len(row) == len(column) == 25
    beside = [
        np.argwhere(np.asarray(image[..., 0]) == 3)[0] - np.argwhere(np.asarray(image[..., 1]) == 2)[0]
        for image in moved
    ]
    assert len({tuple(step % 5) for step in beside}) == 4  # right, left, above and below


def test_the_gradient_of_rearranging_is_the_same_moves_backwards():
    x, gradient = np.random.default_rng(4).standard_normal((2, 40, 6, 6, 2), np.float32)

    @jax.jit
    def there_and_back(keys, x, gradient):
        moved, pull = jax.vjp(lambda x: rearrange(keys, x), x)
        return moved, pull(moved)[0], pull(gradient)[0]

    moved, back, pulled = there_and_back(_keys(40), x, gradient)
    np.testing.assert_array_equal(back, x)
    assert np.vdot(moved, gradient) == pytest.approx(np.vdot(x, pulled), rel=1e-4)


def test_random_crops_are_pieces_of_the_pictures_and_take_all_places():
    pictures = np.arange(3 * 9 * 9 * 2, dtype=np.int32).reshape(3, 9, 9, 2)
    crops = jax.jit(functools.partial(random_crops, size=4))(_keys(2000), pictures)
    assert crops.shape == (2000, 4, 4, 2)
    corners = np.asarray(crops[:, 0, 0, 0])
    np.testing.assert_array_equal(crops, corners[:, None, None, None] + pictures[0, :4, :4])
    numbers, rows, columns = np.unravel_index(corners // 2, (3, 9, 9))
    assert set(zip(numbers, rows, columns, strict=True)) == {
        (p, i, j) for p in range(3) for i in range(6) for j in range(6)
    }


def test_masks_are_empty_beyond_the_edge():
    x = jnp.ones((100, 16, 16, 1))
    images, masks, moves = augment(_keys(100), x, x, shift=0.5)
    np.testing.assert_allclose(images, x, atol=1e-6)
    places = np.arange(16) + np.asarray(moves.offset)[..., None]
    seen = ((places >= -0.5) & (places <= 15.5)).sum(axis=-1).prod(axis=-1)
    np.testing.assert_allclose(masks.sum(axis=(1, 2, 3)), seen, atol=1e-3)
    assert seen.min() < 100
