"""Products of patches equal their plain form, in values and in every gradient."""

import functools

import jax
import numpy as np
import pytest

from bginv_jax.networks import products


@pytest.mark.parametrize(
    ("side", "stride", "margins"), [(7, 2, (3, 3)), (3, 2, (0, 1)), (5, 2, (1, 2)), (3, 1, (1, 1))]
)
@pytest.mark.parametrize("size", [8, 9])
def test_a_product_of_patches_equals_its_plain_form(side, stride, margins, size):
    random = np.random.default_rng(0)
    x = random.standard_normal((2, size, size, 3), np.float32)
    kernel = random.standard_normal((side, side, 3, 4), np.float32)

    def both(function):
        convolve = functools.partial(function, stride=stride, margins=margins)
        squares = jax.grad(lambda x, kernel: (convolve(x, kernel) ** 2).sum(), argnums=(0, 1))
        return jax.jit(lambda x, kernel: (convolve(x, kernel), squares(x, kernel)))(x, kernel)

    results = map(both, (products.conv_patches, products.conv_patches_plain))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3), *results)


def test_a_1x1_convolution_is_a_matrix_product_of_each_pixel():
    random = np.random.default_rng(0)
    x, kernel = random.standard_normal((2, 3, 4, 5), np.float32), random.standard_normal((5, 6), np.float32)
    np.testing.assert_allclose(products.conv1x1(x, kernel), np.einsum("nhwi,io->nhwo", x, kernel), rtol=1e-4, atol=1e-5)
