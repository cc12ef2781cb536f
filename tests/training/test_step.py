"""One step: directions of the three updates, frozen networks, devices and slices, seeds, what is not finite."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.images.pixels import as_float
from bginv_jax.images.variety import Variety
from bginv_jax.methods.contract import Batch, Layout
from bginv_jax.methods.vanilla import make_vanilla
from bginv_jax.networks.contract import stateless
from bginv_jax.tasks.contract import Task
from bginv_jax.training import devices as hardware
from bginv_jax.training import step
from bginv_jax.training.feed import BatchPlan, draw_order
from bginv_jax.training.state import init_state, make_optimizers, stack_seeds
from bginv_jax.training.step import make_train_step, train_step
from tests.training.toys import SIDE, WHOLE, assert_same_bits, learning, make_setup, resident, take


@pytest.fixture(scope="module")
def setup():
    return make_setup()


@pytest.fixture(scope="module")
def first_step(setup):
    """(active, plan) -> the state after one step and its metrics, each compiled once."""
    return functools.cache(lambda active, plan=WHOLE: _step(setup, active, plan))


def _without_masks(setup):
    return setup._replace(data=setup.data._replace(masks=None))


def _step(setup, active, plan=WHOLE, **options):
    """The state after one step and its metrics."""
    setup = _without_masks(setup) if "f_m" in active else setup
    state, (metrics,) = take(setup, resident(setup, plan), active, plan, **options)
    return state, metrics


def _first_objective(setup):
    """params -> the saddle-point scalar that the first step sees, on its images and draws, without augmentation."""
    initial, data = setup.initial, setup.data
    chosen = draw_order(initial.key, 0, len(data.images))[:16]
    x, masks = (as_float(jnp.asarray(array)[chosen]) for array in (data.images, data.masks))
    batch = Batch(x, data.targets[chosen], WHOLE.layout, masks)
    step_key = jax.random.fold_in(jax.random.fold_in(initial.key, 2), 0)
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.fold_in(step_key, 1), jnp.arange(16))
    return jax.jit(lambda p: setup.method.objective(keys, initial.networks(p), batch, ("f", "f_b"))[0])


def test_f_descends_and_f_b_ascends():
    setup = make_setup(f_b=1e-4)  # Adam's first step moves every weight by the rate: it stays near the gradient
    after, _ = _step(setup, ("f", "f_b"), augmentation={})
    objective, before = _first_objective(setup), setup.initial.params
    start = float(objective(before))
    assert float(objective({**before, "f": after.params["f"]})) < start - 1e-3
    assert float(objective({**before, "f_b": after.params["f_b"]})) > start + 1e-4


def test_f_m_descends(setup, first_step):
    after, _ = first_step(("f_m",))
    data, initial = setup.data, setup.initial
    batch = Batch(as_float(jnp.asarray(data.images)), data.targets, Layout(len(data.images)))
    keys = jax.random.split(initial.key, len(data.images))
    objective = jax.jit(lambda p: setup.method.objective(keys, initial.networks(p), batch, ("f_m",))[0])
    assert float(objective({"f_m": after.params["f_m"]})) < float(objective({})) - 1e-4


@pytest.mark.parametrize("active", [("f",), ("f_m",), ("f", "f_b"), ("f", "f_m", "f_b")])
def test_only_the_active_networks_change(setup, first_step, active):
    before = setup.initial
    after, metrics = first_step(active)
    assert after.step == 1
    assert all(np.isfinite(value) for value in metrics.values())
    for name in ("f", "f_m", "f_b"):
        for group in ("params", "opt_state"):
            pairs = zip(
                jax.tree.leaves(getattr(before, group)[name]), jax.tree.leaves(getattr(after, group)[name]), strict=True
            )
            same = [np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs]
            assert (not all(same)) if name in active else all(same), (name, group)


@pytest.mark.parametrize(
    ("active", "plan"),
    [
        (("f", "f_b"), BatchPlan(WHOLE.layout, 8, 1)),
        (("f", "f_m", "f_b"), BatchPlan(WHOLE.layout, 8, 1)),
        (("f", "f_m", "f_b"), BatchPlan(WHOLE.layout, 2, 2)),
    ],
)
def test_one_device_equals_eight_and_slices_change_nothing(first_step, active, plan):
    assert len(jax.local_devices()) == 8
    whole, metrics = first_step(active)
    split, split_metrics = first_step(active, plan)
    for name, value in metrics.items():
        assert split_metrics[name] == pytest.approx(float(value), rel=1e-4, abs=1e-6), name
    # Adam's first step is nearly the sign of the gradient, so gradients are compared, in its moments.
    for name in active:
        for a, b in zip(*(jax.tree.leaves(s.opt_state[name])[1:] for s in (whole, split)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5 * float(jnp.abs(a).max()) + 1e-12)


def test_the_state_is_donated(setup):
    devices, feed = jax.local_devices()[:1], resident(setup)
    program = make_train_step(devices, feed, learning=learning(setup, ("f",)))
    placed = hardware.replicate(jax.tree.map(jnp.copy, setup.initial), devices)
    program(placed, feed.arrays(placed.key, 0, 1), np.int32(1))
    assert placed.params["f"]["Dense_0"]["kernel"].is_deleted()


def test_train_step_needs_no_axis_and_someone_elses_network(setup):
    """A library user's own network and loss: a regression on the mean of the image."""
    f = stateless(lambda key: jnp.zeros(()), lambda w, x: w * x.mean(axis=(1, 2, 3)))
    task = Task(
        1, lambda outputs, targets: (outputs - targets) ** 2, lambda outputs, targets: {"far": -outputs}, shown="far"
    )
    method = make_vanilla(f, task)
    optimizers = make_optimizers((), {"f": 1e-3})
    own = setup._replace(method=method, optimizers=optimizers, initial=init_state(0, method.init, optimizers))
    feed = resident(own).arrays(own.initial.key, 0, 1)
    how = learning(own, ("f",))
    after, metrics, finite = jax.jit(lambda state: train_step(state, feed, 0, learning=how))(own.initial)
    assert after.params["f"] == pytest.approx(1e-3, rel=1e-3)
    assert metrics["loss"] > 0
    assert finite == step.Finite({"f": True}, {"loss": True, "far": True})


