"""The training step: a batch is drawn, learned from, and every active network is updated.

The gradients of one scalar drive all networks: f and f_m descend, f_b ascends.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from bginv_jax.images.augment import augment, resample
from bginv_jax.images.backdrops import border_colour, border_likeness
from bginv_jax.images.pixels import as_float
from bginv_jax.images.variety import Variety, vary_pictures
from bginv_jax.methods.contract import Batch, Method, Metrics
from bginv_jax.training import devices as hardware
from bginv_jax.training.feed import BatchPlan, Feed, Raw, Resident, Streamed
from bginv_jax.training.state import Optimizers, TrainState, without_params


@dataclasses.dataclass(frozen=True)
class Learning:
    """How a step learns.

    method, optimizers: what is minimised and maximised, and how.
    active: the networks that train; the others cost nothing and keep every bit.
    plan: how the batch is split.
    augmentation: keyword arguments of `augment`.
    align_masks: masks that are ready move with their image. The authors' stay, and no longer fit it.
    fill: (S, S, C) uint8, what f_m puts where it sees no object; None is black.
    border_fill: it puts the colour of the image's border there instead.
    variety: what is random in pictures that stand behind objects.
    play: plays on, and puts what the state remembers in the place of the feed's images: (state, raw, positions) ->
      (state, raw, metrics). None where the feed's images are learned from.
    check_gradients: every step looks at its gradients, too. On an accelerator that is a kernel for each array; without,
      a gradient that is not finite shows in the parameters at the end of the call, or in the loss of the step after.
    """

    method: Method
    optimizers: Optimizers
    active: tuple[str, ...]
    plan: BatchPlan
    augmentation: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    align_masks: bool = True
    fill: np.ndarray | None = None
    border_fill: bool = False
    variety: Variety = dataclasses.field(default_factory=Variety)
    play: Callable[[TrainState, Raw, jax.Array], tuple[TrainState, Raw, Metrics]] | None = None
    check_gradients: bool = True


class Finite(NamedTuple):
    """What was finite in a step: the gradient of each network, and its parameters at the end; and each metric."""

    gradients: dict[str, jax.Array]
    metrics: dict[str, jax.Array]


class Health(NamedTuple):
    """How a call went: the steps that it took, and what was finite in the last."""

    taken: jax.Array
    finite: Finite


# Each user of a step's randomness has keys of its own, or what one draws would tell what the other does.
_AUGMENTATION, _METHOD, _PICTURES = range(3)


def _image_keys(state: TrainState, positions: jax.Array, user: int) -> jax.Array:
    """A key for each place in the batch, whatever device and slice it falls to: like `positions`."""
    step_key = jax.random.fold_in(jax.random.fold_in(state.key, 2), state.step)
    fold = jax.vmap(jax.random.fold_in, in_axes=(None, 0))
    keys = fold(jax.random.fold_in(step_key, user), positions.reshape(-1))
    return keys.reshape(positions.shape)


def _prepare(keys: jax.Array, method_keys: jax.Array, raw: Raw, networks: Mapping, learning: Learning) -> Batch:
    """The augmented batch of one slice."""
    method = learning.method
    x, masks = as_float(raw.images), None if raw.masks is None else as_float(raw.masks)
    if masks is None and method.takes_masks(learning.active):
        masks = lax.stop_gradient(method.ready_masks(networks, x))
    images, moved, moves = augment(keys, x, masks if learning.align_masks else None, **learning.augmentation)
    masks = moved if learning.align_masks else masks
    if masks is not None and method.binary_masks:
        masks = jnp.round(masks)  # interpolation blurs the edge of a binary mask
    pictures = None if raw.pictures is None else as_float(raw.pictures)
    if pictures is not None:
        _, pictured_keys, _ = learning.plan.part.split(method_keys)
        pictures = vary_pictures(pictured_keys, pictures, learning.variety)
    likeness = None
    if "f_m" in learning.active and method.takes_likeness:
        likeness = border_likeness(x)  # before the image moves: of one that is enlarged the border is the object
        likeness = likeness if moves is None else resample(likeness, moves)
    fill: jax.Array | float = 0.0
    if "f_m" in learning.active and learning.border_fill:
        fill = border_colour(x)
    elif learning.fill is not None:
        fill = as_float(jnp.asarray(learning.fill))
    return Batch(
        images,
        raw.targets if moves is None else method.task.move(raw.targets, moves),
        learning.plan.part,
        masks,
        pictures,
        fill,
        likeness,
    )


def learn(
    state: TrainState, raw: Raw, positions: jax.Array, *, learning: Learning, mapped: bool = False
) -> tuple[TrainState, Metrics, Finite]:
    """One update of all `active` networks: their scalar is differentiated once; f and f_m descend, f_b ascends.

    Args:
      state: of the run.
      raw: a device's share of the batch, slice after slice.
      positions: the places of its images in the whole batch, (slices, n).
      learning: how.
      mapped: whether other devices have other shares.

    Returns:
      The next state, metrics averaged over the whole batch, and what of gradients and loss is finite.
    """
    active, slices = learning.active, learning.plan.slices
    shares = jax.tree.map(lambda leaf: leaf.reshape(slices, -1, *leaf.shape[1:]), raw)
    keys = [_image_keys(state, positions, user) for user in (_AUGMENTATION, _METHOD)]

    def slice_gradients(i):
        share, augment_keys, method_keys = jax.tree.map(lambda leaf: leaf[i], (shares, *keys))
        batch = _prepare(augment_keys, method_keys, share, state.networks(), learning)

        def objective(params):
            return learning.method.objective(method_keys, state.networks(params), batch, active)

        gradients, (metrics, changed) = jax.grad(objective, has_aux=True)({name: state.params[name] for name in active})
        # Their change is averaged: of what rests it is exactly 0, where a mean of equal values may round.
        moved = {
            name: jax.tree.map(jnp.subtract, without_params(changed[name]), state.statistics[name])
            for name in active
            if name in changed
        }
        return gradients, metrics, moved

    averages = _slice_mean(slice_gradients, slices)
    if mapped:
        averages = hardware.mean(averages)
    gradients, metrics, moved = averages
    params, opt_state = dict(state.params), dict(state.opt_state)
    for name in active:
        updates, opt_state[name] = learning.optimizers[name].update(gradients[name], opt_state[name], params[name])
        params[name] = optax.apply_updates(params[name], updates)
    statistics = {
        name: jax.tree.map(lambda old, change: (old + change).astype(old.dtype), state.statistics[name], moved[name])
        for name in moved
    }
    seen = gradients if learning.check_gradients else dict.fromkeys(active, ())
    finite = Finite(*({name: _is_finite(tree) for name, tree in trees.items()} for trees in (seen, metrics)))
    statistics = {**state.statistics, **statistics}
    after = state._replace(step=state.step + 1, params=params, opt_state=opt_state, statistics=statistics)
    return after, metrics, finite


def _is_finite(tree: Any) -> jax.Array:
    """Whether all of a tree is."""
    return jnp.all(jnp.array([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)], bool))


def _slice_mean(body: Callable[[Any], Any], count: int) -> Any:
    """The mean of body(i) for i = 0..count - 1."""
    if count == 1:
        return body(0)
    shapes = jax.eval_shape(body, jnp.int32(0))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    sums = lax.fori_loop(0, count, lambda i, sums: jax.tree.map(jnp.add, sums, body(i)), zeros)
    return jax.tree.map(lambda total: total / count, sums)


def train_step(
    state: TrainState, feed: Resident | Streamed, device: jax.Array | int, *, learning: Learning, mapped: bool = False
) -> tuple[TrainState, Metrics, Finite]:
    """One step: the device's share of the batch is drawn from the feed, and learned from; returns as `learn`.

    Args:
      state: of the run.
      feed: on the device.
      device: int (), which of the plan's devices this is.
      learning: how.
      mapped: whether it runs on several devices at once.
    """
    plan = learning.plan
    positions = plan.positions(device)
    _, pictured, _ = plan.part.split(positions.T)
    picture_keys = _image_keys(state, pictured.T, _PICTURES).reshape(-1)
    raw = feed.draw(state.step, positions.reshape(-1), picture_keys, plan.batch_size)
    played: Metrics = {}
    if learning.play:
        state, raw, played = learning.play(state, raw, positions.reshape(-1))
    after, metrics, finite = learn(state, raw, positions, learning=learning, mapped=mapped)
    return after, metrics | played, finite


def batched(function: Callable, *trees: Any) -> Any:
    """`function` of each seed's part of `trees`, whose leaves have an axis of seeds, as one batched program."""
    return jax.vmap(function)(*trees)


