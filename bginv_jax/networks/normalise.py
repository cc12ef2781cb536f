"""Batch normalisation with the variables of `nn.BatchNorm`, in the form that runs fastest on a CPU.

Arrays are NHWC. A sum over all but the channels is, as the compiler writes it for a CPU, a loop over single numbers;
here rows are added as whole vectors first. Accelerators have a reduction of their own.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

_ROWS_TOGETHER = 16  # whose products are added in registers before the sum is stored


def rows_together(rows: int) -> int:
    """How many of so many rows are added at a time: the most, up to a limit, that divides them."""
    return next(count for count in range(_ROWS_TOGETHER, 0, -1) if rows % count == 0)


def channel_sums_plain(x: jax.Array, y: jax.Array) -> jax.Array:
    """The sum of x * y over all axes but the last: (N, H, W, C), (N, H, W, C) -> (C,)."""
    return (x * y).sum(axis=(0, 1, 2))


def channel_sums(x: jax.Array, y: jax.Array) -> jax.Array:
    """Equals `channel_sums_plain`; not for differentiating."""
    return lax.platform_dependent(x, y, cpu=_sums_of_rows, default=channel_sums_plain)


def _sums_of_rows(x, y):
    rows, columns, channels = x.shape[0] * x.shape[1], x.shape[2], x.shape[3]
    together = rows_together(rows)

    def add(sums, arrays):
        a, b = arrays
        return sums + functools.reduce(jnp.add, [a[m] * b[m] for m in range(together)]), None

    groups = [array.reshape(-1, together, columns, channels) for array in (x, y)]
    return lax.scan(add, jnp.zeros((columns, channels), x.dtype), tuple(groups))[0].sum(axis=0)


@jax.custom_vjp
def scale_and_shift(x: jax.Array, scale: jax.Array, shift: jax.Array) -> jax.Array:
    """x (N, H, W, C) * scale (C,) + shift (C,), whose gradients for scale and shift are `channel_sums`."""
    return x * scale + shift


def _scaled(x, scale, shift):
    return scale_and_shift(x, scale, shift), (x, scale)


def _scaled_backward(saved, gradient):
    x, scale = saved
    return gradient * scale, channel_sums(gradient, x), channel_sums(gradient, jnp.ones_like(gradient))


scale_and_shift.defvjp(_scaled, _scaled_backward)


@jax.custom_vjp
def moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The mean and the biased variance of each channel of x (N, H, W, C): (C,), (C,)."""
    count = x.size // x.shape[-1]
    mean = channel_sums(x, jnp.ones_like(x)) / count
    centred = x - mean
    return mean, channel_sums(centred, centred) / count


def _moments(x):
    mean, variance = moments(x)
    return (mean, variance), (x, mean)


def _moments_backward(saved, gradients):
    x, mean = saved
    of_mean, of_variance = gradients
    count = x.size // x.shape[-1]
    return ((of_mean - 2 * mean * of_variance) / count + x * (2 * of_variance / count),)


moments.defvjp(_moments, _moments_backward)


class BatchNorm(nn.Module):
    """Equals `nn.BatchNorm`: in training by the moments of the batch, else by running averages."""

    epsilon: float
    momentum: float
    scale_init: nn.initializers.Initializer = nn.initializers.ones_init()

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        shape = x.shape[-1:]
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        running_variance = self.variable("batch_stats", "var", jnp.ones, shape)
        scale = self.param("scale", self.scale_init, shape)
        bias = self.param("bias", nn.initializers.zeros_init(), shape)
        mean, variance = running_mean.value, running_variance.value
        if train and not self.is_initializing():
            mean, variance = moments(x)
            running_mean.value = self.momentum * running_mean.value + (1 - self.momentum) * mean
            running_variance.value = self.momentum * running_variance.value + (1 - self.momentum) * variance
        scale = scale * lax.rsqrt(variance + self.epsilon)
        return scale_and_shift(x, scale, bias - mean * scale)
