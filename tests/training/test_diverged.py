"""What is not finite ends a run at its step, with a message, and is never kept nor used."""

import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax import load_predictor
from bginv_jax.errors import DivergedError, InputError
from bginv_jax.methods.contract import Method, Recipe
from bginv_jax.methods.registry import METHODS
from bginv_jax.training import checkpoints, loop
from bginv_jax.training.step import Finite, Health
from tests.training import registered
from tests.training.registered import lines, steps_kept

# The weights are multiplied by more than a thousand million at each step.
_GROWING = {"rate__f": 1.0, "rate__decay": "constant", "weight_decay": 2e9, "steps": 20}

pytestmark = pytest.mark.usefixtures("registry")


@pytest.mark.parametrize(
    ("finite", "fields", "message"),
    [
        (Finite({"f": [True, False], "f_b": True}, {"loss": True}), {}, "gradient of f; lower config.rate.f. The"),
        (
            Finite({"f": True, "f_m": False, "f_b": False}, {"loss": False}),
            {},
            "gradient of f_b, the gradient of f_m; lower config.rate.f_b, config.rate.f_m. ",
        ),
        (
            Finite({"f": True, "f_l": True}, {"loss": [False, True]}),
            {},
            "the metric loss; lower config.rate.f, config.rate.f_l. The",
        ),
        (Finite({"f_m": True}, {"mask_loss": False}), {}, "the metric mask_loss; lower config.rate.f_m. The"),
        (Finite({"mine": False}, {"loss": True}), {}, "the gradient of mine; lower config.rate.f. The"),
        (Finite({"f": False}, {"loss": True}), {"weight_decay": 0.5}, "lower config.rate.f, config.weight_decay. The"),
        (
            Finite({"f": True, "f_m": False}, {"mask_loss": True}),
            {"weight_decay": 0.5, "mask__area_weight": 1e30},
            "the gradient of f_m; lower config.rate.f_m, config.mask.area_weight. The",
        ),
        (
            Finite({"f": False, "f_m": False}, {"mask_loss": True}),
            {"weight_decay": 0.5, "mask__variation_weight": 0.2},
            "lower config.rate.f, config.rate.f_m, config.weight_decay, config.mask.variation_weight. The",
        ),
        (
            Finite({"f_b": True}, {"loss": False}),
            {"background__brightness_weight": 2.0},
            "the metric loss; lower config.rate.f_b, config.background.brightness_weight. The",
        ),
    ],
)
def test_the_message_names_step_network_and_fields(finite, fields, message):
    finite = Finite(*({name: np.array(values) for name, values in part.items()} for part in finite))
    with pytest.raises(DivergedError, match="^step 7: not finite: .*" + message) as caught:
        loop._check_health(registered.config(**fields), 4, Health(np.int32(3), finite))
    assert "\n" not in str(caught.value)


def test_what_is_finite_raises_nothing():
    loop._check_health(registered.config(), 4, Health(np.int32(3), Finite({"f": np.ones(2)}, {"loss": np.ones(2)})))


@pytest.mark.parametrize("seeds", [(), (0, 1)])
def test_a_run_whose_weights_grow_beyond_all_bounds_ends_with_its_field(tmp_path, seeds):
    config = registered.config(**_GROWING, seeds=seeds, checkpoint_every=1)
    message = r"^step \d+: .*f.*; lower config.rate.f, config.weight_decay. The newest"
    with pytest.raises(DivergedError, match=message) as caught:
        loop.train(config, tmp_path)
    step = int(re.match(r"step (\d+)", str(caught.value))[1])
    assert steps_kept(tmp_path) == [step - 2, step - 1]
    assert all(np.isfinite(value).all() for line in lines(tmp_path) for name, value in line.items() if name != "phase")
    assert np.isfinite(load_predictor(tmp_path)(np.zeros((1, 16, 16, 1), np.uint8))).all()


