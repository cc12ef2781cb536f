"""What a world is, and the grid of cells that the worlds here are drawn on.

A state is a pytree of arrays of one world; `jax.vmap` makes many of it. Pictures are (32, 32, 1) float32 in [0, 1],
what is bright on black is the object.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

SIDE = 32  # pixels of a picture
CELLS = 10  # a row or column of the grid
_CELL = 3  # pixels; one is left over at each edge

State = Any


class World(NamedTuple):
    """A game of one player.

    actions: their names; an action is its number.
    start(key) -> the state in which an episode begins.
    step(state, action) -> (state, reward, whether the episode is over); nothing else is random.
    draw(state) -> the picture, which tells all of the state that matters.
    best: the largest return of an episode, the sum of its rewards.
    length: the most steps of an episode, after which it is cut.
    """

    actions: tuple[str, ...]
    start: Callable[[jax.Array], State]
    step: Callable[[State, jax.Array], tuple[State, jax.Array, jax.Array]]
    draw: Callable[[State], jax.Array]
    best: float
    length: int


def block(row: jax.Array, column: jax.Array, *, width: int = 1) -> jax.Array:
    """The picture of so many cells in a row, the leftmost at (row, column): bool (32, 32, 1).

    What lies outside of the grid is not seen.
    """
    pixels = jnp.arange(SIDE)
    top, left = 1 + _CELL * row, 1 + _CELL * column
    inside = (row >= 0) & (row < CELLS) & (column > -width) & (column < CELLS)
    rows, columns = (pixels >= top) & (pixels < top + _CELL), (pixels >= left) & (pixels < left + _CELL * width)
    edges = (pixels > 0) & (pixels < SIDE - 1)
    return (inside & rows[:, None] & (columns & edges)[None, :])[..., None]
