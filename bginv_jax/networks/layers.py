"""Convolution and pooling in the forms that run fastest, each beside the plain form that it must equal.

Arrays are NHWC, kernels HWIO. A fast form takes the kernel in the plain form's shape, so parameters and
checkpoints do not depend on which form computed them.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from bginv_jax.networks.products import matmul, shifted, strided_conv3x3, take_patches

# With few input channels a convolution is mostly bookkeeping; up to here it is a matrix product of patches.
_FEW_CHANNELS = 3


def conv3x3_plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Stride-1 convolution of x (N, H, W, I) with kernel (3, 3, I, O), zeros around -> (N, H, W, O)."""
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def conv3x3(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Equals `conv3x3_plain`; with few input channels it is one matrix product of nine shifted copies."""
    if x.shape[-1] > _FEW_CHANNELS:
        return _conv3x3(x, kernel)
    return matmul(take_patches(x, 3, 1), kernel.reshape(-1, kernel.shape[-1]))


@jax.custom_vjp
def _conv3x3(x, kernel):
    """`conv3x3_plain` whose gradient for the kernel is a forward convolution too, over images as channels.

    On CPU the compiler turns only forward convolutions into library calls wherever they stand; the gradient for the
    kernel that it derives itself runs 50 times slower inside a loop.
    """
    return conv3x3_plain(x, kernel)


def _conv3x3_backward(saved, gradient):
    x, kernel = saved
    by_tap = lax.conv_general_dilated(
        x.transpose(3, 1, 2, 0),
        gradient.transpose(1, 2, 0, 3),
        (1, 1),
        ((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return conv3x3_plain(gradient, kernel[::-1, ::-1].swapaxes(2, 3)), by_tap.transpose(1, 2, 0, 3)


_conv3x3.defvjp(lambda x, kernel: (_conv3x3(x, kernel), (x, kernel)), _conv3x3_backward)


def conv3x3_relu_pool_plain(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """conv3x3, bias, relu, then the largest of each 2x2 block: x (N, H, W, I), even H and W -> (N, H/2, W/2, O)."""
    return nn.max_pool(nn.relu(conv3x3_plain(x, kernel) + bias), (2, 2), strides=(2, 2))


def _largest(quarters: list[jax.Array], bias: jax.Array) -> tuple[jax.Array, jax.Array]:
    """relu(the largest of four + bias), and which it was: 0 to 3, or 4 where relu is 0."""
    a, b, c, d = (quarter + bias for quarter in quarters)
    above, below = jnp.maximum(a, b), jnp.maximum(c, d)
    # The last operation takes two arrays: the compiler computes it once. It repeats one that ends in relu for each use.
    pooled = jnp.maximum(above, nn.relu(below))
    index = jnp.where(above >= below, jnp.where(a >= b, 0, 1), jnp.where(c >= d, 2, 3))
    return pooled, jnp.where(pooled > 0, index, 4).astype(jnp.int8)


def _routed(index: jax.Array, gradient: jax.Array) -> list[jax.Array]:
    """The gradients of the four quarters."""
    return [jnp.where(index == i, gradient, 0) for i in range(4)]


def _bias_gradient(index: jax.Array, gradient: jax.Array) -> jax.Array:
    return jnp.where(index < 4, gradient, 0).sum(axis=(0, 1, 2))


def _quarters(x: jax.Array) -> list[jax.Array]:
    """(N, 2H, 2W, C) -> four of (N, H, W, C): pixels (0, 0), (0, 1), (1, 0), (1, 1) of all 2x2 blocks."""
    n, height, width, channels = x.shape
    blocks = x.reshape(n, height // 2, 2, width // 2, 2, channels)
    return [blocks[:, :, i, :, j] for i in (0, 1) for j in (0, 1)]


def _interleave(quarters: list[jax.Array]) -> jax.Array:
    """Back from the four of `_quarters`."""
    n, height, width, channels = quarters[0].shape
    blocks = jnp.stack([jnp.stack(quarters[:2], axis=3), jnp.stack(quarters[2:], axis=3)], axis=2)
    return blocks.reshape(n, 2 * height, 2 * width, channels)


@jax.custom_vjp
def conv3x3_relu_pool(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """Equals `conv3x3_relu_pool_plain`; all that the gradient keeps of a block is which pixel was the largest.

    With few input channels the map before pooling is never laid out: the four outputs of a block are four matrix
    products of its 4x4 neighbourhood.
    """
    return _relu_pool_forward(x, kernel, bias)[0]


def _block_kernels(kernel: jax.Array) -> jax.Array:
    """(3, 3, I, O) -> (16 I, 4 O): what each of a block's four outputs takes from its 4x4 neighbourhood."""
    placed = [
        jnp.pad(kernel, ((i, 1 - i), (j, 1 - j), (0, 0), (0, 0))).reshape(-1, kernel.shape[-1])
        for i in (0, 1)
        for j in (0, 1)
    ]
    return jnp.concatenate(placed, axis=-1)


def _relu_pool_forward(x, kernel, bias):
    if x.shape[-1] > _FEW_CHANNELS:
        quarters = _quarters(conv3x3_plain(x, kernel))
    else:
        patches = take_patches(x, 4, 2)
        quarters = [patches @ k for k in jnp.split(_block_kernels(kernel), 4, axis=-1)]
    pooled, index = _largest(quarters, bias)
    return pooled, (x, kernel, index)


def _relu_pool_backward(saved, gradient):
    x, kernel, index = saved
    bias_gradient = _bias_gradient(index, gradient)
    routed = _routed(index, gradient)
    if x.shape[-1] > _FEW_CHANNELS:
        return *_conv3x3_backward((x, kernel), _interleave(routed)), bias_gradient
    routed = jnp.concatenate(routed, axis=-1)
    patches, give_back = jax.vjp(lambda x: take_patches(x, 4, 2), x)
    kernels, fold = jax.vjp(_block_kernels, kernel)
    kernel_gradient = patches.reshape(-1, len(kernels)).T @ routed.reshape(-1, kernels.shape[-1])
    return *give_back(routed @ kernels.T), *fold(kernel_gradient), bias_gradient


conv3x3_relu_pool.defvjp(_relu_pool_forward, _relu_pool_backward)


def conv5x5_relu_pool_plain(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """5x5 convolution of whole neighbourhoods only, bias, relu, then the largest of each 2x2 block.

    x (N, H, W, I) with H and W even, kernel (5, 5, I, O), bias (O,) -> (N, (H - 4)/2, (W - 4)/2, O).
    """
    convolved = lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return nn.max_pool(nn.relu(convolved + bias), (2, 2), strides=(2, 2))


def conv5x5_relu_pool(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """Equals `conv5x5_relu_pool_plain` as one matrix product of patches, whose gradients are matrix products, too.

    With 64 input channels it still takes three quarters of the time of forward convolutions on a CPU, where the
    gradient for x is the slow one.
    """
    patches = shifted(x, 5, 1, x.shape[1] - 4, x.shape[2] - 4)
    return _relu_pool(matmul(patches, kernel.reshape(-1, kernel.shape[-1])), bias)


@jax.custom_vjp
def _relu_pool(x, bias):
    """relu(x + bias), then the largest of each 2x2 block; the gradient keeps only which pixel it was."""
    return _largest(_quarters(x), bias)[0]


_relu_pool.defvjp(
    lambda x, bias: _largest(_quarters(x), bias),
    lambda index, gradient: (_interleave(_routed(index, gradient)), _bias_gradient(index, gradient)),
)


def upsample_conv3x3_plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Nearest upsampling x2 of x (N, H, W, I), then conv3x3 -> (N, 2H, 2W, O)."""
    return conv3x3_plain(jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2), kernel)


def upsample_conv3x3(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Equals `upsample_conv3x3_plain` with a quarter of its multiplications, all of them matrix products.

    Along one axis, with taps k0, k1, k2 and s = k0 + k1 + k2, upsampled pixels 2i and 2i + 1 become

        k0 x[i-1] + (k1 + k2) x[i] = s x[i] - k0 (x[i] - x[i-1])
        (k0 + k1) x[i] + k2 x[i+1] = s x[i] + k2 (x[i+1] - x[i])

    so the small map is multiplied by s, and its differences by -k0 and k2: three products for two outputs instead of
    six. Along both axes it is nine for four outputs instead of thirty-six.
    """

    def difference(x, axis):  # x[i] - x[i-1] for i = 0..length, zeros around
        padded = jnp.pad(x, [(1, 1) if a == axis else (0, 0) for a in range(4)])
        length = padded.shape[axis]
        return lax.slice_in_dim(padded, 1, length, axis=axis) - lax.slice_in_dim(padded, 0, length - 1, axis=axis)

    def taps(k):  # (3, ...) -> s, and what the differences are multiplied by for outputs 2i and 2i + 1
        return k.sum(axis=0), (-k[0], k[2])

    def product(x, kernels):  # one matrix product for all of them
        return jnp.split(matmul(x, jnp.concatenate(kernels, axis=-1)), len(kernels), axis=-1)

    rows_sum, rows_ends = taps(kernel)
    both_sum, columns_ends = taps(rows_sum)
    by_row = [taps(end) for end in rows_ends]
    down, right = difference(x, 1), difference(x, 2)
    (centre,) = product(x, [both_sum])
    across = product(right, columns_ends)
    along = product(down, [total for total, _ in by_row])
    corners = product(difference(down, 2), [end for _, ends in by_row for end in ends])
    height, width = x.shape[1:3]
    return _interleave(
        [
            centre
            + across[j][:, :, j : j + width]
            + along[i][:, i : i + height]
            + corners[2 * i + j][:, i : i + height, j : j + width]
            for i in (0, 1)
            for j in (0, 1)
        ]
    )


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


def max_pool3x3_plain(x: jax.Array) -> jax.Array:
    """Largest of each 3x3 block around every second pixel: x (N, S, S, C) -> (N, S/2, S/2, C), rounded up."""
    return nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))


def max_pool3x3(x: jax.Array) -> jax.Array:
    """Equals `max_pool3x3_plain` for x of at least 0, without reduce-window, as `max_pool2x2`."""
    patches = take_patches(x, 3, 2)
    return functools.reduce(jnp.maximum, jnp.split(patches, 9, axis=-1))


class Conv3x3(nn.Module):
    """A biased 3x3 convolution with the parameters of `nn.Conv`.

    upsample: of the x2 upsampled input. stride: 1 or 2. relu_pool: followed by relu and 2x2 max pooling.
    """

    features: int
    upsample: bool = False
    stride: int = 1
    relu_pool: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (3, 3, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.glorot_uniform(), shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        if self.relu_pool:
            return conv3x3_relu_pool(x, kernel, bias)
        convolve = upsample_conv3x3 if self.upsample else strided_conv3x3 if self.stride == 2 else conv3x3
        return convolve(x, kernel) + bias


class Conv5x5(nn.Module):
    """A biased 5x5 convolution of whole neighbourhoods with the parameters of `nn.Conv`, relu and 2x2 max pooling."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", nn.initializers.glorot_uniform(), (5, 5, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        return conv5x5_relu_pool(x, kernel, bias)
