"""The step that is timed is the one that train takes, and its operations are counted wherever they can be."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax import config as configs
from bginv_jax.data import sources
from bginv_jax.speed import timing
from bginv_jax.training import loop
from tests.training.toys import assert_same_bits

PICTURES = {"background.families": ("plain", "ramp"), "background.pictured_share": 0.25}


@pytest.mark.parametrize(
    ("active", "fields"),
    [
        (
            ("f", "f_b"),
            {
                **PICTURES,
                "mask.kind": "nonzero",  # whose masks are those that the benchmark gives to phases without f_m
                "mask.aligned": False,
                "mask.erosion": 1,
                "augment.elastic": 0.02,
                "label_smoothing": 0.1,
                "weight_decay": 0.01,
            },
        ),
        (("f", "f_m", "f_b"), {**PICTURES, "mask.fill": "backdrop", "data.studio": "wall"}),
        (("f",), {"seeds": (3, 4), "augment.flip": True}),
    ],
    ids=("pictures, masks out of line, erosion, elastic", "pictures, fill", "seeds"),
)
def test_what_is_timed_is_what_trains(small_networks, tiny_config, tmp_path, monkeypatch, active, fields):
    tiny_config.update_from_flattened_dict(fields)
    tiny_config.schedule, tiny_config.steps = ("+".join(active) + ":4",), 4
    trained = loop.train(tiny_config, tmp_path / "run")
    monkeypatch.setattr(timing, "initial_state", lambda run: run.init())
    runner = timing.make_runner(tiny_config, sources.load(tiny_config.data), active)
    runner.run(1)
    runner.run(3)  # into the second epoch
    assert_same_bits(jax.device_get(runner.state().params), jax.device_get(trained.params))
    assert_same_bits(jax.device_get(runner.state().opt_state), jax.device_get(trained.opt_state))
    assert int(runner.state().step) == int(trained.step) == 4
    assert runner.flop > 1000


@pytest.mark.parametrize(
    ("active", "schedule"),
    [
        (("f",), ("f:1", "f_m:1", "f+f_b:1")),
        (("f_b", "f"), ("f:1", "f_m:1", "f+f_b:1")),
        (("f", "f_m", "f_b"), ("f:1", "f_m:1", "f+f_b:1", "f+f_m+f_b:1")),
    ],
)
def test_a_phase_is_the_schedules_or_is_added(active, schedule):
    config = configs.default_config()
    config.schedule, config.steps = ("f:1", "f_m:1", "f+f_b:1"), 3
    assert timing.with_phase(config, active).schedule == schedule
    configs.validate(timing.with_phase(config, active))


def test_masks_are_learned_before_they_are_taken():
    config = configs.default_config()
    config.schedule, config.steps = ("f:1",), 1
    added = timing.with_phase(config, ("f", "f_b"))
    assert added.schedule == ("f:1", "f_m:1", "f+f_b:1")
    configs.validate(added)
    config.mask.kind = "nonzero"
    assert timing.with_phase(config, ("f", "f_b")).schedule == ("f:1", "f+f_b:1")
    assert config.schedule == ("f:1",)


def test_several_seeds_start_alike_with_masks_of_their_own(small_networks, tiny_config):
    tiny_config.seeds = (5, 6, 7)
    run, phase = timing.wire(tiny_config, sources.load(tiny_config.data), ("f", "f_b"))
    assert timing.ready_masks(run, phase).shape == (3, 48, 16, 16, 1)
    params = timing.initial_state(run).params
    for leaf in jax.tree.leaves(params):
        np.testing.assert_array_equal(leaf[0], leaf[2])


def _product():
    return jnp.matmul, *[jax.ShapeDtypeStruct((8, 8), jnp.float32)] * 2


def test_operations_are_counted_before_compiling_or_after(monkeypatch):
    assert timing.count_flop(*_product()) == 2 * 8**3

    @contextlib.contextmanager
    def no_host():
        raise RuntimeError("Unknown backend cpu")
        yield

    with monkeypatch.context() as patched:
        patched.setattr(timing.hardware, "counting", no_host)
        assert timing.count_flop(*_product()) == 2 * 8**3
    monkeypatch.setattr(jax.stages.Lowered, "cost_analysis", lambda lowered: None)
    assert timing.count_flop(*_product()) == 2 * 8**3
    for analysis, count in [([{"flops": 5.0}, {"flops": 6.0}, {}], 11.0), ([], None), (None, None), ({}, None)]:
        monkeypatch.setattr(jax.stages.Compiled, "cost_analysis", lambda compiled, analysis=analysis: analysis)
        assert timing.count_flop(*_product()) == count
    monkeypatch.setattr(jax.stages.Compiled, "cost_analysis", lambda compiled: {"flops": -1.0})
    assert timing.count_flop(*_product()) is None


def test_the_rate_of_products_is_measured_on_all_devices():
    assert 0 < timing.matmul_rate(sizes=(64, 128)) < 1e6
