"""Batch normalisation equals Flax's own, forwards, backwards and in its running averages."""

import jax
import numpy as np
import pytest
from flax import linen as nn

from bginv_jax.networks.normalise import BatchNorm, channel_sums, channel_sums_plain


def _arrays(count, shape):
    random = np.random.default_rng(0)
    return [random.normal(1.0, 2.0, shape).astype(np.float32) for _ in range(count)]


@pytest.mark.parametrize("shape", [(4, 8, 8, 3), (3, 7, 5, 2)])
def test_channel_sums_by_the_plain_form(shape):
    x, y = _arrays(2, shape)
    np.testing.assert_allclose(jax.jit(channel_sums)(x, y), channel_sums_plain(x, y), rtol=1e-4)


@pytest.mark.parametrize("train", [True, False])
def test_equals_flax(train):
    x, gradient = _arrays(2, (3, 4, 6, 5))
    ours, theirs = BatchNorm(1e-3, 0.9), nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-3)
    random = np.random.default_rng(1)
    draw = lambda low: random.uniform(low, 2.0, 5).astype(np.float32)  # noqa: E731
    params = {"scale": draw(0.5), "bias": draw(-1.0)}
    averages = {"mean": draw(-1.0), "var": draw(0.5)}

    def apply(module, params, x, **options):
        variables = {"params": params, "batch_stats": averages}
        outputs, changed = module.apply(variables, x, mutable=["batch_stats"], **options)
        return (outputs * gradient).sum(), (outputs, changed)

    results = []
    for module, options in ((ours, {"train": train}), (theirs, {})):
        run = jax.jit(jax.grad(lambda *a, m=module, o=options: apply(m, *a, **o), argnums=(0, 1), has_aux=True))
        results.append(run(params, x))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), *results)
