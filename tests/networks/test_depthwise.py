import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.networks.depthwise import DepthwiseConv, depthwise_conv, depthwise_conv_plain
from bginv_jax.networks.products import conv_patches_plain


@pytest.mark.parametrize(
    ("side", "stride", "size", "even"),
    [(3, 1, 7, True), (3, 2, 8, False), (3, 2, 7, True), (5, 1, 8, True), (5, 2, 8, False), (5, 2, 7, True)],
)
def test_fast_form_equals_the_plain_one_with_its_gradients(side, stride, size, even):
    half = side // 2
    margins = (half, half) if even else (half - 1, half)
    keys = jax.random.split(jax.random.key(side + stride + size), 3)
    x = jax.random.normal(keys[0], (3, size, size, 5))
    kernel = jax.random.normal(keys[1], (side, side, 1, 5))
    outputs, pull = jax.vjp(lambda *arrays: depthwise_conv(*arrays, stride, margins), x, kernel)
    expected, expected_pull = jax.vjp(lambda *arrays: depthwise_conv_plain(*arrays, stride, margins), x, kernel)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    gradient = jax.random.normal(keys[2], outputs.shape)
    for fast, plain in zip(pull(gradient), expected_pull(gradient), strict=True):
        np.testing.assert_allclose(fast, plain, atol=2e-5)


@pytest.mark.parametrize(("side", "stride", "margins"), [(3, 1, (1, 1)), (5, 2, (1, 2))])
def test_the_module_convolves_each_channel_by_itself(side, stride, margins):
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    module = DepthwiseConv(side, stride, margins)
    variables = module.init(jax.random.key(1), x)
    kernel = variables["params"]["kernel"]
    assert kernel.shape == (side, side, 1, 3)
    alone = [
        conv_patches_plain(x[..., i : i + 1], kernel[..., i : i + 1], stride=stride, margins=margins) for i in range(3)
    ]
    np.testing.assert_allclose(module.apply(variables, x), jnp.concatenate(alone, axis=-1), atol=1e-5)
