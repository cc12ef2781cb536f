"""Each fast form equals its plain form, in values and in every gradient, also inside a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.networks import layers, products

PAIRS = {
    "conv3x3": (layers.conv3x3, layers.conv3x3_plain),
    "strided_conv3x3": (products.strided_conv3x3, products.strided_conv3x3_plain),
    "upsample_conv3x3": (layers.upsample_conv3x3, layers.upsample_conv3x3_plain),
}
POOLED = (layers.conv3x3_relu_pool, layers.conv3x3_relu_pool_plain)
POOLED_5X5 = (layers.conv5x5_relu_pool, layers.conv5x5_relu_pool_plain)
# What f, f_m and f_b convolve at 32x32, for one and three channels, and odd sizes.
SHAPES = [
    (2, 32, 32, 1, 32),
    (2, 32, 32, 3, 32),
    (2, 16, 16, 32, 64),
    (2, 8, 8, 64, 128),
    (2, 4, 4, 1, 128),
    (2, 4, 4, 128, 128),
    (2, 4, 4, 128, 64),
    (2, 8, 8, 64, 32),
    (2, 8, 8, 256, 64),
    (2, 16, 16, 128, 32),
    (3, 7, 5, 2, 3),
    (1, 1, 1, 4, 2),
    (2, 9, 3, 5, 7),
]


def _normal(seed, *shape, dtype=np.float32):
    """Drawn without JAX, which would compile for each shape."""
    return np.random.default_rng(seed).standard_normal(shape, dtype)


def _values_and_gradients(function, *arguments):
    """As one program: operation by operation there are a hundred to compile."""
    outputs = jax.eval_shape(function, *arguments)

    @jax.jit
    def both(direction, *arguments):
        outputs, pull = jax.vjp(function, *arguments)
        return [outputs, *pull(direction)]

    return [np.asarray(array) for array in both(_normal(9, *outputs.shape, dtype=outputs.dtype), *arguments)]


def _relative(a, b):
    return float(np.abs(a - b).max() / np.abs(b).max())


def _largest_error(pair, *arguments):
    fast, plain = (_values_and_gradients(function, *arguments) for function in pair)
    return max(_relative(a, b) for a, b in zip(fast, plain, strict=True))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", PAIRS)
def test_convolutions_equal_their_plain_form(name, shape):
    n, height, width, inputs, outputs = shape
    x = _normal(0, n, height, width, inputs)
    kernel = _normal(1, 3, 3, inputs, outputs)
    assert _largest_error(PAIRS[name], x, kernel) < 1e-5


@pytest.mark.parametrize("name", PAIRS)
def test_convolutions_equal_their_plain_form_in_float64(name):
    with jax.enable_x64(True):
        x = _normal(0, 2, 5, 6, 3, dtype=np.float64)
        kernel = _normal(1, 3, 3, 3, 4, dtype=np.float64)
        assert jnp.asarray(x).dtype == jnp.float64
        assert _largest_error(PAIRS[name], x, kernel) < 1e-12


@pytest.mark.parametrize(
    "shape", [s for s in SHAPES if s[1] % 2 == s[2] % 2 == 0] + [(3, 6, 10, 5, 7), (2, 2, 4, 3, 1)]
)
def test_pooled_convolution_equals_its_plain_form(shape):
    n, height, width, inputs, outputs = shape
    arrays = (
        _normal(0, n, height, width, inputs),
        _normal(1, 3, 3, inputs, outputs),
        _normal(2, outputs),
    )
    assert _largest_error(POOLED, *arrays) < 1e-5


@pytest.mark.parametrize("shape", [(2, 32, 32, 3, 64), (2, 14, 14, 64, 128), (3, 6, 10, 5, 7), (1, 16, 6, 1, 2)])
def test_pooled_5x5_convolution_equals_its_plain_form(shape):
    n, height, width, inputs, outputs = shape
    arrays = (
        _normal(0, n, height, width, inputs),
        _normal(1, 5, 5, inputs, outputs),
        _normal(2, outputs),
    )
    assert jax.eval_shape(layers.conv5x5_relu_pool, *arrays).shape == (n, height // 2 - 2, width // 2 - 2, outputs)
    assert _largest_error(POOLED_5X5, *arrays) < 1e-5


POOLED_SIDES = [(POOLED, 3), (POOLED_5X5, 5)]


@pytest.mark.parametrize("inputs", [1, 4])
@pytest.mark.parametrize(("pair", "side"), POOLED_SIDES)
def test_pooled_convolution_equals_its_plain_form_in_float64(pair, side, inputs):
    with jax.enable_x64(True):
        x = _normal(0, 2, 6, 8, inputs, dtype=np.float64)
        kernel = _normal(1, side, side, inputs, 4, dtype=np.float64)
        assert _largest_error(pair, x, kernel, jnp.linspace(-1.0, 1.0, 4, dtype=jnp.float64)) < 1e-12


@pytest.mark.parametrize("inputs", [1, 4])
@pytest.mark.parametrize(("pair", "side"), POOLED_SIDES)
def test_pooled_convolution_gives_a_tie_to_the_first_pixel_and_nothing_below_zero(pair, side, inputs):
    """As reduce-window does: where the image is black all four are the bias."""
    x, kernel = jnp.zeros((1, 6, 6, inputs)), jnp.ones((side, side, inputs, 3))
    pairs = [_values_and_gradients(form, x, kernel, jnp.array([1.0, 0.0, -1.0])) for form in pair]
    for fast, plain in zip(*pairs, strict=True):
        np.testing.assert_allclose(fast, plain, rtol=1e-6)
    np.testing.assert_array_equal(pairs[0][3] != 0, [True, False, False])  # the bias's gradient


@pytest.mark.parametrize("function", [layers.conv3x3, layers.upsample_conv3x3])
def test_gradients_are_the_same_in_a_loop(function):
    x, kernel = jnp.asarray(_normal(0, 3, 2, 8, 8, 16)), _normal(1, 3, 3, 16, 8)
    gradient = jax.jit(jax.grad(lambda kernel, x: (function(x, kernel) ** 2).mean()))
    looped = jax.lax.fori_loop(0, 3, lambda i, total: total + gradient(kernel, x[i]), jnp.zeros_like(kernel))
    apart = sum(np.asarray(gradient(kernel, one)) for one in x)
    assert _relative(looped, apart) < 1e-5


def test_gradients_of_the_pooled_5x5_convolution_are_the_same_in_a_loop():
    x = jnp.asarray(_normal(0, 3, 2, 14, 14, 64))
    kernel, bias = _normal(1, 5, 5, 64, 16), jnp.linspace(-1.0, 1.0, 16)
    fast, plain = (
        jax.jit(jax.grad(lambda x, kernel, bias, form=form: (form(x, kernel, bias) ** 2).mean(), argnums=(0, 1, 2)))
        for form in POOLED_5X5
    )
    zeros = jax.tree.map(jnp.zeros_like, (x[0], kernel, bias))
    looped = jax.lax.fori_loop(0, 3, lambda i, total: jax.tree.map(jnp.add, total, fast(x[i], kernel, bias)), zeros)
    apart = [sum(map(np.asarray, parts)) for parts in zip(*(plain(one, kernel, bias) for one in x), strict=True)]
    assert all(_relative(a, b) < 1e-5 for a, b in zip(looped, apart, strict=True))


@pytest.mark.parametrize("shape", [(2, 32, 32, 3), (3, 6, 10, 5), (1, 2, 2, 1)])
def test_max_pool_equals_its_plain_form(shape):
    x = _normal(0, *shape)
    assert _largest_error((layers.max_pool2x2, layers.max_pool2x2_plain), x) == 0


def test_max_pool_shares_the_gradient_of_a_tie():
    gradient = jax.jit(jax.grad(lambda x: layers.max_pool2x2(x).sum()))(jnp.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(gradient.ravel(), [0.25] * 4)


def test_conv_module_has_the_parameters_of_a_plain_convolution():
    def shapes(module, x):
        outputs, variables = jax.eval_shape(lambda: module.init_with_output(jax.random.key(0), x))
        return outputs.shape, jax.tree.map(jnp.shape, variables["params"])

    for upsample, side in ((False, 4), (True, 8)):
        module = layers.Conv3x3(7, upsample=upsample)
        assert shapes(module, jnp.ones((1, 4, 4, 5))) == ((1, side, side, 7), {"kernel": (3, 3, 5, 7), "bias": (7,)})
    _, params = shapes(layers.Conv5x5(7), jnp.ones((1, 6, 6, 5)))
    assert params == {"kernel": (5, 5, 5, 7), "bias": (7,)}


@pytest.mark.parametrize("size", [8, 9, 1])
def test_max_pool_of_3x3_equals_its_plain_form(size):
    x = jax.random.uniform(jax.random.key(0), (2, size, size, 3))
    assert _largest_error((layers.max_pool3x3, layers.max_pool3x3_plain), x) < 1e-6
