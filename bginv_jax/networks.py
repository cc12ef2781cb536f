"""The networks as Flax modules: f classifies, f_m finds the object, f_b paints backgrounds, f_l looks again at a crop.

`flax_network` and `background_source` make pure functions of them, which is all that the methods know of a network.
Images are NHWC float32 in [0, 1]. Every size follows from the input; nothing here knows of a data set.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from bginv_jax.images import tile
from bginv_jax.layers import Conv3x3, Conv5x5, max_pool2x2

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


class Classifier(nn.Module):
    """f: images (N, S, S, C) -> logits (N, classes). S must be a `padded_size`.

    Each block but the first convolves `convolutions` times before it pools: once in the authors' f, twice as in VGG
    (Simonyan and Zisserman 2015). `hidden` is the width of the dense layer. Truncated, as the attention baseline has it
    (the poster's G^T), it ends with the last pooled maps (N, s, s, K).
    """

    classes: int
    convolutions: int = 1
    hidden: int = 128

    @nn.compact
    def __call__(self, x: jax.Array, *, truncated: bool = False) -> jax.Array:
        for i in range(block_count(x.shape[1])):
            for _ in range(self.convolutions - 1 if i else 0):
                x = nn.relu(Conv3x3(32 * 2**i)(x))
            x = Conv3x3(32 * 2**i, relu_pool=True)(x)
        if truncated:
            return x
        x = x.reshape(len(x), -1)
        x = nn.relu(nn.Dense(self.hidden, kernel_init=nn.initializers.glorot_uniform())(x))
        return nn.Dense(self.classes, kernel_init=nn.initializers.glorot_uniform())(x)


class LeNet(nn.Module):
    """f of the single-source protocol for digits, the ConvNet of Volpi et al. 2018: images -> logits (N, classes).

    Two 5x5 convolutions of whole neighbourhoods and three dense layers: 32x32 pixels become 14x14x64, 5x5x128, 1024,
    1024. Images are (N, S, S, C), S a `padded_size`.
    """

    classes: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for features in (64, 128):
            x = Conv5x5(features)(x)
        x = x.reshape(len(x), -1)
        for features in (1024, 1024):
            x = nn.relu(nn.Dense(features, kernel_init=nn.initializers.glorot_uniform())(x))
        return nn.Dense(self.classes, kernel_init=nn.initializers.glorot_uniform())(x)


CLASSIFIERS: dict[str, Callable[[int], nn.Module]] = {
    "cnn": Classifier,
    "vgg": functools.partial(Classifier, convolutions=2, hidden=32),
    "lenet": LeNet,
}


class LocalClassifier(nn.Module):
    """f_l, the local network L and its fusion with the global one (Guan et al. 2018): crops, pooled maps -> logits.

    Crops are (N, S, S, C), what f's last maps hold on average (N, K), logits (N, classes).
    """

    classes: int

    @nn.compact
    def __call__(self, crops: jax.Array, pooled: jax.Array) -> jax.Array:
        x = crops
        for features in (128, 256, 512):
            x = nn.relu(Conv3x3(features, stride=2)(x))
        x = jnp.concatenate([x.mean(axis=(1, 2)), pooled], axis=-1)
        for features in (2048, 256):
            x = nn.relu(nn.Dense(features, kernel_init=nn.initializers.glorot_uniform())(x))
        return nn.Dense(self.classes, kernel_init=nn.initializers.glorot_uniform())(x)


class MaskGenerator(nn.Module):
    """f_m, a U-Net: images (N, S, S, C) -> masks (N, S, S, 1) in [0, 1]. S must be a `padded_size`."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        filters = [32 * 2**i for i in range(block_count(x.shape[1]))]
        skips = []
        for count in filters:
            skips.append(nn.relu(Conv3x3(count)(x)))
            x = max_pool2x2(skips[-1])
        x = nn.relu(Conv3x3(filters[-1])(x))
        for count in reversed(filters):
            x = nn.relu(Conv3x3(count, upsample=True)(x))
            x = jnp.concatenate([x, skips.pop()], axis=-1)
        return nn.sigmoid(nn.Dense(1, kernel_init=nn.initializers.glorot_uniform())(x))


class BackgroundGenerator(nn.Module):
    """f_b: noise (N, s, s, C) -> tiles (N, s * 2^n, s * 2^n, C) in [0, 1], where n is `upsamplings`."""

    upsamplings: int

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        x = nn.leaky_relu(Conv3x3(128)(z), 0.2)
        for i in range(self.upsamplings):
            x = nn.leaky_relu(Conv3x3(max(128 >> (i + 1), 8), upsample=True)(x), 0.2)
        return nn.sigmoid(nn.Dense(z.shape[-1], kernel_init=nn.initializers.glorot_uniform())(x))


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


def background_source(kind: str, shape: tuple[int, int, int], tiles: int) -> BackgroundSource:
    """The backgrounds of `kind` for images of `shape` (S, S, C); "generated" ones are tiles x tiles joined.

    Raises:
      ValueError: if the image does not divide into the tiles, or a tile is smaller than 4 pixels.
    """
    size, _, channels = shape
    if kind == "black":
        return BackgroundSource(lambda key: {}, lambda key: jnp.zeros(shape), lambda params, z: z)
    if kind == "noise":
        return BackgroundSource(lambda key: {}, lambda key: jax.random.uniform(key, shape), lambda params, z: z)
    if size % tiles or size // tiles < 4 or (size // tiles) % 2 ** block_count(size // tiles):
        raise ValueError(f"config.background.tiles is {tiles}; allowed: {size} / tiles is 4, 6 or 8 times a power of 2")
    upsamplings = block_count(size // tiles)
    seed = size // tiles // 2**upsamplings
    network = flax_network(BackgroundGenerator(upsamplings), (seed, seed, channels))

    def apply(params, z):
        return tile(network.apply(params, z.reshape(-1, *z.shape[2:])), tiles)

    def draw(key):
        return jax.random.normal(key, (tiles**2, seed, seed, channels))

    return BackgroundSource(network.init, draw, apply)
