"""A trace is summed up by kernel."""

import jax
import jax.numpy as jnp
import pytest

from bginv_jax.speed.kernels import Launch, launches, summary


def test_kernels_are_summed_and_the_longest_come_first():
    traced = [Launch("add", "add.1", 1000.0), Launch("gemm", "dot.2", 5000.0), Launch("add", "add.3", 2000.0)]
    whole, top = summary(traced, 2, most=2)
    assert whole == {"busy_microseconds_per_step": 4.0, "launches_per_step": 1.5, "kernels": 2}
    assert [line["kernel"] for line in top] == ["gemm", "add"]
    assert top[1] == {
        "kernel": "add",
        "operations": ["add.1", "add.3"],
        "busy_microseconds_per_step": 1.5,
        "share_of_busy": pytest.approx(3 / 8),
        "launches_per_step": 1.0,
    }
    assert len(summary(traced, 2, most=1)[1]) == 1


def test_nothing_traced_is_no_error():
    assert summary([], 3, most=5) == ({"busy_microseconds_per_step": 0.0, "launches_per_step": 0.0, "kernels": 0}, [])


def test_a_trace_tells_its_operations(tmp_path):
    product = jax.jit(lambda x: jnp.tanh(x @ x))
    x = jnp.ones((64, 64))
    product(x).block_until_ready()
    with jax.profiler.trace(str(tmp_path)):
        product(x).block_until_ready()
    found = list(launches(tmp_path))
    assert found
    assert all(launch.operation and launch.nanoseconds >= 0 for launch in found)
