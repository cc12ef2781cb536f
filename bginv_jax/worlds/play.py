"""Many worlds played side by side, each begun anew where its episode is over."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bginv_jax.worlds.contract import State, World


class Games(NamedTuple):
    """W worlds that are being played: states, steps taken, rewards so far, and the return of the episode before."""

    states: State
    ages: jax.Array
    rewards: jax.Array
    returns: jax.Array


class Moves(NamedTuple):
    """What happened, W of each: the states before, the actions, the rewards, the states after, and whether it ended.

    An episode that is cut at its longest has not ended: what comes after still counts.
    """

    before: State
    actions: jax.Array
    rewards: jax.Array
    after: State
    ended: jax.Array


def begin(key: jax.Array, world: World, count: int) -> Games:
    """So many worlds at their start; the return of an episode before, of which there is none, is 0."""
    states = jax.vmap(world.start)(jax.random.split(key, count))
    return Games(states, jnp.zeros(count, jnp.int32), jnp.zeros(count), jnp.zeros(count))


def move(key: jax.Array, world: World, games: Games, actions: jax.Array) -> tuple[Games, Moves]:
    """Takes an action (W,) in each world."""
    after, rewards, ended = jax.vmap(world.step)(games.states, actions)
    moves = Moves(games.states, actions, rewards, after, ended)
    ages, total = games.ages + 1, games.rewards + rewards
    over = ended | (ages >= world.length)
    fresh = jax.vmap(world.start)(jax.random.split(key, len(over)))
    states = jax.tree.map(lambda new, old: jnp.where(over.reshape(-1, *[1] * (old.ndim - 1)), new, old), fresh, after)
    games = Games(states, jnp.where(over, 0, ages), jnp.where(over, 0.0, total), jnp.where(over, total, games.returns))
    return games, moves


def at_random(key: jax.Array, world: World, count: int) -> jax.Array:
    """Random actions (count,), the trivial player's."""
    return jax.random.randint(key, (count,), 0, len(world.actions))


def play_at_random(key: jax.Array, world: World, count: int, *, steps: int) -> tuple[Games, Moves]:
    """So many steps of random play in each of `count` worlds: where they stand, and moves (steps, count, ...)."""

    def take(games, key):
        keys = jax.random.split(key)
        return move(keys[0], world, games, at_random(keys[1], world, count))

    keys = jax.random.split(key)
    return jax.lax.scan(take, begin(keys[0], world, count), jax.random.split(keys[1], steps))
