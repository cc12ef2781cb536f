"""Muon (Jordan 2024): momentum of a kernel, as a matrix, whose singular values are all made about 1."""

import math

import jax
import jax.numpy as jnp
import optax

_MOMENTUM = 0.95
_ITERATIONS = 5
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Jordan's: five iterations take any singular value above 0.01 to 0.7 to 1.2
_ADAMS_RMS = 0.2  # of its updates, in learning rates, as a rule


def orthogonalise(matrix: jax.Array) -> jax.Array:
    """U V^T of a matrix's U S V^T, roughly: Newton and Schulz's iteration, (n, m) -> (n, m).

    An iteration is X <- (a + b A + c A^2) X with A = X X^T, so all of them together are a polynomial of the first A
    before the first X. It is summed up in the smaller of both dimensions, and X is multiplied once.
    """
    rows, columns = matrix.shape
    if rows > columns:
        return orthogonalise(matrix.T).T
    x = matrix / (jnp.linalg.norm(matrix) + 1e-7)
    # An accelerator may round products to 10 bits; a value of A that falls below 0 by that would grow without bound.
    with jax.default_matmul_precision("highest"):
        a, product = x @ x.T, jnp.eye(rows)
        for _ in range(_ITERATIONS):
            factor = _COEFFICIENTS[0] * jnp.eye(rows) + _COEFFICIENTS[1] * a + _COEFFICIENTS[2] * (a @ a)
            product, a = factor @ product, factor @ factor @ a
        return product @ x


def _direct(update: jax.Array) -> jax.Array:
    """Where a kernel (..., outputs) goes, as far as Adam would take it (Liu et al. 2025, arXiv 2502.16982)."""
    matrix = update.reshape(-1, update.shape[-1])
    return _ADAMS_RMS * math.sqrt(max(matrix.shape)) * orthogonalise(matrix).reshape(update.shape)


def is_matrix(leaf: jax.Array) -> bool:
    """Whether a parameter is a kernel between channels. Depthwise filters and biases, of one channel each, are not."""
    return leaf.ndim > 1 and leaf.shape[-2] > 1


def make_muon(
    rate: optax.Schedule, *, weight_decay: float, beside: optax.GradientTransformation
) -> optax.GradientTransformation:
    """Muon for a network's matrices.

    Args:
      rate: how far they go at each step, in the learning rates of Adam.
      weight_decay: of matrices, times the rate.
      beside: the optimiser of what is no matrix.
    """
    matrices = optax.chain(
        optax.trace(_MOMENTUM, nesterov=True),
        optax.stateless(lambda updates, params: jax.tree.map(_direct, updates)),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(rate),
    )
    return optax.partition(
        {"matrix": matrices, "beside": beside},
        lambda params: jax.tree.map(lambda leaf: "matrix" if is_matrix(leaf) else "beside", params),
    )
