"""Returns of whole episodes, by hand, before backgrounds that hide what they should and no more."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.backgrounds.patterns import BACKGROUNDS, compose_test
from bginv_jax.evaluation import playing
from bginv_jax.worlds.catch import CATCH
from tests.worlds.test_play import COUNTER


def _columns(networks, x):
    """Q of a player that knows where to look: the columns of the ball and of the paddle, in whole cells."""
    columns = jnp.arange(32.0)
    ball, paddle = (
        (part > 0.9).any(axis=1) @ columns / jnp.maximum(1, (part > 0.9).any(axis=1).sum(axis=1))
        for part in (x[:, :28, :, 0], x[:, 28:, :, 0])
    )
    return jnp.stack([paddle - ball, 0.5 - jnp.abs(ball - paddle), ball - paddle], axis=-1)


@pytest.fixture(scope="module")
def play():
    return playing.make_player(CATCH, _columns, episodes=64)


def test_who_sees_both_catches_every_ball(play):
    measures = play({})
    np.testing.assert_array_equal(measures["return"], np.ones(64))
    np.testing.assert_array_equal(measures["share_of_best"], np.full(64, 100.0))


def test_a_white_background_hides_where_things_are(play):
    white = np.ones((32, 32), np.float32)
    assert play({}, white)["return"].mean() < 0
    assert play({}, white, contrast=0.8)["return"].mean() == 1  # dark enough for this player
    assert play({}, white, contrast=0.0)["return"].mean() == 1


def test_pictures_are_composed_as_test_images_are():
    seen = []

    def predict(networks, x):
        jax.debug.callback(lambda x: seen.append(np.asarray(x)), x)
        return jnp.zeros((len(x), 3)).at[:, 1].set(1.0)

    pattern = BACKGROUNDS["board"](32)
    playing.make_player(CATCH, predict, episodes=4)({}, pattern)
    jax.effects_barrier()
    assert len(seen) == CATCH.length
    starts = jax.vmap(CATCH.start)(jax.random.split(jax.random.fold_in(jax.random.key(playing._KEY), 0), 4))
    expected = compose_test(np.asarray(jax.vmap(CATCH.draw)(starts)), pattern)
    np.testing.assert_array_equal(seen[0], expected)


def test_only_the_first_episode_of_each_world_counts_and_cuts_end_it():
    def always(action):
        return lambda networks, x: jnp.zeros((len(x), 2)).at[:, action].set(1.0)

    ended = playing.make_player(COUNTER, always(1), episodes=3)({})
    np.testing.assert_array_equal(ended["return"], [5, 5, 5])
    cut = playing.make_player(COUNTER, always(0), episodes=3)({})
    np.testing.assert_array_equal(cut["return"], [3, 3, 3])
    np.testing.assert_allclose(cut["share_of_best"], np.full(3, 300 / 7), rtol=1e-6)


def test_random_actions_seldom_catch():
    measures = playing.play_at_random(CATCH, episodes=400)
    assert -0.95 < measures["return"].mean() < -0.65  # one in ten or less
    assert set(measures["return"]) == {-1, 1}
