"""Predictors in functions that JAX traces, and the pure function of no images."""

import jax
import numpy as np
import pytest

import bginv_jax
from bginv_jax.errors import InputError
from tests.conftest import changed, write_workdir


@pytest.fixture(scope="module")
def workdir(module_config, tmp_path_factory):
    config = changed(module_config, method="vanilla", schedule=("f:9",))
    return write_workdir(config, tmp_path_factory.mktemp("run") / "vanilla")


def test_a_predictor_says_what_to_use_in_a_function_that_is_traced(workdir):
    predict, images = bginv_jax.load_predictor(workdir), np.full((2, 12, 12, 1), 0.5)
    with pytest.raises(InputError, match="called while JAX traces; expected a call outside, or the function of load_p"):
        jax.jit(lambda: predict(images))()
    assert predict(images).shape == (2, 3)


def test_the_pure_function_takes_no_images(workdir):
    apply, variables = bginv_jax.load_pure(workdir)
    nothing = np.zeros((0, 12, 12, 1), np.uint8)
    for function in (apply, jax.jit(apply)):
        assert function(variables, nothing).shape == (0, 3)
        assert function(variables, nothing).dtype == np.float32
    gradients = jax.grad(lambda own: apply(own, nothing).sum())(variables)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradients))