def in_turn(function: Callable, *trees: Any) -> Any:
    """As `batched`, one seed after the other."""
    return lax.map(lambda parts: function(*parts), trees)


def map_seeds() -> Callable:
    """How several seeds are taken here: `batched` or `in_turn`.

    Small networks side by side cost an accelerator little more than one. To a CPU they are more work in any case, and
    convolutions batched over kernels are slow there.
    """
    return in_turn if hardware.on_cpu() else batched


def _each_seed(
    step: Callable, active: tuple[str, ...], state: TrainState, feed: Resident | Streamed, device: jax.Array
) -> tuple[TrainState, Metrics, Finite]:
    """`step` for every seed of a state of several; what the feed has per seed, and metrics, have an axis of seeds."""

    def one(key, params, opt_state, statistics, memory, fed):
        before = TrainState(state.step, key, params, opt_state, statistics, memory)
        after, *rest = step(before, feed.of_seed(fed), device)
        trees = (after.params, after.opt_state, after.statistics)
        return [{name: tree[name] for name in active if name in tree} for tree in trees], after.memory, *rest

    seeds = (state.key, state.params, state.opt_state, state.statistics, state.memory, feed.per_seed())
    trees, memory, metrics, finite = map_seeds()(one, *seeds)
    before = (state.params, state.opt_state, state.statistics)
    params, opt_state, statistics = ({**old, **new} for old, new in zip(before, trees, strict=True))
    return TrainState(state.step + 1, state.key, params, opt_state, statistics, memory), metrics, finite


