"""Catch by hand: where things are, what they look like, what is won."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.worlds.catch import CATCH, Catch

LEFT, STAY, RIGHT = range(3)


def state(row, column, paddle):
    return Catch(*map(jnp.int32, (row, column, paddle)))


def take(before, action):
    after, reward, over = CATCH.step(before, jnp.int32(action))
    return tuple(map(int, after)), float(reward), bool(over)


@pytest.mark.parametrize(
    ("before", "action", "after", "reward", "over"),
    [
        ((0, 4, 7), LEFT, (1, 4, 6), 0, False),
        ((3, 4, 7), STAY, (4, 4, 7), 0, False),
        ((3, 4, 7), RIGHT, (4, 4, 8), 0, False),
        ((0, 4, 0), LEFT, (1, 4, 0), 0, False),  # the edge
        ((0, 4, 9), RIGHT, (1, 4, 9), 0, False),
        ((8, 4, 4), STAY, (9, 4, 4), 1, True),  # caught
        ((8, 4, 5), LEFT, (9, 4, 4), 1, True),  # in the last moment
        ((8, 4, 4), RIGHT, (9, 4, 5), -1, True),  # missed by one
    ],
)
def test_a_step(before, action, after, reward, over):
    assert take(state(*before), action) == (after, reward, over)


def test_the_picture_has_a_ball_of_9_pixels_and_a_paddle_of_9():
    picture = np.asarray(CATCH.draw(state(2, 4, 0)))
    expected = np.zeros((32, 32, 1), np.float32)
    expected[7:10, 13:16] = 1  # row 2: 1 + 3 * 2; column 4: 1 + 3 * 4
    expected[28:31, 1:4] = 1
    np.testing.assert_array_equal(picture, expected)
    assert picture.dtype == np.float32


def test_every_picture_differs_so_it_tells_the_state():
    places = np.stack(np.meshgrid(range(9), range(10), range(10), indexing="ij"), axis=-1).reshape(-1, 3)
    pictures = jax.vmap(lambda place: CATCH.draw(Catch(*place)))(jnp.asarray(places))
    assert len(np.unique(np.asarray(pictures).reshape(900, -1), axis=0)) == 900


def test_episodes_begin_above_in_every_column_and_last_nine_steps():
    starts = jax.vmap(CATCH.start)(jax.random.split(jax.random.key(0), 500))
    assert set(np.asarray(starts.row)) == {0}
    assert set(np.asarray(starts.column)) == set(np.asarray(starts.paddle)) == set(range(10))
    now = state(0, 0, 9)
    for _ in range(CATCH.length):
        now, reward, over = CATCH.step(now, jnp.int32(LEFT))
    assert (bool(over), float(reward)) == (True, CATCH.best)  # the farthest ball can be caught
