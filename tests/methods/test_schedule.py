"""Phases share out the steps; learning rates follow each network's own updates."""

import itertools

import pytest

from bginv_jax.methods.schedule import Phase, is_schedule, make_phases, make_rate

AUTHORS = ("f:500", "f_m:250", "f+f_b:2000")


def test_shares_that_add_up_to_the_steps_are_steps():
    assert make_phases(AUTHORS, 2750) == (
        Phase(("f",), 0, 500),
        Phase(("f_m",), 500, 750),
        Phase(("f", "f_b"), 750, 2750),
    )


@pytest.mark.parametrize("steps", [3, 4, 7, 100])
def test_every_phase_has_a_step_and_none_is_lost(steps):
    phases = make_phases(AUTHORS, steps)
    assert phases[0].start == 0
    assert phases[-1].stop == steps
    assert all(phase.stop > phase.start for phase in phases)
    assert all(before.stop == after.start for before, after in itertools.pairwise(phases))


def test_networks_stand_in_one_order():
    assert make_phases(("f_b+f_m+f:1",), 5)[0].name == "f+f_m+f_b"
    assert make_phases(("h+f_b+g+f:1",), 5)[0].name == "f+f_b+h+g"  # those of other methods follow, as they come


@pytest.mark.parametrize("schedule", [(), ("f",), ("1:1",), ("f:0",), ("f:-1",), ("f+:1",), (3,), ("f:1 ",)])
def test_what_is_no_schedule(schedule):
    assert not is_schedule(schedule)


def test_cosine_falls_over_each_stretch_of_updates():
    phases = make_phases(AUTHORS, 2750)
    rate = make_rate("f", 0.1, "cosine", phases)
    assert rate(0) == pytest.approx(0.1)
    assert rate(250) == pytest.approx(0.05)
    assert rate(500) == pytest.approx(0.1)  # phase 3 starts again
    assert rate(1500) == pytest.approx(0.05)
    assert rate(2500) == pytest.approx(0, abs=1e-8)
    joint = make_phases(("f:5", "f+f_m:5", "f+f_m+f_b:10"), 20)
    assert make_rate("f", 0.1, "cosine", joint)(10) == pytest.approx(0.05)  # one stretch
    assert make_rate("f_b", 0.1, "cosine", joint)(5) == pytest.approx(0.05)
    assert make_rate("f", 0.1, "constant", phases)(2499) == pytest.approx(0.1)
