"""Breakout by hand: bounces, bricks that stay away, misses, and pictures that tell where the ball goes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.worlds.breakout import BREAKOUT, Breakout

LEFT, STAY, RIGHT = range(3)
FULL = np.ones((2, 5), bool)


def state(ball, moves, paddle, bricks=FULL):
    return Breakout(*map(jnp.int32, (*ball, *moves, paddle)), jnp.asarray(bricks))


def without(*places):
    bricks = FULL.copy()
    bricks[tuple(zip(*places, strict=True))] = False
    return bricks


def take(before, action=STAY):
    after, reward, over = BREAKOUT.step(before, jnp.int32(action))
    *numbers, _ = after
    return tuple(map(int, numbers)), np.asarray(after.bricks), float(reward), bool(over)


@pytest.mark.parametrize(
    ("before", "action", "after"),
    [
        (((5, 4), (1, 1), 4), STAY, (6, 5, 1, 1, 4)),
        (((5, 4), (1, -1), 4), LEFT, (6, 3, 1, -1, 3)),
        (((5, 4), (1, 1), 0), LEFT, (6, 5, 1, 1, 0)),  # the paddle at the edge
        (((5, 4), (1, 1), 8), RIGHT, (6, 5, 1, 1, 8)),
        (((5, 9), (1, 1), 4), STAY, (6, 8, 1, -1, 4)),  # off the sides
        (((5, 0), (1, -1), 4), STAY, (6, 1, 1, 1, 4)),
        (((0, 4), (-1, 1), 4), STAY, (1, 5, 1, 1, 4)),  # off the top
        (((8, 3), (1, 1), 4), STAY, (8, 4, -1, -1, 4)),  # the left half of the paddle sends it left
        (((8, 4), (1, 1), 4), STAY, (8, 5, -1, 1, 4)),
        (((8, 4), (1, 1), 3), RIGHT, (8, 5, -1, 1, 4)),  # which moves first
        (((8, 6), (1, -1), 4), STAY, (8, 5, -1, 1, 4)),  # and turns it round
    ],
)
def test_a_step_that_wins_nothing(before, action, after):
    numbers, bricks, reward, over = take(state(*before), action)
    assert (numbers, reward, over) == (after, 0, False)
    np.testing.assert_array_equal(bricks, FULL)


def test_a_brick_is_won_once_and_stays_away():
    numbers, bricks, reward, over = take(state((4, 4), (-1, 1), 4))
    assert (numbers, reward, over) == ((4, 5, 1, 1, 4), 1, False)
    np.testing.assert_array_equal(bricks, without((1, 2)))  # row 3, columns 4 and 5
    numbers, bricks, reward, _ = take(state((4, 4), (-1, 1), 4, bricks))
    assert (numbers, reward) == ((3, 5, -1, 1, 4), 0)  # where it was the ball flies on
    np.testing.assert_array_equal(bricks, without((1, 2)))


def test_a_brick_is_won_from_above():
    numbers, bricks, reward, _ = take(state((1, 0), (1, 1), 4))
    assert (numbers, reward) == ((1, 1, -1, 1, 4), 1)
    np.testing.assert_array_equal(bricks, without((0, 0)))


def test_a_miss_costs_one_and_ends():
    assert take(state((8, 3), (1, 1), 5))[2:] == (-1, True)
    assert take(state((8, 3), (1, 1), 4), LEFT)[2:] == (0, False)


def test_the_last_brick_ends_an_episode_of_the_best_return():
    last = np.zeros((2, 5), bool)
    last[1, 2] = True
    assert take(state((4, 4), (-1, 1), 4, last))[2:] == (1, True)
    assert BREAKOUT.best == FULL.sum()


def test_the_picture_has_wall_ball_paddle_and_a_dim_trail():
    picture = np.asarray(BREAKOUT.draw(state((6, 4), (1, -1), 7, without((0, 0), (1, 4)))))
    expected = np.zeros((32, 32, 1), np.float32)
    expected[7:10, 7:31] = expected[10:13, 1:25] = 1  # rows 2 and 3
    expected[19:22, 13:16] = 1
    expected[16:19, 16:19] = 0.5  # it came from (5, 5)
    expected[28:31, 22:28] = 1
    np.testing.assert_array_equal(picture, expected)


def test_a_trail_outside_of_the_grid_is_not_seen():
    picture = np.asarray(BREAKOUT.draw(state((6, 0), (1, 1), 4)))
    assert set(np.unique(picture)) == {0, 1}


def test_episodes_begin_below_the_wall_and_can_be_played():
    starts = jax.vmap(BREAKOUT.start)(jax.random.split(jax.random.key(0), 200))
    assert set(np.asarray(starts.row)) == {4}
    assert set(np.asarray(starts.column)) == set(range(10))
    assert set(np.asarray(starts.right)) == {-1, 1}
    assert starts.bricks.all()
