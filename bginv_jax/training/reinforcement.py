"""Q-learning by pictures: what a step plays, remembers and learns from (Mnih et al. 2015), inside the compiled program.

Acting and targets are of plain pictures; what composites do to Q(picture, action) is the method's. The memory is of
states, from which pictures are drawn anew, so that a checkpoint holds all of it and a resumed run goes on exactly.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from bginv_jax.methods.contract import Method, Metrics
from bginv_jax.training.feed import Raw
from bginv_jax.training.state import TrainState
from bginv_jax.worlds.contract import World
from bginv_jax.worlds.play import Games, Moves, at_random, move, play_at_random

_FEW = 0.05  # share of random moves that stays
_PLAY = 3  # of the run's key, whose 0 to 2 are those of the networks, of epochs and of steps


class Memory(NamedTuple):
    """The worlds that are being played, and the last M moves, with a leading M; the oldest is overwritten next."""

    games: Games
    moves: Moves


def begin(key: jax.Array, world: World, *, worlds: int, capacity: int) -> Memory:
    """A memory of random play: `capacity` moves, rounded up to a whole number in each of `worlds`."""
    games, moves = play_at_random(jax.random.fold_in(key, _PLAY), world, worlds, steps=-(-capacity // worlds))
    return Memory(games, jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), moves))


def explored(step: jax.Array, exploring_steps: float) -> jax.Array:
    """The share of moves that are random: falls from 1 to 0.05 along so many steps, and stays."""
    return jnp.maximum(_FEW, 1 - (1 - _FEW) * step / max(1.0, exploring_steps))


def remember(moves: Moves, new: Moves, step: jax.Array) -> Moves:
    """The last M moves after those of a step, W of them, have taken the place of the oldest. W divides M."""
    start = step * len(new.actions) % len(moves.actions)

    def write(old, new):
        return lax.dynamic_update_slice_in_dim(old, new.astype(old.dtype), start, axis=0)

    return jax.tree.map(write, moves, new)


def worth(moves: Moves, values: jax.Array, discount: float) -> jax.Array:
    """What moves (N,) are worth, r + discount max_a Q(picture after, a); where the episode ended nothing follows.

    Args:
      moves: N of them.
      values: Q of the pictures after them, (N, actions), by the target network.
      discount: what a reward is worth a move later.
    """
    return moves.rewards + discount * jnp.where(moves.ended, 0.0, values.max(axis=-1))


def make_play(
    world: World, method: Method, *, discount: float, exploring_steps: float
) -> Callable[[TrainState, Raw, jax.Array], tuple[TrainState, Raw, Metrics]]:
    """play(state, raw, positions) -> (state, raw, metrics): a move in each world, then a batch of remembered ones.

    The target network is f as it predicts: with `config.classifier_average` its average weights. What is drawn for a
    position of the batch follows from it and the step, however the batch is split.
    """

    def pictures(states: Any) -> jax.Array:
        return jax.vmap(world.draw)(states)

    def act(key, state):
        greedy = method.predict(state.networks(), pictures(state.memory.games.states)).argmax(axis=-1)
        keys = jax.random.split(key)
        wild = jax.random.bernoulli(keys[0], explored(state.step, exploring_steps), greedy.shape)
        return jnp.where(wild, at_random(keys[1], world, len(greedy)), greedy)

    def play(state, raw, positions):
        keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(state.key, _PLAY), 1 + state.step), 3)
        games, new = move(keys[0], world, state.memory.games, act(keys[1], state))
        memory = Memory(games, remember(state.memory.moves, new, state.step))
        position_keys = jax.vmap(lambda place: jax.random.fold_in(keys[2], place))(positions)
        count = len(memory.moves.actions)
        places = jax.vmap(lambda key: jax.random.randint(key, (), 0, count))(position_keys)
        chosen = jax.tree.map(lambda leaf: leaf[places], memory.moves)
        values = worth(chosen, method.predict(state.networks(), pictures(chosen.after)), discount)
        targets = {"action": chosen.actions, "value": values}
        raw = raw._replace(images=pictures(chosen.before), targets=targets, masks=None)
        return state._replace(memory=memory), raw, {"return": games.returns.mean()}

    return play
