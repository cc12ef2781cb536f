"""The state of a run, and how each network's optimiser moves it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.methods.schedule import make_phases
from bginv_jax.training.state import init_state, make_optimizers, split_seeds, stack_seeds

PHASES = make_phases(("f:3", "f_m:3", "f+f_b:3"), 9)
RATES = {"f": 1e-3, "f_m": 1e-3, "f_b": 1e-3}


def _update(optimizer, gradient, param):
    return optimizer.update(jnp.float32(gradient), optimizer.init(jnp.float32(param)), jnp.float32(param))[0]


def test_the_sign_of_f_b_is_changed_at_the_end_of_its_optimiser():
    optimizers = make_optimizers(PHASES, RATES)
    for name, sign in (("f", -1), ("f_m", -1), ("f_b", 1)):
        assert _update(optimizers[name], 7, 0) == pytest.approx(sign * 1e-3, rel=1e-4)  # Adam's first step is its rate


def test_only_the_weights_of_f_decay():
    optimizers = make_optimizers(PHASES, RATES, weight_decay=0.1)
    for name, expected in (("f", -1e-3 * 0.1 * 5), ("f_m", 0), ("f_b", 0)):
        assert _update(optimizers[name], 0, 5) == pytest.approx(expected, rel=1e-4, abs=1e-9)


def test_each_network_has_its_own_rate():
    optimizers = make_optimizers(PHASES, {"f": 0.5, "mine": 0.25})
    assert _update(optimizers["f"], 1, 0) == pytest.approx(-0.5, rel=1e-4)
    assert _update(optimizers["mine"], 1, 0) == pytest.approx(-0.25, rel=1e-4)


def _init(key):
    return {
        "f": {"params": {"w": jax.random.normal(key, (3,))}, "batch_stats": {"mean": jnp.zeros(2)}},
        "g": {"params": {}},
    }


def test_params_and_statistics_are_kept_apart_and_put_together():
    state = init_state(4, _init, make_optimizers((), {"f": 1e-3, "g": 1e-3}))
    assert state.params.keys() == state.opt_state.keys() == state.statistics.keys() == {"f", "g"}
    assert state.statistics["f"].keys() == {"batch_stats"}
    assert state.statistics["g"] == {}
    assert state.networks()["f"].keys() == {"params", "batch_stats"}
    other = state.networks({"f": {"w": jnp.ones(3)}})
    assert other["f"]["params"]["w"].tolist() == [1, 1, 1]
    assert other["f"]["batch_stats"] is state.statistics["f"]["batch_stats"]


def test_seeds_are_stacked_and_split_again():
    states = [init_state(seed, _init, make_optimizers((), {"f": 1e-3, "g": 1e-3})) for seed in (1, 2)]
    stacked = stack_seeds(states)
    assert stacked.step.shape == ()
    assert stacked.key.shape == (2,)
    for state, networks in zip(states, split_seeds(stacked.networks(), 2), strict=True):
        np.testing.assert_array_equal(networks["f"]["params"]["w"], state.params["f"]["w"])
    assert (states[0].params["f"]["w"] != states[1].params["f"]["w"]).any()
