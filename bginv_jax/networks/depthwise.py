"""Convolution of each channel by itself: the plain form, and the form that runs fastest on a CPU.

Arrays are NHWC, kernels (side, side, 1, C) as `nn.Conv` has them with a group for each channel. On a CPU the compiler
makes of this convolution a loop over single numbers, 10 to 40 times slower than sums of shifted images; accelerators
have a kernel of their own for it.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from bginv_jax.networks.normalise import rows_together


def depthwise_conv_plain(x: jax.Array, kernel: jax.Array, stride: int, margins: tuple[int, int]) -> jax.Array:
    """Convolution of each channel of x (N, S, S, C) with its own kernel -> (N, s, s, C).

    Args:
      x: square images.
      kernel: (side, side, 1, C).
      stride: of both axes.
      margins: how many zeros stand before and after, along both axes.
    """
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        (margins, margins),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise_conv(x: jax.Array, kernel: jax.Array, stride: int, margins: tuple[int, int]) -> jax.Array:
    """Equals `depthwise_conv_plain`."""
    plain = functools.partial(depthwise_conv_plain, stride=stride, margins=margins)
    shifted = functools.partial(_forward, stride=stride, margins=margins)
    return lax.platform_dependent(x, kernel, cpu=shifted, default=plain)


def _framed(x: jax.Array, before: int, after: int, spread: int = 1) -> jax.Array:
    """Images with so many zeros around, or rows and columns less where it is negative, and spread - 1 in between."""
    edge = (before, after, spread - 1)
    return lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), edge, edge, (0, 0, 0)))


def _forward(x, kernel, *, stride, margins):
    side = len(kernel)
    padded = _framed(x, *margins)
    reach = padded.shape[1] - side + 1  # how far the first row and column of a window go
    windows = (
        padded[:, i : i + reach : stride, j : j + reach : stride] * kernel[i, j, 0]
        for i in range(side)
        for j in range(side)
    )
    return functools.reduce(jnp.add, windows)


def _saved(x, kernel, stride, margins):
    return depthwise_conv(x, kernel, stride, margins), (x, kernel)


def _backward(stride, margins, saved, gradient):
    def plain(x, kernel, gradient):
        _, pull = jax.vjp(lambda *arrays: depthwise_conv_plain(*arrays, stride, margins), x, kernel)
        return pull(gradient)

    def shifted(x, kernel, gradient):
        side, size = len(kernel), x.shape[1]
        before = side - 1 - margins[0]
        spread = (gradient.shape[1] - 1) * stride + 1
        around = (before, size + side - 1 - before - spread)
        images = _forward(_framed(gradient, *around, stride), kernel[::-1, ::-1], stride=1, margins=(0, 0))
        return images, _kernel_gradient(x, gradient, side, stride, margins)

    return lax.platform_dependent(*saved, gradient, cpu=shifted, default=plain)


def _kernel_gradient(x, gradient, side, stride, margins):
    """The sum over images, rows and columns of the product of gradients and of what each kernel's number saw.

    Columns and channels stay apart until the end, so that the sums run over whole vectors.
    """
    rows, columns, channels = gradient.shape[0] * gradient.shape[1], gradient.shape[2], gradient.shape[3]
    together = rows_together(rows)
    padded = _framed(x, *margins)
    reach = padded.shape[1] - side + 1
    gradients = gradient.reshape(-1, together, columns, channels)

    def of_row(i):
        seen = lax.dynamic_slice_in_dim(padded, i, reach, axis=1)[:, ::stride]
        seen = seen.reshape(-1, together, *seen.shape[2:])

        def add(sums, arrays):
            some_seen, some_gradients = arrays
            products = [
                functools.reduce(
                    jnp.add,
                    [some_seen[m, j : j + reach : stride] * some_gradients[m] for m in range(together)],
                )
                for j in range(side)
            ]
            return sums + jnp.stack(products), None

        zeros = jnp.zeros((side, columns, channels), x.dtype)
        return lax.scan(add, zeros, (seen, gradients))[0].sum(axis=1)

    return lax.map(of_row, jnp.arange(side))[:, :, None]


depthwise_conv.defvjp(_saved, _backward)


class DepthwiseConv(nn.Module):
    """A convolution of each channel by itself, without bias: kernel (side, side, 1, C) as `nn.Conv` has it.

    margins: how many zeros stand before and after, along both axes.
    """

    side: int
    stride: int
    margins: tuple[int, int]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.side, self.side, 1, x.shape[-1])
        kernel = self.param("kernel", nn.initializers.variance_scaling(2.0, "fan_in", "normal"), shape)
        return depthwise_conv(x, kernel, self.stride, self.margins)
