"""Catch: a ball falls, a paddle moves below it; +1 if it is caught, -1 if it is missed (Mnih et al. 2014)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bginv_jax.worlds.contract import CELLS, World, block


class Catch(NamedTuple):
    """Cells: the ball at (row, column), the paddle at the bottom in its column."""

    row: jax.Array
    column: jax.Array
    paddle: jax.Array


def _start(key: jax.Array) -> Catch:
    column, paddle = jax.random.randint(key, (2,), 0, CELLS)
    return Catch(jnp.int32(0), column, paddle)


def _step(state: Catch, action: jax.Array) -> tuple[Catch, jax.Array, jax.Array]:
    row, paddle = state.row + 1, jnp.clip(state.paddle + action - 1, 0, CELLS - 1)
    over = row == CELLS - 1
    reward = jnp.where(over, jnp.where(paddle == state.column, 1.0, -1.0), 0.0)
    return Catch(row, state.column, paddle), reward, over


def _draw(state: Catch) -> jax.Array:
    ball, paddle = block(state.row, state.column), block(jnp.int32(CELLS - 1), state.paddle)
    return (ball | paddle).astype(jnp.float32)


CATCH = World(("left", "stay", "right"), _start, _step, _draw, best=1.0, length=CELLS - 1)