def test_each_user_of_randomness_has_its_own_keys(setup, monkeypatch):
    seen, augment = [], step.augment

    def spied_augment(keys, images, masks, **options):
        seen.append(keys)
        return augment(keys, images, masks, **options)

    def objective(keys, networks, batch, active):
        seen.append(keys)
        return setup.method.objective(keys, networks, batch, active)

    monkeypatch.setattr(step, "augment", spied_augment)
    spied = setup._replace(method=dataclasses.replace(setup.method, objective=objective))
    feed = resident(setup).arrays(setup.initial.key, 0, 1)

    @jax.jit
    def keys_of_a_step():
        train_step(setup.initial, feed, 0, learning=learning(spied, ("f",), augmentation={}))
        return [jax.random.key_data(keys) for keys in seen]

    drawn = np.concatenate(keys_of_a_step())
    assert len(np.unique(drawn, axis=0)) == len(drawn) == 2 * WHOLE.batch_size


def test_three_steps_in_one_call_are_three_calls(setup):
    together, (mean,) = take(setup, resident(setup), ("f", "f_b"), calls=(3,))
    apart, each = take(setup, resident(setup), ("f", "f_b"), calls=(1, 1, 1))
    assert int(together.step) == 3
    assert_same_bits(together, apart)
    assert mean["loss"] == pytest.approx(np.mean([one["loss"] for one in each]), rel=1e-6)


