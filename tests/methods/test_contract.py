"""The layout of a batch: parts that are equal, in one order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.methods.contract import Layout, network_key


@pytest.mark.parametrize(
    ("batch_size", "kept", "pictured", "layout"),
    [
        (64, 0.25, 0.0, (16, 0, 48)),
        (64, 0.25, 0.5, (16, 32, 16)),
        (10, 0.25, 0.25, (2, 2, 6)),
        (7, 1.0, 0.0, (7, 0, 0)),
        (8, 0.75, 0.5, (6, 4, -2)),  # more than there is
    ],
)
def test_shares_of_a_batch_are_rounded(batch_size, kept, pictured, layout):
    assert Layout.of(batch_size, kept_share=kept, pictured_share=pictured) == Layout(*layout)
    assert Layout(*layout).total == batch_size


def test_equal_parts_have_the_same_layout():
    layout = Layout(8, 4, 12)
    assert layout.most_parts == 4
    assert layout.part(4) == Layout(2, 1, 3)
    assert Layout(6).most_parts == 6


def test_a_split_is_in_order():
    parts = Layout(1, 2, 3).split(np.arange(6))
    assert [part.tolist() for part in parts] == [[0], [1, 2], [3, 4, 5]]


def test_each_network_draws_apart():
    keys = jax.random.split(jax.random.key(0), 3)
    data = jnp.stack([jax.random.key_data(key) for key in (*keys, *(network_key(keys, i) for i in range(3)))])
    assert len(np.unique(data, axis=0)) == 6
