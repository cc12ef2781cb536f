"""One step: directions of the three updates, frozen networks, devices, the drawing of batches."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.data import sources
from bginv_jax.images.pixels import as_float, pad_to
from bginv_jax.methods import registry
from bginv_jax.methods.contract import Batch
from bginv_jax.methods.schedule import make_phases
from bginv_jax.methods.tasks import Task
from bginv_jax.methods.vanilla import make_vanilla
from bginv_jax.networks.contract import Network
from bginv_jax.training import state, step


@pytest.fixture
def parts(tiny_config):
    """(config, method, optimizers, initial state, training data with the true masks) of the tiny set."""
    dataset = sources.load(tiny_config.data)
    method = registry.make_method(tiny_config, dataset.describe())
    optimizers = state.make_optimizers(tiny_config)
    padded = pad_to(dataset.train.images, dataset.size)
    training = step.TrainingData(padded, (255 * (padded > 0)).astype(np.uint8), dataset.train.targets)
    return tiny_config, method, optimizers, state.init_state(0, method.init, optimizers), training


def _take_step(parts, active, plan, train_state=None, devices=None):
    config, method, optimizers, initial, training = parts
    if "f_m" in active:
        training = training._replace(masks=None)
    options = {
        "method": method,
        "optimizers": optimizers,
        "active": active,
        "plan": plan,
        "augmentation": config.augment.to_dict(),
    }
    train_state = initial if train_state is None else train_state
    order = step.draw_order(train_state.key, 0, len(training.images))
    training = jax.tree.map(jnp.asarray, training)
    if devices is None:
        return jax.jit(lambda *arguments: step.train_step(*arguments, **options))(train_state, training, order, 0)
    copy = jax.tree.map(jnp.copy, train_state)
    replicated = [step.replicate(tree, devices) for tree in (copy, training, order)]
    return step.make_train_step(devices, **options)(*replicated, np.int32(1))


WHOLE = step.BatchPlan(16, 8, 1, 1)


def _objective(parts, params):
    """The saddle-point scalar that the first step sees, on its images and draws, without augmentation."""
    _, method, _, initial, training = parts
    chosen = step.draw_order(initial.key, 0, len(training.images))[:16]
    images_, masks = (as_float(jnp.asarray(array)[chosen]) for array in training[:2])
    batch = Batch(images_, masks, training.targets[chosen], WHOLE.plain)
    step_key = jax.random.fold_in(jax.random.fold_in(initial.key, 2), 0)
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.fold_in(step_key, 1), jnp.arange(16))
    return float(jax.jit(lambda p: method.objective(keys, p, batch, ("f", "f_b"))[0])(params))


def test_f_descends_and_f_b_ascends(parts):
    config = parts[0]
    config.augment.update(rotation=0.0, shift=0.0, zoom=0.0)
    config.rate.f_b = 1e-4  # Adam's first step moves every weight by the rate: small enough to stay near the gradient
    parts = (*parts[:2], state.make_optimizers(config), *parts[3:])
    after, _ = _take_step(parts, ("f", "f_b"), WHOLE)
    before = parts[3].params
    start = _objective(parts, before)
    assert _objective(parts, {**before, "f": after.params["f"]}) < start - 1e-3
    assert _objective(parts, {**before, "f_b": after.params["f_b"]}) > start + 1e-4


def test_the_sign_of_f_b_is_changed_at_the_end_of_its_optimiser(tiny_config):
    optimizers = state.make_optimizers(tiny_config)
    for name, sign in (("f", -1), ("f_m", -1), ("f_b", 1)):
        updates, _ = optimizers[name].update(jnp.float32(7), optimizers[name].init(jnp.float32(0)))
        assert updates == pytest.approx(sign * 1e-3, rel=1e-4)  # Adam's first step is its rate


def test_only_the_weights_of_f_decay(tiny_config):
    tiny_config.weight_decay = 0.1
    optimizers = state.make_optimizers(tiny_config)
    for name, expected in (("f", -1e-3 * 0.1 * 5), ("f_m", 0), ("f_b", 0)):
        updates, _ = optimizers[name].update(jnp.float32(0), optimizers[name].init(jnp.float32(5)), jnp.float32(5))
        assert updates == pytest.approx(expected, rel=1e-4, abs=1e-9)


def test_f_m_descends(parts):
    _, method, _, initial, training = parts
    after, _ = _take_step(parts, ("f_m",), WHOLE)
    batch = Batch(as_float(jnp.asarray(training.images)), None, training.targets, 0)
    keys = jax.random.split(initial.key, len(training.images))
    values = [
        float(method.objective(keys, params, batch, ("f_m",))[0])
        for params in (initial.params, {**initial.params, "f_m": after.params["f_m"]})
    ]
    assert values[1] < values[0] - 1e-4


@pytest.mark.parametrize("active", [("f",), ("f_m",), ("f", "f_b"), ("f", "f_m", "f_b")])
def test_only_the_active_networks_change(parts, active):
    before = parts[3]
    after, metrics = _take_step(parts, active, WHOLE)
    assert after.step == 1
    assert all(np.isfinite(float(value)) for value in metrics.values())
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
        (("f", "f_b"), step.BatchPlan(16, 8, 8, 1)),
        (("f", "f_m", "f_b"), step.BatchPlan(16, 8, 8, 1)),
        (("f", "f_m", "f_b"), step.BatchPlan(16, 8, 2, 2)),
    ],
)
def test_one_device_equals_eight_and_slices_change_nothing(parts, active, plan):
    devices = jax.local_devices()
    assert len(devices) == 8
    whole, metrics = _take_step(parts, active, WHOLE)
    split, split_metrics = _take_step(parts, active, plan, devices=devices[: plan.devices])
    for name, value in metrics.items():
        assert split_metrics[name] == pytest.approx(float(value), rel=1e-4, abs=1e-6), name
    # Adam's first step is nearly the sign of the gradient, so gradients are compared, in its moments.
    for name in active:
        for a, b in zip(*(jax.tree.leaves(s.opt_state[name])[1:] for s in (whole, split)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5 * float(jnp.abs(a).max()) + 1e-12)


def test_the_state_is_donated(parts):
    _, method, optimizers, initial, training = parts
    devices = jax.local_devices()[:1]
    mapped = step.make_train_step(
        devices, method=method, optimizers=optimizers, active=("f",), plan=WHOLE, augmentation={}
    )
    placed = step.replicate(jax.tree.map(jnp.copy, initial), devices)
    order = step.draw_order(initial.key, 0, len(training.images))
    mapped(placed, step.replicate(training, devices), step.replicate(order, devices), np.int32(1))
    assert placed.params["f"]["Dense_0"]["kernel"].is_deleted()


def test_an_epoch_visits_every_image_once_and_epochs_differ():
    key = jax.random.key(3)
    orders = [step.draw_order(key, epoch, 50) for epoch in range(2)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(50))
    assert (orders[0] != orders[1]).any()


def test_positions_cover_the_batch_with_equal_shares():
    plan = step.BatchPlan(24, 8, 2, 2, pictured=4)
    parts = [plan.positions(device, part) for device in range(2) for part in range(2)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(24))
    for part in parts:
        assert (part[: plan.plain_per_part] < 8).all()
        assert part[plan.plain_per_part] in range(8, 12)
        assert (part[plan.plain_per_part + 1 :] >= 12).all()


@pytest.mark.parametrize(
    ("batch_size", "share", "plain", "devices", "slices"),
    [
        (64, 0.25, 16, 8, 1),
        (64, 0.0, 0, 8, 1),
        (256, 0.25, 64, 8, 4),
        (10, 0.25, 2, 2, 1),
        (7, 0.25, 2, 1, 1),
        (1, 1.0, 1, 1, 1),
    ],
)
def test_a_batch_is_planned_over_the_devices_that_share_it_evenly(batch_size, share, plain, devices, slices):
    assert step.plan_batch(batch_size, share, 32) == step.BatchPlan(batch_size, plain, devices, slices)
    assert step.plan_batch(batch_size, share, 16).slices <= slices <= step.plan_batch(batch_size, share, 64).slices


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 40])
def test_forward_gives_one_output_per_image_in_order(count):
    forward = step.make_forward(lambda p, x: p * x.sum(axis=(1, 2, 3)), jax.local_devices()[:2], chunk=8)
    x = np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1) * np.ones((1, 2, 2, 1), np.float32)
    np.testing.assert_allclose(forward(jnp.float32(0.5), x), 2 * np.arange(count), rtol=1e-6)


def test_train_step_needs_no_axis_and_someone_elses_network(parts):
    """A library user's own network and loss: a regression on the mean of the image."""
    f = Network(lambda key: jnp.zeros(()), lambda w, x: w * x.mean(axis=(1, 2, 3)))
    task = Task(lambda outputs, targets: (outputs - targets) ** 2, lambda outputs, targets: -outputs)
    method = make_vanilla(f, task)
    config = parts[0]
    config.method, config.schedule = "vanilla", ("f:1",)
    optimizers = state.make_optimizers(config)
    assert make_phases(config.schedule, config.steps)[0].networks == ("f",)
    initial = state.init_state(0, method.init, optimizers)
    after, metrics = _take_step((config, method, optimizers, initial, parts[4]), ("f",), WHOLE)
    assert after.params["f"] == pytest.approx(1e-3, rel=1e-3)
    assert metrics["loss"] > 0


