"""U-Nets, whose outputs lie on the pixels of their images: the body that f_m has, and an f for tasks of pixels.

Images are NHWC float32 in [0, 1]; their side must be a `contract.padded_size`.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from bginv_jax.errors import InputError
from bginv_jax.networks.contract import block_count, padded_size
from bginv_jax.networks.layers import Conv3x3, max_pool2x2


def u_net(x: jax.Array, *, width: int, outputs: int) -> jax.Array:
    """The layers of a U-Net, inside a module's `__call__`: images (N, S, S, C) -> (N, S, S, outputs).

    `width` channels at the image's size, twice as many each time that it is halved: the cost goes with its square.

    Raises:
      InputError: for images that are not square or cannot be halved so often.
    """
    height, width_of_images = x.shape[1:3]
    filters = [width * 2**i for i in range(block_count(height))]
    if height != width_of_images or height % 2 ** len(filters):
        side = padded_size(height, width_of_images)
        raise InputError(
            f"a U-Net is given images of {height}x{width_of_images}; expected squares, here of {side}x{side}"
        )
    skips = []
    for count in filters:
        skips.append(nn.relu(Conv3x3(count)(x)))
        x = max_pool2x2(skips[-1])
    x = nn.relu(Conv3x3(filters[-1])(x))
    for count in reversed(filters):
        x = nn.relu(Conv3x3(count, upsample=True)(x))
        x = jnp.concatenate([x, skips.pop()], axis=-1)
    return nn.Dense(outputs, kernel_init=nn.initializers.glorot_uniform())(x)


class UNet(nn.Module):
    """f of tasks of pixels: images (N, S, S, C) -> (N, S, S, outputs)."""

    on_pixels: ClassVar[bool] = True
    outputs: int
    width: int = 16

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return u_net(x, width=self.width, outputs=self.outputs)
