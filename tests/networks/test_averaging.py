"""A network of one number that predicts with the average of its weights."""

import jax
import jax.numpy as jnp
import pytest

from bginv_jax.networks.averaging import AVERAGE, averaged, predicting, restarted
from bginv_jax.networks.contract import Network, stateless

NETWORK = averaged(stateless(lambda key: jnp.float32(2.0), lambda weight, x: weight * x), 0.75)


def _average(weights, steps):
    return {"weights": weights, "steps": steps}


def test_the_average_starts_at_the_weights_and_follows_them_in_training_alone():
    variables = NETWORK.init(jax.random.key(0))
    assert variables == {"params": 2.0, AVERAGE: _average(2.0, 0)}
    variables = {"params": jnp.float32(6.0), AVERAGE: _average(jnp.float32(2.0), jnp.float32(98))}
    outputs, changed = NETWORK.apply(variables, 10.0, train=True)
    assert outputs == 60.0
    assert changed == {"params": 6.0, AVERAGE: _average(3.0, 99)}
    outputs, same = NETWORK.apply(changed, 10.0)
    assert outputs == 30.0
    assert same == changed


def test_in_the_beginning_it_reaches_back_over_a_tenth_of_the_steps():
    variables = {"params": jnp.float32(12.0), AVERAGE: _average(jnp.float32(2.0), jnp.float32(0))}
    for expected in (11.0, 12 - 2 / 11, 12 - 3 / 66):
        _, variables = NETWORK.apply(variables, 10.0, train=True)
        assert variables[AVERAGE]["weights"] == pytest.approx(expected)


def test_the_weights_learn_as_without_an_average():
    variables = NETWORK.init(jax.random.key(0))
    slope = jax.grad(lambda weight: NETWORK.apply({**variables, "params": weight}, 10.0, train=True)[0])(jnp.float32(6))
    assert slope == 10.0


def test_other_variables_pass_through():
    def apply(variables, x, *, train=False, key=None):
        assert AVERAGE not in variables
        return variables["params"] + variables["count"], {**variables, "count": variables["count"] + train}

    network = averaged(Network(lambda key: {"params": 1.0, "count": 0}, apply), 0.5)
    variables = {"params": 3.0, "count": 0, AVERAGE: _average(1.0, 98)}
    assert network.apply(variables, 0, train=True) == (3.0, {"params": 3.0, "count": 1, AVERAGE: _average(2.0, 99)})
    assert network.apply(variables, 0)[0] == 1.0


def test_predicting_and_restarted():
    assert predicting({"params": 1}) == {"params": 1}
    assert predicting({"params": 1, AVERAGE: _average(2, 5), "batch_stats": 3}) == {"params": 2, "batch_stats": 3}
    assert restarted({"params": 1, AVERAGE: _average(2, 5)}) == {"params": 1, AVERAGE: _average(1, 0)}
