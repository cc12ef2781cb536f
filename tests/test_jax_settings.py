"""JAX computes the same, whatever the program around the package has set."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.jax_settings import own_settings


@own_settings()
def _draw():
    numbers = jax.random.normal(jax.random.key(3), (2, 3)) + np.float64(1) + jnp.arange(3)
    return np.asarray(jax.jit(lambda x: 2 * x)(np.asarray(numbers)))


@pytest.mark.parametrize(
    "setting",
    [
        lambda: jax.enable_x64(True),
        lambda: jax.numpy_dtype_promotion("strict"),
        lambda: jax.numpy_rank_promotion("raise"),
        lambda: jax.default_prng_impl("rbg"),
        lambda: jax.threefry_partitionable(False),
        lambda: jax.transfer_guard("disallow"),
    ],
)
def test_settings_around_change_nothing(setting):
    expected = _draw()
    with setting():
        drawn = _draw()
    assert drawn.dtype == np.float32
    np.testing.assert_array_equal(drawn, expected)
