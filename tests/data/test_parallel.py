"""Threads keep the order, do not run far ahead of what is taken, and stop with it."""

import itertools
import threading

import pytest

from bginv_jax.data.parallel import in_order


def test_results_come_in_order_and_little_ahead():
    taken = itertools.count()
    given = (next(taken) for _ in range(10_000))
    results = in_order(lambda item: 2 * item, given)
    assert [next(results) for _ in range(50)] == list(range(0, 100, 2))
    assert next(taken) <= 50 + 16 * 8 + 1  # the most threads, each 8 ahead
    results.close()


def test_all_are_given_and_none_of_nothing():
    assert list(in_order(str, range(300))) == [*map(str, range(300))]
    assert list(in_order(str, [])) == []


def test_an_error_is_raised_in_its_place_and_ends_the_threads():
    def attempt(item):
        if item == 5:
            raise ValueError("broken")
        return item

    before = threading.active_count()
    results = in_order(attempt, range(1000))
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="broken"):
        next(results)
    assert threading.active_count() == before
