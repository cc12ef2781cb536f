"""Muon: what it does to a matrix, what it leaves to Adam, and that it is what others call Muon."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib

from bginv_jax.training.muon import is_matrix, orthogonalise
from bginv_jax.training.state import make_optimizers

SHAPES = {
    "bias": (5,),
    "depthwise": (3, 3, 1, 5),
    "scalar": (),
    "dense": (40, 6),
    "wide": (6, 40),
    "conv": (3, 3, 8, 16),
}
MATRICES = ("dense", "wide", "conv")


def _gradient(seed=0):
    return {name: jax.random.normal(jax.random.key(seed + i), shape) for i, (name, shape) in enumerate(SHAPES.items())}


def _moves(optimizer, count=1, params=None):
    params = _gradient(9) if params is None else params
    state, moves = optimizer.init(params), []
    for seed in range(count):
        move, state = optimizer.update(_gradient(seed), state, params)
        moves.append(move)
    return moves


@pytest.mark.parametrize("shape", [(72, 16), (16, 72), (24, 24)])
def test_singular_values_become_alike_and_vectors_stay(shape):
    matrix = np.asarray(jax.random.normal(jax.random.key(0), shape), np.float64)
    u, values, v = np.linalg.svd(matrix, full_matrices=False)
    values = np.geomspace(1, 0.03, len(values))
    flat = np.asarray(orthogonalise(jnp.asarray((u * values) @ v, jnp.float32)))
    made = np.diag(u.T @ flat @ v.T)
    np.testing.assert_allclose(u.T @ flat @ v.T, np.diag(made), atol=1e-3)
    assert made.min() > 0.6
    assert made.max() < 1.3


def test_it_is_newtons_and_schulzs_iteration():
    matrix = jax.random.normal(jax.random.key(1), (12, 30))
    x = np.asarray(matrix, np.float64)
    x /= np.linalg.norm(x)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
    np.testing.assert_allclose(orthogonalise(matrix), x, atol=1e-4)
    np.testing.assert_allclose(orthogonalise(matrix.T), x.T, atol=1e-4)


def test_a_matrix_of_zeros_stays_and_one_of_rank_one_is_no_trouble():
    np.testing.assert_array_equal(orthogonalise(jnp.zeros((4, 9))), 0)
    thin = np.asarray(orthogonalise(jnp.outer(jnp.arange(4.0), jnp.ones(9))))
    values = np.linalg.svd(thin, compute_uv=False)
    assert 0.6 < values[0] < 1.3
    assert values[1] < 0.05


def test_the_first_step_is_that_of_optax_and_what_is_no_matrix_follows_adam():
    """Later ones differ by its momentum's correction, which the first has not."""

    def axes(params):
        return jax.tree.map(
            lambda leaf: (
                contrib.MuonDimensionNumbers(tuple(range(leaf.ndim - 1)), leaf.ndim - 1) if is_matrix(leaf) else None
            ),
            params,
        )

    (ours,) = _moves(make_optimizers((), {"f": 0.5}, muon=("f",))["f"])
    (theirs,) = _moves(contrib.muon(0.5, consistent_rms=0.2, muon_weight_dimension_numbers=axes))
    (adam,) = _moves(optax.adam(0.5))
    for name in SHAPES:
        expected, tolerance = (theirs, 1e-3) if name in MATRICES else (adam, 1e-6)
        np.testing.assert_allclose(ours[name], expected[name], rtol=1e-4, atol=tolerance, err_msg=name)


def test_matrices_have_nesterovs_momentum():
    second = _moves(make_optimizers((), {"f": 0.5}, muon=("f",))["f"], count=2)[1]
    one, two = _gradient(0)["dense"], _gradient(1)["dense"]
    direction = two + 0.95 * (two + 0.95 * one)
    np.testing.assert_allclose(second["dense"], -0.5 * 0.2 * 40**0.5 * orthogonalise(direction), atol=1e-4)


@pytest.mark.parametrize("name", ["bias", "depthwise", "dense", "conv"])
def test_weights_of_f_decay_as_beside_adam(name):
    params = jax.tree.map(lambda leaf: jnp.full_like(leaf, 5.0), _gradient())
    moves = [_moves(make_optimizers((), {"f": 0.5}, muon=("f",), weight_decay=d)["f"], 1, params)[0] for d in (0, 0.1)]
    np.testing.assert_allclose(moves[1][name] - moves[0][name], -0.5 * 0.1 * 5, rtol=1e-3)


def test_what_is_frozen_stays():
    (move,) = _moves(make_optimizers((), {"f": 0.5}, muon=("f",), weight_decay=0.1, frozen=("dense", "bias"))["f"])
    for name in SHAPES:
        assert np.any(move[name]) != (name in ("dense", "bias"))


def test_f_b_ascends_by_it_too():
    down, up = (_moves(make_optimizers((), {name: 0.5}, muon=(name,))[name])[0] for name in ("f", "f_b"))
    for name in SHAPES:
        np.testing.assert_array_equal(down[name], -up[name])
