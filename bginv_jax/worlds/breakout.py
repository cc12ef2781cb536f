"""Breakout on a small grid: a ball takes bricks out of a wall, and must not be missed when it comes down.

After MinAtar's (Young and Tian 2019). +1 for each of the ten bricks, which stay away; -1 and the end for a miss. The
half of the paddle that the ball meets decides where it goes. A dim cell behind the ball shows where it comes from.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bginv_jax.worlds.contract import CELLS, World, block

_TOP, _ROWS, _WIDE = 2, 2, 2  # where the wall begins, its rows, and how many cells wide a brick is
_DIM = 0.5


class Breakout(NamedTuple):
    """Cells: the ball, what it moves by in a step, the left one of the paddle's two; the bricks that are left."""

    row: jax.Array
    column: jax.Array
    down: jax.Array
    right: jax.Array
    paddle: jax.Array
    bricks: jax.Array


def _start(key: jax.Array) -> Breakout:
    keys = jax.random.split(key)
    column = jax.random.randint(keys[0], (), 0, CELLS)
    right = jnp.where(jax.random.bernoulli(keys[1]), 1, -1)
    bricks = jnp.ones((_ROWS, CELLS // _WIDE), bool)
    return Breakout(jnp.int32(_TOP + _ROWS), column, jnp.int32(1), right, jnp.int32(CELLS // 2 - 1), bricks)


def _step(state: Breakout, action: jax.Array) -> tuple[Breakout, jax.Array, jax.Array]:
    paddle = jnp.clip(state.paddle + action - 1, 0, CELLS - 2)
    right = jnp.where((state.column + state.right < 0) | (state.column + state.right >= CELLS), -1, 1) * state.right
    down = jnp.where(state.row + state.down < 0, 1, state.down)
    row, column = state.row + down, state.column + right
    bricks = state.bricks
    place = jnp.clip(row - _TOP, 0, _ROWS - 1), column // _WIDE
    struck = (row >= _TOP) & (row < _TOP + _ROWS) & bricks[place]
    bricks = bricks.at[place].set(bricks[place] & ~struck)
    low = row == CELLS - 1
    caught = low & ((column == paddle) | (column == paddle + 1))
    right = jnp.where(caught, jnp.where(column == paddle, -1, 1), right)
    row, down = jnp.where(struck | caught, state.row, row), jnp.where(struck | caught, -down, down)
    missed = low & ~caught
    reward = struck.astype(jnp.float32) - missed
    return Breakout(row, column, down, right, paddle, bricks), reward, missed | ~bricks.any()


def _draw(state: Breakout) -> jax.Array:
    picture = block(state.row, state.column) | block(jnp.int32(CELLS - 1), state.paddle, width=2)
    for i in range(_ROWS):
        for j in range(CELLS // _WIDE):
            picture |= state.bricks[i, j] & block(jnp.int32(_TOP + i), jnp.int32(_WIDE * j), width=_WIDE)
    trail = block(state.row - state.down, state.column - state.right)
    return jnp.maximum(picture.astype(jnp.float32), _DIM * trail)


BREAKOUT = World(("left", "stay", "right"), _start, _step, _draw, best=_ROWS * CELLS / _WIDE, length=200)
