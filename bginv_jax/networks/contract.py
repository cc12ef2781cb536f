"""What the methods know of a network: pure functions of its parameters; and the sizes of image that networks take."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

_SMALLEST_MAP = 4  # the side, in pixels, that the networks shrink an image to


_SMALLEST_SIZE = 16  # images are padded at least to this


def block_count(size: int) -> int:
    """How often a side of `size` pixels is halved: log2(size / 4), rounded down."""
    return int(math.log2(size / _SMALLEST_MAP))


def padded_size(height: int, width: int) -> int:
    """The smallest square side that holds the image and can be halved `block_count` times: 32 for 28."""
    size = max(_SMALLEST_SIZE, -(-max(height, width) // _SMALLEST_SIZE) * _SMALLEST_SIZE)
    while size % 2 ** block_count(size):
        size += _SMALLEST_SIZE
    return size


class Network(NamedTuple):
    """init(key) -> params and apply(params, inputs) -> outputs: any library's network can stand here."""

    init: Callable[[jax.Array], Any]
    apply: Callable[[Any, jax.Array], jax.Array]


class BackgroundSource(NamedTuple):
    """f_b with its noise: draw(key) -> noise of one image; apply(params, noises) -> backgrounds (N, S, S, C)."""

    init: Callable[[jax.Array], Any]
    draw: Callable[[jax.Array], jax.Array]
    apply: Callable[[Any, jax.Array], jax.Array]


def flax_network(module: nn.Module, shape: tuple[int, ...]) -> Network:
    """A Flax module as a Network, for inputs of `shape` (without the batch axis)."""
    return Network(
        lambda key: module.init(key, jnp.zeros((1, *shape)))["params"], lambda p, x: module.apply({"params": p}, x)
    )