def test_each_of_several_seeds_is_its_single_run(setup):
    seeds = (3, 8)
    states = [init_state(seed, setup.method.init, setup.optimizers) for seed in seeds]
    stacked = setup._replace(data=setup.data._replace(masks=np.stack([setup.data.masks] * 2)))
    feed = resident(stacked, several_seeds=True)
    together, (metrics,) = take(stacked, feed, ("f", "f_b"), state=stack_seeds(states), calls=(3,), several_seeds=True)
    for i, state in enumerate(states):
        alone, (own,) = take(setup, resident(setup), ("f", "f_b"), state=state, calls=(3,))
        assert metrics["loss"][i] == pytest.approx(float(own["loss"]), rel=1e-5)
        for a, b in zip(jax.tree.leaves(together.params), jax.tree.leaves(alone.params), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-4, atol=1e-6)
    kernel = together.params["f"]["Dense_0"]["kernel"]
    assert float(jnp.abs(kernel[0] - kernel[1]).max()) > 0.01


def test_masks_out_of_line_stay_where_they_are_and_pictures_come_to_the_batch(setup):
    """The authors' masks do not move with their images; a method that looks at its batch tells."""
    pictures = np.full((2, 64, 64, 1), 51, np.uint8)

    def objective(keys, networks, batch, active):
        overlap = (batch.masks * (batch.images > 0)).sum() / batch.masks.sum()
        value = sum(leaf.sum() for leaf in jax.tree.leaves(networks["f"]))
        behind = {"behind": batch.pictures.max(), "count": jnp.float32(len(batch.pictures))}
        return value, ({"overlap": overlap, **behind}, {})

    looking = setup._replace(
        method=dataclasses.replace(setup.method, objective=objective), data=setup.data._replace(pictures=pictures)
    )
    plan, overlap = BatchPlan(Layout(8, 6, 2), 1, 1), {}
    for aligned in (True, False):
        options = {"augmentation": {"shift": 0.2}, "align_masks": aligned}
        _, (metrics,) = take(looking, resident(looking), ("f",), plan, **options)
        overlap[aligned] = float(metrics["overlap"])
        assert metrics["behind"] == pytest.approx(0.2)
        assert metrics["count"] == 6
    assert overlap[True] > 0.95
    assert overlap[False] < 0.6


def test_likeness_to_the_border_moves_along_and_so_it_is_filled(setup):
    """Both follow from the image before it moves; a method that looks at its batch tells."""

    def objective(keys, networks, batch, active):
        bars = batch.images > 0.8
        shown = {"object": (batch.likeness * bars).sum() / bars.sum(), "rest": (batch.likeness * ~bars).mean()}
        value = sum(leaf.sum() for leaf in jax.tree.leaves(networks["f_m"]))
        return value, ({**shown, "fill": batch.fill.max(), "fills": jnp.float32(len(batch.fill))}, {})

    method = dataclasses.replace(setup.method, objective=objective, takes_likeness=True)
    data = setup.data._replace(images=np.maximum(setup.data.images, 51), masks=None)
    looking = setup._replace(method=method, data=data)
    options = {"augmentation": {"shift": 0.2, "rotation": 90.0}, "border_fill": True}
    _, (metrics,) = take(looking, resident(looking), ("f_m",), WHOLE, **options)
    assert metrics["object"] < 0.1
    assert metrics["rest"] > 0.75
    assert metrics["fill"] == pytest.approx(0.2)
    assert metrics["fills"] == WHOLE.layout.total


