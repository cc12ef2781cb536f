"""How this package uses JAX, whatever the program around it has set: float32, and the same random numbers."""

import contextlib
from collections.abc import Iterator

import jax

from bginv_jax import forks


@contextlib.contextmanager
def own_settings() -> Iterator[None]:
    """A context, or a decorator of functions, in which JAX computes as everything here expects; of one thread.

    Raises:
      RuntimeError: after a fork, as `forks.refuse`.
    """
    forks.refuse()
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.default_prng_impl("threefry2x32"),
        jax.threefry_partitionable(True),
        jax.transfer_guard("allow"),
    ):
        yield
