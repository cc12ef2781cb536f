"""What a step sends, counted by hand."""

import pytest

from bginv_jax.speed import traffic
from tests.training.toys import SIDE, make_setup


def test_the_gradients_of_what_trains_are_counted():
    method = make_setup().method
    pixels = SIDE**2
    sizes = {"f": 3 * pixels + 3, "f_m": 2 + 1, "f_b": 4 * pixels + pixels}
    for active in (("f",), ("f", "f_b"), ("f", "f_m", "f_b")):
        assert traffic.gradient_bytes(method, active) == 4 * sum(sizes[name] for name in active)


def test_a_ninth_of_the_time_is_left_to_send():
    # Of 90 ms 10 are left; two devices send each byte once, many twice.
    assert traffic.bandwidth(10_000, devices=2, seconds=0.090) == pytest.approx(1e6)
    assert traffic.bandwidth(10_000, devices=1000, seconds=0.090) == pytest.approx(2e6, rel=2e-3)
    assert traffic.bandwidth(10_000, devices=1, seconds=0.090) == 0
