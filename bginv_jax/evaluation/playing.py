"""Trained networks that play: the returns of whole episodes, seen before any background."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bginv_jax.images.compose import compose
from bginv_jax.images.masks import dilate
from bginv_jax.jax_settings import own_settings
from bginv_jax.methods.contract import Networks
from bginv_jax.worlds.contract import SIDE, World
from bginv_jax.worlds.play import at_random, begin, move

HALO = 2  # pixels of black around what is bright, as `patterns.with_halo` has it
_LARGEST = 4  # halo
_KEY = 1000  # of the starts, which are the same before every background


def make_player(
    world: World, predict: Callable[[Networks, jax.Array], jax.Array], *, episodes: int
) -> Callable[..., dict[str, np.ndarray]]:
    """play(networks, background, halo=..., contrast=...) -> measures of as many episodes, each (episodes,), by name.

    Measures are "return", the sum of an episode's rewards, and "share_of_best", in percent of the best. The action is
    always the best by f, of what it sees: the world's picture before contrast * background (32, 32, 1), but for what is
    above 0 and a `halo` in pixels around it. Without a background it is black.

    Args:
      world: that is played.
      predict: (networks, pictures) -> Q (N, actions).
      episodes: how many, one in each of as many worlds.
    """

    @jax.jit
    def play(networks, background, halo, contrast):
        def act(key, states):
            x = jax.vmap(world.draw)(states)
            kept = dilate((x > 0).astype(x.dtype), jnp.full(len(x), halo), largest=_LARGEST)
            return predict(networks, compose(x, kept, contrast * background)).argmax(axis=-1)

        return _returns(world, act, episodes)

    @own_settings()
    def measures(networks, background=None, *, halo=HALO, contrast=1.0):
        if background is None:
            background = np.zeros((SIDE, SIDE, 1), np.float32)
        shown = np.asarray(background, np.float32).reshape(SIDE, SIDE, 1)
        return _measures(world, play(networks, shown, np.int32(halo), np.float32(contrast)))

    return measures


@own_settings()
def play_at_random(world: World, *, episodes: int) -> dict[str, np.ndarray]:
    """The measures of random actions, the trivial player's, as `make_player`'s."""
    play = jax.jit(lambda: _returns(world, lambda key, states: at_random(key, world, episodes), episodes))
    return _measures(world, play())


def _measures(world: World, returns: jax.Array) -> dict[str, np.ndarray]:
    found = np.asarray(returns)
    return {"share_of_best": 100 * found / world.best, "return": found}


def _returns(world: World, act: Callable, episodes: int) -> jax.Array:
    """The return of the first episode in each of so many worlds: (episodes,); act(key, states) -> actions."""

    def more(carry):
        step, _, over, _ = carry
        return (step < world.length) & ~over.all()

    def take(carry):
        step, games, over, total = carry
        keys = jax.random.split(jax.random.fold_in(key, 1 + step))
        games, moves = move(keys[0], world, games, act(keys[1], games.states))
        return step + 1, games, over | moves.ended, total + jnp.where(over, 0.0, moves.rewards)

    key = jax.random.key(_KEY)
    games = begin(jax.random.fold_in(key, 0), world, episodes)
    carry = jnp.int32(0), games, jnp.zeros(episodes, bool), jnp.zeros(episodes)
    return lax.while_loop(more, take, carry)[-1]
