"""A proposal of dense layers, which compile in a second, on a small set in memory."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from bginv_jax.images.compose import Variation
from bginv_jax.methods.contract import Layout, Method
from bginv_jax.methods.masking import MaskOptions
from bginv_jax.methods.proposal import make_proposal
from bginv_jax.methods.schedule import make_phases
from bginv_jax.networks.contract import BackgroundSource, flax_network
from bginv_jax.tasks.classification import classification
from bginv_jax.training import devices as hardware
from bginv_jax.training.feed import BatchPlan, Resident, ResidentFeed
from bginv_jax.training.state import Optimizers, TrainState, init_state, make_optimizers
from bginv_jax.training.step import Learning, make_train_step

SIDE = 16
AUGMENTATION = {"rotation": 10.0, "shift": 0.1}
WHOLE = BatchPlan(Layout(8, 0, 8), 1, 1)


class Linear(nn.Module):
    """Images (N, S, S, C) -> (N, outputs)."""

    outputs: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.outputs)(x.reshape(len(x), -1))


class Masks(nn.Module):
    """Masks that follow each pixel and the mean of its image."""

    @nn.compact
    def __call__(self, x):
        mean = jnp.broadcast_to(x.mean(axis=(1, 2), keepdims=True), x.shape)
        return nn.sigmoid(nn.Dense(1)(jnp.concatenate([x, mean], axis=-1)))


class Painter(nn.Module):
    """Noise (N, 4) -> backgrounds (N, S, S, 1)."""

    @nn.compact
    def __call__(self, z):
        return nn.sigmoid(nn.Dense(SIDE**2)(z)).reshape(-1, SIDE, SIDE, 1)


def images(count, seed=0):
    """uint8 (count, S, S, 1) of a bar that is upright, level or slanted, and its labels."""
    random = np.random.RandomState(seed)
    labels = (np.arange(count) % 3).astype(np.int32)
    drawn = np.zeros((count, SIDE, SIDE, 1), np.uint8)
    for image, label in zip(drawn, labels, strict=True):
        row, column = random.randint(2, 8, 2)
        for i in range(7):
            image[(row + i, row, row + i)[label], (column, column + i, column + i)[label]] = random.randint(100, 256)
    return drawn, labels


class Setup(NamedTuple):
    """What a step needs, with the true masks."""

    method: Method
    optimizers: Optimizers
    initial: TrainState
    data: Resident


def make_setup(**rates) -> Setup:
    """The dense proposal at the start of seed 0; `rates` by network, 1e-3 by default."""
    f_b = flax_network(Painter(), (4,))
    method = make_proposal(
        flax_network(Linear(3), (SIDE, SIDE, 1)),
        flax_network(Masks(), (SIDE, SIDE, 1)),
        BackgroundSource(f_b.init, lambda key: jax.random.normal(key, (4,)), f_b.apply),
        classification(("upright", "level", "slanted")),
        mask=MaskOptions(),
        variation=Variation(halo=1, move=True),
    )
    phases = make_phases(("f+f_m+f_b:1",), 9)
    optimizers = make_optimizers(phases, {"f": 1e-3, "f_m": 1e-3, "f_b": 1e-3} | rates)
    drawn, labels = images(48)
    masks = (255 * (drawn > 0)).astype(np.uint8)
    initial = jax.jit(lambda: init_state(0, method.init, optimizers))()
    return Setup(method, optimizers, initial, Resident(drawn, labels, masks))


def learning(setup, active, plan=WHOLE, **options):
    """How the steps of a setup learn."""
    options = {"augmentation": AUGMENTATION} | options
    return Learning(method=setup.method, optimizers=setup.optimizers, active=active, plan=plan, **options)


def resident(setup, plan=WHOLE, **options):
    """The feed of a setup's data."""
    return ResidentFeed(setup.data, plan.batch_size, jax.local_devices()[: plan.devices], **options)


def make_program(setup, feed, active, plan=WHOLE, *, several_seeds=False, **options):
    """The compiled steps of a setup on a feed."""
    how = learning(setup, active, plan, **options)
    return make_train_step(jax.local_devices()[: plan.devices], feed, learning=how, several_seeds=several_seeds)


def take(setup, feed, active, plan=WHOLE, *, state=None, calls=(1,), program=None, **options):
    """The state after calls of so many steps each, and the metrics of each call; the state that is given stays.

    By a `program` that is there already, or as `make_program` makes it.
    """
    program = program or make_program(setup, feed, active, plan, **options)
    state = jax.tree.map(jnp.copy, setup.initial if state is None else state)
    state = hardware.replicate(state, jax.local_devices()[: plan.devices])
    measured, done = [], int(state.step)
    for count in calls:
        state, metrics, health = program(state, feed.arrays(state.key, done, done + count), np.int32(count))
        assert int(health.taken) == count
        done += count
        measured.append(jax.device_get(metrics))
    return state, measured


def assert_same_bits(one, other):
    """Two trees are equal in structure and in every bit, keys too."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for pair in pairs:
        first, second = (
            np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)
            for leaf in pair
        )
        assert first.dtype == second.dtype
        np.testing.assert_array_equal(first, second)