def test_a_run_that_diverges_before_its_first_checkpoint_leaves_none(tmp_path):
    message = r"^step \d+: not finite: the gradient of f; lower config.rate.f, config.weight_decay"
    with pytest.raises(DivergedError, match=message):
        loop.train(registered.config(**_GROWING, checkpoint_every=20, log_every=20), tmp_path)
    assert steps_kept(tmp_path) == []
    with pytest.raises(InputError, match="holds no checkpoint"):
        load_predictor(tmp_path)


@jax.custom_jvp
def _silent(x):
    """0, and a derivative that is not a number from 3.5 on."""
    return 0.0 * x


_silent.defjvps(lambda tangent, ans, x: jnp.where(jnp.abs(x) > 3.5, jnp.nan, 0.0) * tangent)


def _ramp(poisoned):
    """A method whose networks are two numbers that move by the rate of 1 at each step; one silently ends to learn.

    Of `poisoned` the gradient for one of the two is not a number from the fifth step on; the scalar is.
    """

    names = ("f", "f_m", "f_b")

    def objective(keys, networks, batch, active):
        value = sum(weight for own in networks.values() for weight in own["params"].values())
        return value + _silent(networks[poisoned]["params"]["a"]), ({"loss": value}, {})

    def make(config, description, task):
        return Method(
            task,
            init=lambda key: {name: {"params": {"a": jnp.zeros(()), "b": jnp.zeros(())}} for name in names},
            objective=objective,
            predict=lambda networks, x: jnp.broadcast_to(networks["f"]["params"]["a"], (len(x), task.outputs)),
        )

    return Recipe(names, make)


@pytest.mark.parametrize("seeds", [(), (0, 1)])
@pytest.mark.parametrize("poisoned", ["f", "f_m", "f_b"])
def test_one_gradient_that_is_not_a_number_ends_the_run_at_that_step(tmp_path, monkeypatch, poisoned, seeds):
    monkeypatch.setitem(METHODS, "ramp", _ramp(poisoned))
    config = registered.config(method="ramp", schedule=("f+f_m+f_b:1",), seeds=seeds, checkpoint_every=2, log_every=20)
    config.rate.update({"f": 1.0, "f_m": 1.0, "f_b": 1.0, "decay": "constant"})
    config.steps = 20
    message = f"^step 5: not finite: the gradient of {poisoned}; lower config.rate.{poisoned}. The newest checkpoint"
    with pytest.raises(DivergedError, match=message):
        loop.train(config, tmp_path)
    assert steps_kept(tmp_path) == [2, 4]
    predictor = load_predictor(tmp_path)
    np.testing.assert_allclose(predictor(np.zeros((2, 16, 16, 1), np.uint8)), -4 * np.ones((2, 3)), rtol=1e-4)


def test_prediction_uses_the_newest_state_that_is_finite(tmp_path, monkeypatch, caplog):
    """Earlier versions wrote such states."""
    config = registered.config()
    final = loop.train(config, tmp_path)
    expected = load_predictor(tmp_path)(np.full((1, 16, 16, 1), 200, np.uint8))
    broken = final._replace(step=jnp.int32(9), params=jax.tree.map(lambda leaf: leaf * jnp.nan, final.params))
    monkeypatch.setattr(checkpoints, "check_finite", lambda *_: None)
    with checkpoints.open_manager(tmp_path, kept=9) as manager:
        meta = manager.restore(6, args=checkpoints.ocp.args.Composite(meta=checkpoints.ocp.args.JsonRestore()))["meta"]
        description = checkpoints.Description.from_json(meta["dataset"])
        checkpoints.save(manager, broken, config, description, {})
    np.testing.assert_array_equal(load_predictor(tmp_path)(np.full((1, 16, 16, 1), 200, np.uint8)), expected)
    assert "checkpoint 9 of" in caplog.text
    for step in (3, 6):
        shutil.rmtree(tmp_path / "checkpoints" / str(step))
    with pytest.raises(InputError, match=r"none of the checkpoints \[9\] can be read"):
        load_predictor(tmp_path)
