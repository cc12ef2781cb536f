"""The vanilla objective against values worked out by hand."""

import jax
import numpy as np
import pytest

from bginv_jax.methods.vanilla import make_vanilla
from tests.methods.toys import SQUARES, F, X, batch, noted, objective, weights


def test_it_is_the_mean_loss_of_f():
    method = make_vanilla(F, SQUARES)
    loss, metrics = objective(method, weights(f=2), batch(), ("f",))
    assert loss == pytest.approx((0.2**2 + 0.4**2) / 2)
    assert metrics["loss"] == loss
    assert metrics["above"] == 0
    np.testing.assert_allclose(method.predict(weights(f=2), X), [0.8, 1.6], rtol=1e-6)
    assert not method.composes(("f",))


def test_f_is_applied_as_in_training_and_what_it_has_become_comes_back():
    seen = []
    method = make_vanilla(noted(F, seen, "f"), SQUARES)
    networks = method.init(jax.random.key(0))
    _, (_, changed) = method.objective(jax.random.split(jax.random.key(3), 2), networks, batch(), ("f",))
    assert changed["f"]["times"] == 1
    assert [(name, train, key is not None) for name, train, key in seen] == [("f", True, True)]
    method.predict(networks, X)
    assert seen[1] == ("f", False, None)