def test_each_user_of_randomness_has_its_own_keys(parts, monkeypatch):
    _, method, optimizers, initial, training = parts
    seen = []

    def augment(keys, images, masks):
        seen.append(jax.random.key_data(keys))
        return images, masks

    def objective(keys, params, batch, active):
        seen.append(jax.random.key_data(keys))
        return method.objective(keys, params, batch, active)

    monkeypatch.setattr(step, "augment", augment)
    spied = dataclasses.replace(method, objective=objective)
    order = jnp.arange(48)
    step.train_step(
        initial,
        jax.tree.map(jnp.asarray, training),
        order,
        0,
        method=spied,
        optimizers=optimizers,
        active=("f",),
        plan=WHOLE,
        augmentation={},
    )
    drawn = np.concatenate([np.asarray(keys) for keys in seen])
    assert len(np.unique(drawn, axis=0)) == len(drawn) == 2 * WHOLE.batch_size


def _steps(parts, train_state, count, **options):
    config, method, optimizers, _, training = parts
    devices = jax.local_devices()[:1]
    taken = step.make_train_step(
        devices,
        method=method,
        optimizers=optimizers,
        active=("f", "f_b"),
        plan=WHOLE,
        augmentation=config.augment.to_dict(),
        **options,
    )
    order = step.draw_order(jax.random.key(5), 0, 48)
    if options:
        order = jnp.stack([order] * len(config.seeds))
    copy = jax.tree.map(jnp.copy, train_state)
    placed = [step.replicate(tree, devices) for tree in (copy, jax.tree.map(jnp.asarray, training), order)]
    metrics = []
    for _ in range(3 // count):
        placed[0], one = taken(*placed, np.int32(count))
        metrics.append(one)
    return placed[0], metrics


def test_three_steps_in_one_call_are_three_calls(parts):
    together, (mean,) = _steps(parts, parts[3], 3)
    apart, each = _steps(parts, parts[3], 1)
    assert int(together.step) == int(apart.step) == 3
    for a, b in zip(jax.tree.leaves(together.params), jax.tree.leaves(apart.params), strict=True):
        np.testing.assert_array_equal(a, b)
    assert mean["loss"] == pytest.approx(np.mean([one["loss"] for one in each]), rel=1e-6)


def test_each_of_several_seeds_is_its_single_run(parts):
    config, method, _, _, training = parts
    config.seeds = (3, 8)
    together, (metrics,) = _steps(
        (*parts[:4], training._replace(masks=np.stack([training.masks] * 2))),
        state.init_seeds(config, method),
        3,
        several_seeds=True,
    )
    for i, seed in enumerate(config.seeds):
        alone, (own,) = _steps(parts, state.init_state(seed, method.init, parts[2]), 3)
        assert metrics["loss"][i] == pytest.approx(float(own["loss"]), rel=1e-5)
        for a, b in zip(jax.tree.leaves(together.params), jax.tree.leaves(alone.params), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-4, atol=1e-6)
    kernel = together.params["f"]["Dense_0"]["kernel"]
    assert float(jnp.abs(kernel[0] - kernel[1]).max()) > 0.01


def test_masks_out_of_line_stay_where_they_are_and_pictures_come_to_the_batch(parts):
    """The authors' masks do not move with their images; a method that looks at its batch tells."""
    _, method, optimizers, initial, training = parts
    pictures = np.full((2, 64, 64, 1), 51, np.uint8)

    def objective(keys, params, batch, active):
        overlap = (batch.masks * (batch.images > 0)).sum() / batch.masks.sum()
        value = sum(leaf.sum() for leaf in jax.tree.leaves(params["f"]))
        return value, {"overlap": overlap, "behind": batch.pictures.max(), "count": jnp.float32(len(batch.pictures))}

    looking = dataclasses.replace(method, objective=objective)
    overlap = {}
    for aligned in (True, False):
        _, metrics = step.train_step(
            initial,
            jax.tree.map(jnp.asarray, training._replace(pictures=pictures)),
            step.draw_order(initial.key, 0, len(training.images)),
            0,
            method=looking,
            optimizers=optimizers,
            active=("f",),
            plan=WHOLE._replace(pictured=6),
            augmentation={"shift": 0.2},
            align_masks=aligned,
        )
        overlap[aligned] = float(metrics["overlap"])
        assert metrics["behind"] == pytest.approx(0.2)
        assert metrics["count"] == 6
    assert overlap[True] > 0.95
    assert overlap[False] < 0.6
