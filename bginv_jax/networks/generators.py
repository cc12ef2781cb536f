"""f_m, which finds the object, and f_b, which paints backgrounds, as Flax modules.

Images are NHWC float32 in [0, 1]. Every size follows from the input; nothing here knows of a data set.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from bginv_jax.errors import InputError
from bginv_jax.images.pixels import tile
from bginv_jax.networks.contract import BackgroundSource, Network, block_count, flax_network, stateless
from bginv_jax.networks.layers import Conv3x3
from bginv_jax.networks.unet import u_net


class MaskGenerator(nn.Module):
    """f_m, a U-Net: images (N, S, S, C) -> masks (N, S, S, 1) in [0, 1]. S must be a `padded_size`.

    `width` channels at the image's size, twice as many each time that it is halved: the cost goes with its square.
    """

    width: int = 32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.sigmoid(u_net(x, width=self.width, outputs=1))


def at_size(network: Network, size: int) -> Network:
    """A mask generator that sees its images resized to a side of `size` pixels, whose masks are resized back.

    Both are bilinear, and what shrinks is blurred first.
    """

    def apply(variables, x, *, train=False, key=None):
        small = jax.image.resize(x, (x.shape[0], size, size, x.shape[-1]), "linear")
        masks, variables = network.apply(variables, small, train=train, key=key)
        return jax.image.resize(masks, (*x.shape[:3], 1), "linear"), variables

    return Network(network.init, apply)


class BackgroundGenerator(nn.Module):
    """f_b: noise (N, s, s, C) -> tiles (N, s * 2^n, s * 2^n, C) in [0, 1], where n is `upsamplings`.

    `width` channels of the noise's size, half as many each time that it is doubled: the cost goes with its square.
    """

    upsamplings: int
    width: int = 128

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        x = nn.leaky_relu(Conv3x3(self.width)(z), 0.2)
        for i in range(self.upsamplings):
            x = nn.leaky_relu(Conv3x3(max(self.width >> (i + 1), 8), upsample=True)(x), 0.2)
        return nn.sigmoid(nn.Dense(z.shape[-1], kernel_init=nn.initializers.glorot_uniform())(x))


def background_source(kind: str, shape: tuple[int, int, int], tiles: int, width: int = 128) -> BackgroundSource:
    """The backgrounds of `kind` for images of `shape` (S, S, C); "generated" ones are tiles x tiles joined.

    Raises:
      InputError: for another kind, if the image does not divide into the tiles, or if a tile is smaller than 4 pixels.
    """
    size, _, channels = shape
    drawn = {"black": lambda key: jnp.zeros(shape), "noise": lambda key: jax.random.uniform(key, shape)}
    if kind in drawn:
        network = stateless(lambda key: {}, lambda params, z: z)
        return BackgroundSource(network.init, drawn[kind], network.apply)
    if kind != "generated":
        raise InputError(f"backgrounds are {kind!r}; allowed: generated, {', '.join(drawn)}")
    if size % tiles or size // tiles < 4 or (size // tiles) % 2 ** block_count(size // tiles):
        raise InputError(
            f"config.background.tiles is {tiles}; allowed: {size} / tiles is 4, 5, 6 or 7 times a power of 2"
        )
    upsamplings = block_count(size // tiles)
    seed = size // tiles // 2**upsamplings
    network = flax_network(BackgroundGenerator(upsamplings, width), (seed, seed, channels))

    def apply(variables, noises, *, train=False, key=None):
        painted, variables = network.apply(variables, noises.reshape(-1, *noises.shape[2:]), train=train, key=key)
        return tile(painted, tiles), variables

    return BackgroundSource(network.init, lambda key: jax.random.normal(key, (tiles**2, seed, seed, channels)), apply)
