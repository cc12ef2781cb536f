"""Convolution and pooling in the forms that run fastest, each beside the plain form that it must equal.

Arrays are NHWC, kernels HWIO. A fast form takes the kernel in the plain form's shape, so parameters and
checkpoints do not depend on which form computed them.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

# With few input channels a convolution is mostly bookkeeping; up to here nine shifted copies are faster.
_FEW_CHANNELS = 3


def conv3x3_plain(x: jax.Array, kernel: jax.Array, padding="SAME") -> jax.Array:
    """Stride-1 convolution of x (N, H, W, I) with kernel (h, w, I, O) -> (N, H, W, O)."""
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def conv3x3(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Equals `conv3x3_plain`; with few input channels it is nine shifted copies and one matrix product."""
    if x.shape[-1] > _FEW_CHANNELS:
        return conv3x3_plain(x, kernel)
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifted = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return jnp.concatenate(shifted, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])


def upsample_conv3x3_plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Nearest upsampling x2 of x (N, H, W, I), then conv3x3 -> (N, 2H, 2W, O)."""
    return conv3x3_plain(jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2), kernel)


def upsample_conv3x3(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Equals `upsample_conv3x3_plain`: four conv2x2 on the small map, 2.25 times fewer operations.

    An output pixel sees only two distinct rows and columns of the small map, so the three taps along an axis
    fold into two: (k0, k1 + k2) for even outputs and (k0 + k1, k2) for odd ones.
    """

    def fold(taps, odd):  # taps (3, ...) -> (2, ...)
        return jnp.stack([taps[0] + taps[1], taps[2]] if odd else [taps[0], taps[1] + taps[2]])

    phases = []
    for odd_row in (0, 1):
        rows = fold(kernel, odd_row)
        for odd_column in (0, 1):
            folded = fold(rows.swapaxes(0, 1), odd_column).swapaxes(0, 1)
            phases.append(
                conv3x3_plain(x, folded, ((1 - odd_row, odd_row), (1 - odd_column, odd_column))),
            )
    n, height, width, features = phases[0].shape
    grid = jnp.stack(phases, axis=3).reshape(n, height, width, 2, 2, features)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * height, 2 * width, features)


def max_pool2x2_plain(x: jax.Array) -> jax.Array:
    """Largest of each 2x2 block of x (N, H, W, C), H and W even -> (N, H/2, W/2, C)."""
    return nn.max_pool(x, (2, 2), strides=(2, 2))


def max_pool2x2(x: jax.Array) -> jax.Array:
    """Equals `max_pool2x2_plain` without reduce-window, whose gradient is 20 times slower on CPU.

    Where a block's maximum is tied the gradient is shared among the tied pixels, not given to the first.
    """
    n, height, width, channels = x.shape
    blocks = x.reshape(n, height // 2, 2, width // 2, 2, channels)
    rows = jnp.maximum(blocks[:, :, 0], blocks[:, :, 1])
    return jnp.maximum(rows[:, :, :, 0], rows[:, :, :, 1])


class Conv3x3(nn.Module):
    """A biased 3x3 convolution with the parameters of `nn.Conv`; with upsample=True, of the x2 upsampled input."""

    features: int
    upsample: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (3, 3, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.glorot_uniform(), shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        return (upsample_conv3x3 if self.upsample else conv3x3)(x, kernel) + bias
