"""Any network as pure functions of its variables: plain ones, and Flax modules with statistics and dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from bginv_jax.networks.contract import block_count, flax_network, padded_size, stateless


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (28, 28, 32),
        (32, 32, 32),
        (12, 10, 16),
        (64, 64, 64),
        (96, 96, 96),
        (100, 80, 112),
        (8, 8, 16),
        (129, 3, 160),
    ],
)
def test_padded_size_can_be_halved(height, width, size):
    assert padded_size(height, width) == size
    assert size % 2 ** block_count(size) == 0


def test_a_pair_of_functions_is_the_same_in_training():
    network = stateless(lambda key: jnp.float32(2), lambda w, x: w * x)
    variables = network.init(jax.random.key(0))
    assert variables == {"params": 2}
    for options in ({}, {"train": True, "key": jax.random.key(1)}):
        outputs, after = network.apply(variables, jnp.array([1.0, 3.0]), **options)
        assert outputs.tolist() == [2, 6]
        assert after is variables


class Normalised(nn.Module):
    """Batch normalisation, then dropout of half."""

    @nn.compact
    def __call__(self, x, *, train):
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        return nn.Dropout(0.5, deterministic=not train)(x)


def test_running_averages_move_in_training_alone():
    network = flax_network(Normalised(), (2,))
    variables = network.init(jax.random.key(0))
    x = jnp.array([[1.0, 5.0], [3.0, 5.0]])
    outputs, after = network.apply(variables, x)
    assert after is variables
    np.testing.assert_allclose(outputs, x, rtol=1e-4)  # a mean of 0 and a variance of 1 to begin with
    outputs, after = network.apply(variables, x, train=True, key=jax.random.key(3))
    np.testing.assert_allclose(after["batch_stats"]["BatchNorm_0"]["mean"], [0.2, 0.5], rtol=1e-6)
    np.testing.assert_allclose(after["batch_stats"]["BatchNorm_0"]["var"], [0.9 + 0.1, 0.9], rtol=1e-6)
    assert after["params"] is variables["params"]
    np.testing.assert_allclose(jnp.abs(outputs[:, 0][outputs[:, 0] != 0]), 2, rtol=1e-3)  # 1, kept with a half


def test_the_key_decides_what_is_dropped():
    network = flax_network(Normalised(), (64,))
    variables, x = network.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (4, 64))
    drop = jax.jit(lambda key: network.apply(variables, x, train=True, key=key)[0] == 0)
    first, same, other = (drop(jax.random.key(seed)) for seed in (3, 3, 4))
    assert (first == same).all()
    assert (first != other).any()
    assert 0.3 < first.mean() < 0.7


class Pair(nn.Module):
    """Two inputs, and no word of training."""

    @nn.compact
    def __call__(self, first, second):
        return nn.Dense(1, use_bias=False, kernel_init=nn.initializers.ones)(jnp.concatenate([first, second], axis=-1))


def test_a_module_of_two_inputs_takes_a_pair():
    network = flax_network(Pair(), (2,), (1,))
    variables = network.init(jax.random.key(0))
    outputs, after = network.apply(variables, (jnp.ones((3, 2)), 4 * jnp.ones((3, 1))), train=True)
    assert outputs.tolist() == [[6.0]] * 3
    assert after is variables


def test_a_module_without_parameters_has_none():
    assert flax_network(nn.Dropout(0.0, deterministic=True), (2,)).init(jax.random.key(0)) == {"params": {}}
