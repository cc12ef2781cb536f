"""What the methods know of a network: pure functions of its variables; and the sizes of image that networks take.

Variables are a mapping of collections, as Flax has them: "params" is what an optimiser changes; every other one, such
as the running averages of batch normalisation, is what applying the network in training changes.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from flax import linen as nn

from bginv_jax.errors import InputError

_SMALLEST_MAP = 4  # the side, in pixels, that the networks shrink an image to
_SMALLEST_SIZE = 16  # images are padded at least to this
_LARGEST_SIZE = 2**14
_LONGEST = 64  # times the shorter side

Variables = Mapping[str, Any]


def block_count(size: int) -> int:
    """How often a side of `size` pixels is halved: log2(size / 4), rounded down."""
    return int(math.log2(size / _SMALLEST_MAP))


def padded_size(height: int, width: int) -> int:
    """The smallest square side that holds the image and can be halved `block_count` times: 32 for 28.

    Raises:
      InputError: for images so large or so long that the squares would fill any memory.
    """
    if not 0 < max(height, width) <= _LARGEST_SIZE or max(height, width) > _LONGEST * min(height, width):
        raise InputError(
            f"images have {height}x{width} pixels; expected at most {_LARGEST_SIZE}, and no side more than {_LONGEST} "
            "times the other; config.data.image_size, the side in pixels, resizes them"
        )
    size = max(_SMALLEST_SIZE, -(-max(height, width) // _SMALLEST_SIZE) * _SMALLEST_SIZE)
    while size % 2 ** block_count(size):
        size += _SMALLEST_SIZE
    return size


class Apply(Protocol):
    """apply(variables, inputs) -> (outputs, variables).

    In training, with `train`, the variables that come back may differ in all but their params, and `key` decides what
    is dropped. Otherwise the network is as it predicts, and the variables come back as they are.
    """

    def __call__(
        self, variables: Variables, inputs: Any, *, train: bool = False, key: jax.Array | None = None
    ) -> tuple[jax.Array, Variables]: ...


class Network(NamedTuple):
    """init(key) -> variables, and apply: any library's network can stand here; see `stateless` for the simple case."""

    init: Callable[[jax.Array], Variables]
    apply: Apply


class BackgroundSource(NamedTuple):
    """f_b with its noise: draw(key) -> noise of one image; apply(variables, noises) -> backgrounds (N, S, S, C)."""

    init: Callable[[jax.Array], Variables]
    draw: Callable[[jax.Array], jax.Array]
    apply: Apply


def stateless(init: Callable[[jax.Array], Any], apply: Callable[[Any, Any], jax.Array]) -> Network:
    """A Network of init(key) -> params and apply(params, inputs) -> outputs, the same in training and prediction."""

    def apply_to(variables, inputs, *, train=False, key=None):
        return apply(variables["params"], inputs), variables

    return Network(lambda key: {"params": init(key)}, apply_to)


def _in_full(x: jax.Array) -> jax.Array:
    """Floats of at least 32 bits, for losses and sums."""
    return x.astype(jnp.float32) if jnp.issubdtype(x.dtype, jnp.floating) and x.dtype.itemsize < 4 else x


def told(module: nn.Module, *, train: bool) -> dict[str, bool]:
    """What a Flax module's `__call__` takes besides its inputs: whether it trains, if it asks."""
    return {"train": train} if "train" in inspect.signature(type(module).__call__).parameters else {}


def flax_network(module: nn.Module, *shapes: tuple[int, ...]) -> Network:
    """A Flax module as a Network.

    A module whose `__call__` takes `train` is told whether it trains, and is to set `deterministic` of dropout and
    `use_running_average` of batch normalisation by it; dropout draws from the stream "dropout". Outputs of fewer bits
    become float32.

    Args:
      module: any Linen module.
      shapes: of its inputs, without the batch axis. Of several inputs the network takes a tuple.
    """

    def init(key):
        dummies = [jnp.zeros((1, *shape)) for shape in shapes]
        return {"params": {}, **module.init(key, *dummies, **told(module, train=False))}

    def apply(variables, inputs, *, train=False, key=None):
        inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        changing = [name for name in variables if name != "params"] if train else False
        rngs = {"dropout": key} if train and key is not None else {}
        result = module.apply(variables, *inputs, rngs=rngs, mutable=changing or False, **told(module, train=train))
        outputs, changed = result if changing else (result, {})
        return jax.tree.map(_in_full, outputs), {**variables, **changed} if changing else variables

    return Network(init, apply)
