"""Each fast form equals its plain form, in values and in both gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax import layers

PAIRS = {
    "conv3x3": (layers.conv3x3, layers.conv3x3_plain),
    "upsample_conv3x3": (layers.upsample_conv3x3, layers.upsample_conv3x3_plain),
}
# What f, f_m and f_b convolve at 32x32, for one and three channels, and odd sizes.
SHAPES = [(2, 32, 32, 1, 32), (2, 32, 32, 3, 32), (2, 16, 16, 32, 64), (2, 8, 8, 64, 128), (2, 4, 4, 1, 128),
          (2, 4, 4, 128, 128), (2, 8, 8, 256, 64), (2, 16, 16, 128, 32), (3, 7, 5, 2, 3), (1, 1, 1, 4, 2)]  # fmt: skip


def _values_and_gradients(function, *arguments):
    outputs, pull = jax.vjp(function, *arguments)
    direction = jax.random.normal(jax.random.key(9), outputs.shape, outputs.dtype)
    return [outputs, *pull(direction)]


def _largest_error(pair, *arguments):
    fast, plain = (_values_and_gradients(function, *arguments) for function in pair)
    return max(float(jnp.abs(a - b).max() / jnp.abs(b).max()) for a, b in zip(fast, plain, strict=True))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", PAIRS)
def test_convolutions_equal_their_plain_form(name, shape):
    n, height, width, inputs, outputs = shape
    x = jax.random.normal(jax.random.key(0), (n, height, width, inputs))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, inputs, outputs))
    assert _largest_error(PAIRS[name], x, kernel) < 1e-5


@pytest.mark.parametrize("name", PAIRS)
def test_convolutions_equal_their_plain_form_in_float64(name):
    with jax.enable_x64(True):
        x = jax.random.normal(jax.random.key(0), (2, 5, 6, 3), jnp.float64)
        kernel = jax.random.normal(jax.random.key(1), (3, 3, 3, 4), jnp.float64)
        assert x.dtype == jnp.float64
        assert _largest_error(PAIRS[name], x, kernel) < 1e-12


@pytest.mark.parametrize("shape", [(2, 32, 32, 3), (3, 6, 10, 5), (1, 2, 2, 1)])
def test_max_pool_equals_its_plain_form(shape):
    x = jax.random.normal(jax.random.key(0), shape)
    assert _largest_error((layers.max_pool2x2, layers.max_pool2x2_plain), x) == 0


def test_max_pool_shares_the_gradient_of_a_tie():
    gradient = jax.grad(lambda x: layers.max_pool2x2(x).sum())(jnp.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(gradient.ravel(), [0.25] * 4)


def test_conv_module_has_the_parameters_of_a_plain_convolution():
    x = jnp.ones((1, 4, 4, 5))
    for upsample, side in ((False, 4), (True, 8)):
        module = layers.Conv3x3(7, upsample=upsample)
        variables = module.init(jax.random.key(0), x)
        shapes = jax.tree.map(jnp.shape, variables["params"])
        assert shapes == {"kernel": (3, 3, 5, 7), "bias": (7,)}
        assert module.apply(variables, x).shape == (1, side, side, 7)