def _take(step: Callable, state: TrainState, count: jax.Array) -> tuple[TrainState, Metrics, Health]:
    """`count` steps, fewer where something is not finite: the last state, the mean metrics, and how it went."""
    _, metrics, finite = jax.eval_shape(step, state)
    sums = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), metrics)
    fine = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, leaf.dtype), finite)

    def more(carry):
        taken, _, _, finite = carry
        return (taken < count) & jnp.all(jnp.stack([leaf.all() for leaf in jax.tree.leaves(finite)]))

    def take(carry):
        taken, state, sums, _ = carry
        state, metrics, finite = step(state)
        return taken + 1, state, jax.tree.map(jnp.add, sums, metrics), finite

    taken, state, sums, finite = lax.while_loop(more, take, (jnp.int32(0), state, sums, fine))
    gradients = {name: fine & _is_finite(state.params[name]) for name, fine in finite.gradients.items()}
    return state, jax.tree.map(lambda total: total / taken, sums), Health(taken, finite._replace(gradients=gradients))


def make_train_step(
    devices: list[jax.Device], feed: Feed, *, learning: Learning, several_seeds: bool = False
) -> Callable:
    """`train_step` jitted and mapped over `devices` as one program: (state, arrays, count) -> (state, metrics, health).

    It takes `count` steps, an int32, without coming back to the host, or stops at the first that is not finite. The
    metrics are means over the steps. With `several_seeds` state and metrics have a leading axis of seeds. The state is
    donated. Nothing is replicated by hand: the state is the same on every device.

    Args:
      devices: as many as the plan has.
      feed: on the host; its `arrays` are what the program takes.
      learning: how.
      several_seeds: whether the state is of several.
    """

    def one(state, arrays, device):
        return train_step(state, arrays, device, learning=learning, mapped=True)

    def steps(state, arrays, count, device):
        def step(state):
            return (
                _each_seed(one, learning.active, state, arrays, device) if several_seeds else one(state, arrays, device)
            )

        return _take(step, state, count)

    program = hardware.map_program(steps, devices, in_axes=(None, feed.axes, None, 0), out_axes=None, donate=(0,))
    indices = hardware.split(hardware.own_places(devices), devices)
    return lambda state, arrays, count: program(state, arrays, count, indices)
