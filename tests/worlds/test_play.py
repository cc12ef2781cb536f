"""Worlds side by side: what ends, what is cut, what begins anew."""

import jax
import jax.numpy as jnp
import numpy as np

from bginv_jax.worlds import play
from bginv_jax.worlds.contract import World
from tests.conftest import same_bits

# A state counts steps from 10 on; action 1 ends it with a reward of 5, any other is worth 1. Cut after 3 steps.
COUNTER = World(
    ("wait", "end"),
    lambda key: jnp.int32(10),
    lambda state, action: (state + 1, jnp.where(action == 1, 5.0, 1.0), action == 1),
    lambda state: jnp.full((32, 32, 1), state / 255, jnp.float32),
    best=7.0,
    length=3,
)


def test_what_ends_or_is_cut_begins_anew_and_its_return_is_kept():
    games, found = play.begin(jax.random.key(0), COUNTER, 2), []
    for actions in ((0, 1), (0, 0), (0, 0)):
        games, moves = play.move(jax.random.key(1), COUNTER, games, jnp.array(actions))
        found.append((moves, games))
    moves, games = zip(*found, strict=True)
    np.testing.assert_array_equal([each.before for each in moves], [[10, 10], [11, 10], [12, 11]])
    np.testing.assert_array_equal([each.after for each in moves], [[11, 11], [12, 11], [13, 12]])  # not the new start
    np.testing.assert_array_equal([each.ended for each in moves], [[False, True], [False, False], [False, False]])
    np.testing.assert_array_equal([each.states for each in games], [[11, 10], [12, 11], [10, 12]])
    np.testing.assert_array_equal([each.ages for each in games], [[1, 0], [2, 1], [0, 2]])
    np.testing.assert_array_equal([each.rewards for each in games], [[1, 0], [2, 1], [0, 2]])
    np.testing.assert_array_equal([each.returns for each in games], [[0, 5], [0, 5], [3, 5]])


def test_random_play_follows_from_its_key_and_takes_every_action():
    games, moves = play.play_at_random(jax.random.key(3), COUNTER, 4, steps=50)
    again = play.play_at_random(jax.random.key(3), COUNTER, 4, steps=50)
    assert same_bits((games, moves), again)
    assert moves.actions.shape == (50, 4)
    assert set(np.unique(moves.actions)) == {0, 1}
    np.testing.assert_array_equal(moves.ended, moves.actions == 1)
    following = np.where(moves.ended[:-1], 10, moves.after[:-1])
    cut = moves.after[:-1] == 13
    np.testing.assert_array_equal(moves.before[1:], np.where(cut, 10, following))
