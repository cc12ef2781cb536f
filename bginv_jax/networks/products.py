"""Convolutions as one matrix product of patches, each beside the plain form that it must equal: for few channels.

Arrays are NHWC, kernels HWIO. The gradients are matrix products, too.
"""

import jax
import jax.numpy as jnp
from jax import lax


def take_patches(x: jax.Array, side: int, stride: int) -> jax.Array:
    """Neighbourhoods of side^2 pixels, from one above and left: (N, H, W, C) -> (N, H/stride, W/stride, side^2 C)."""
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return shifted(padded, side, stride, *x.shape[1:3])


def shifted(x: jax.Array, side: int, stride: int, height: int, width: int) -> jax.Array:
    """Every stride-th pixel of height x width beside its neighbours to the right and below, side^2 in all."""
    copies = [x[:, i : i + height : stride, j : j + width : stride] for i in range(side) for j in range(side)]
    return jnp.concatenate(copies, axis=-1)


@jax.custom_vjp
def matmul(x, kernel):
    """x (..., I) @ kernel (I, O). Derived, the kernel's gradient would come transposed, with a copy to turn it."""
    return x @ kernel


def _matmul_backward(saved, gradient):
    x, kernel = saved
    kernel_gradient = x.reshape(-1, x.shape[-1]).T @ gradient.reshape(-1, gradient.shape[-1])
    return gradient @ kernel.T, kernel_gradient


matmul.defvjp(lambda x, kernel: (matmul(x, kernel), (x, kernel)), _matmul_backward)


def conv1x1(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """What each pixel of x (N, H, W, I) becomes by kernel (I, O): a matrix product."""
    return matmul(x, kernel)


def conv_patches_plain(x: jax.Array, kernel: jax.Array, *, stride: int, margins: tuple[int, int]) -> jax.Array:
    """Convolution of square x (N, S, S, I) with kernel (side, side, I, O) and zeros around it.

    margins: how many before and after, along both axes.
    """
    dimensions = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (stride, stride), (margins, margins), dimension_numbers=dimensions)


def conv_patches(x: jax.Array, kernel: jax.Array, *, stride: int, margins: tuple[int, int]) -> jax.Array:
    """Equals `conv_patches_plain` as one matrix product of patches, which take side^2 the memory: for few channels."""
    side = len(kernel)
    size = (x.shape[1] + sum(margins) - side) // stride + 1
    padded = jnp.pad(x, ((0, 0), margins, margins, (0, 0)))
    patches = shifted(padded, side, stride, stride * (size - 1) + 1, stride * (size - 1) + 1)
    return matmul(patches, kernel.reshape(-1, kernel.shape[-1]))


def strided_conv3x3_plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Stride-2 convolution of x (N, H, W, I) with kernel (3, 3, I, O), a zero on each side -> (N, H/2, W/2, O)."""
    margin = ((1, 1), (1, 1))
    return lax.conv_general_dilated(x, kernel, (2, 2), margin, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def strided_conv3x3(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Equals `strided_conv3x3_plain` as one matrix product of patches, whose gradients are matrix products, too."""
    return matmul(take_patches(x, 3, 2), kernel.reshape(-1, kernel.shape[-1]))