def test_pictures_are_enlarged_each_by_its_own_factor(setup):
    picture = np.zeros((1, SIDE, SIDE, 1), np.uint8)
    picture[:, SIDE // 2 :] = 200

    def objective(keys, networks, batch, active):
        value = sum(leaf.sum() for leaf in jax.tree.leaves(networks["f"]))
        steps = jnp.abs(batch.pictures[:, 1:] - batch.pictures[:, :-1]).max(axis=(1, 2, 3))
        return value, ({"largest": steps.max(), "least": steps.min()}, {})

    looking = setup._replace(
        method=dataclasses.replace(setup.method, objective=objective), data=setup.data._replace(pictures=picture)
    )
    plan = BatchPlan(Layout(8, 6, 2), 1, 1)
    _, (as_it_is,) = take(looking, resident(looking), ("f",), plan)
    assert as_it_is["least"] == as_it_is["largest"] == pytest.approx(200 / 255)
    _, (metrics,) = take(looking, resident(looking), ("f",), plan, variety=Variety(zoom=4.0))
    assert metrics["least"] < metrics["largest"] < 200 / 255


def _poisoned(poison):
    """A network of two numbers; poison(weights, loss) is its loss, and its second step is the first that is not fine.

    Its loss is 1 - a - b, and Adam adds the rate of 1 to both at each step.
    """
    f = stateless(lambda key: {"a": jnp.zeros(()), "b": jnp.zeros(())}, lambda weights, x: weights)
    task = Task(1, lambda weights, targets: poison(weights), lambda outputs, targets: {}, shown="loss")
    method = make_vanilla(f, task)
    return method, make_optimizers((), {"f": 1.0})


@jax.custom_jvp
def _silent(x):
    """0, and a derivative that is not a number from 1 on."""
    return 0.0 * x


_silent.defjvps(lambda tangent, ans, x: jnp.where(x > 0.5, jnp.nan, 0.0) * tangent)


@pytest.mark.parametrize(
    ("poison", "finite"),
    [
        (lambda w: 1 - w["a"] - w["b"] + _silent(w["a"]), step.Finite({"f": False}, {"loss": True})),
        (
            lambda w: 1 - w["a"] - w["b"] + jnp.where(w["a"] > 0.5, jnp.inf, 0),
            step.Finite({"f": True}, {"loss": False}),
        ),
        (lambda w: (1 - w["a"] - w["b"]) / (w["a"] < 0.5), step.Finite({"f": False}, {"loss": False})),
    ],
)
@pytest.mark.parametrize("seeds", [1, 2])
def test_what_is_not_finite_ends_a_call_at_its_step(setup, poison, finite, seeds):
    method, optimizers = _poisoned(lambda weights: poison(weights) * jnp.ones(16))
    states = [init_state(seed, method.init, optimizers) for seed in range(seeds)]
    state = stack_seeds(states) if seeds > 1 else states[0]
    own = setup._replace(method=method, optimizers=optimizers, data=setup.data._replace(masks=None))
    feed, devices = resident(own, several_seeds=seeds > 1), jax.local_devices()[:1]
    program = make_train_step(devices, feed, learning=learning(own, ("f",), augmentation={}), several_seeds=seeds > 1)
    after, _, health = program(hardware.replicate(state, devices), feed.arrays(state.key, 0, 3), np.int32(3))
    assert int(health.taken) == int(after.step) == 2
    assert jax.tree.map(lambda leaf: bool(np.all(leaf)), health.finite) == finite


@pytest.mark.parametrize(("count", "taken"), [(2, 2), (4, 3)])
def test_without_a_look_at_each_gradient_the_parameters_tell_at_the_end_of_the_call(setup, count, taken):
    """The gradient of step 2 alone is none; of the weights that it leaves, step 3 has no loss."""
    method, optimizers = _poisoned(lambda w: (1 - w["a"] - w["b"] + _silent(w["a"])) * jnp.ones(16))
    state = init_state(0, method.init, optimizers)
    own = setup._replace(method=method, optimizers=optimizers, data=setup.data._replace(masks=None))
    feed, devices = resident(own), jax.local_devices()[:1]
    unlooked = learning(own, ("f",), augmentation={}, check_gradients=False)
    program = make_train_step(devices, feed, learning=unlooked)
    _, _, health = program(hardware.replicate(state, devices), feed.arrays(state.key, 0, 3), np.int32(count))
    assert int(health.taken) == taken
    assert not health.finite.gradients["f"]


def test_large_gradients_are_finite_though_their_sum_is_not():
    assert step._is_finite({"a": jnp.full(4, 3e38), "b": jnp.float32(1)})
    assert not step._is_finite({"a": jnp.ones(4), "b": jnp.array([1.0, -jnp.inf])})
    assert not step._is_finite({"a": jnp.array([jnp.inf, -jnp.inf])})
    assert step._is_finite({})
