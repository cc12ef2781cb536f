"""The training step and the batched forward pass: the one room that knows of devices and their axis.

Training data lies on every device; a step draws its batch there. Images are (M, S, S, C) uint8.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bginv_jax.images.augment import augment, random_crops
from bginv_jax.images.pixels import as_float
from bginv_jax.methods.contract import Batch, Method
from bginv_jax.training.state import Optimizers, TrainState

AXIS = "devices"
_CPU_PIXELS = 8 * 32 * 32  # of the images whose activations fit the cache of a CPU core


class TrainingData(NamedTuple):
    """images (M, S, S, C) uint8, masks (M, S, S, 1) uint8 or float or None, targets (M, ...).

    pictures (P, T, T, C) uint8, T at least S, whose random crops are the plan's pictured backgrounds; None without any.
    fill (S, S, C) uint8, what f_m puts where it sees no object; None is black.
    Of several seeds together, the masks have a leading axis of seeds.
    """

    images: jax.Array
    masks: jax.Array | None
    targets: jax.Array
    pictures: jax.Array | None = None
    fill: jax.Array | None = None


class BatchPlan(NamedTuple):
    """How a batch is split over devices, and on each device over slices whose gradients are added up.

    The first `plain` images of the batch keep their own background, the next `pictured` stand before pictures, the rest
    before what f_b paints. Every part holds an equal share of each, so the same images get the same treatment however
    many parts there are.
    """

    batch_size: int
    plain: int
    devices: int
    slices: int
    pictured: int = 0

    @property
    def parts(self) -> int:
        return self.devices * self.slices

    @property
    def plain_per_part(self) -> int:
        return self.plain // self.parts

    @property
    def pictured_per_part(self) -> int:
        return self.pictured // self.parts

    def positions(self, device: jax.Array, part: int) -> jax.Array:
        """Places in the batch of slice `part` of `device`, plain ones first, then pictured: (batch_size / parts,)."""
        index, start, places = device * self.slices + part, 0, []
        for count in (self.plain, self.pictured, self.batch_size - self.plain - self.pictured):
            share = count // self.parts
            places.append(start + index * share + jnp.arange(share))
            start += count
        return jnp.concatenate(places)


def plan_batch(batch_size: int, plain_share: float, size: int, pictured_share: float = 0.0) -> BatchPlan:
    """Splits a batch over as many local devices as share it out evenly; a CPU takes it in slices that fit its cache.

    Args:
      batch_size: images.
      plain_share: of them that keep their own background.
      size: the side of an image, pixels.
      pictured_share: of them that stand before pictures.
    """
    plain, pictured = round(plain_share * batch_size), round(pictured_share * batch_size)
    common = math.gcd(plain, pictured, batch_size - plain - pictured)
    devices = max(n for n in range(1, jax.local_device_count() + 1) if common % n == 0)
    rest = common // devices
    slices = 1
    if jax.default_backend() == "cpu":
        divisors = [n for n in range(1, rest + 1) if rest % n == 0]
        slices = next((n for n in divisors if batch_size * size**2 <= _CPU_PIXELS * devices * n), rest)
    return BatchPlan(batch_size, plain, devices, slices, pictured)


def draw_order(key: jax.Array, epoch: jax.Array, count: int) -> jax.Array:
    """The order in which an epoch visits `count` images: (count,) int32."""
    return jax.random.permutation(jax.random.fold_in(jax.random.fold_in(key, 1), epoch), count)


def make_draw_order(count: int, *, several_seeds: bool = False) -> Callable:
    """`draw_order` of `count` images, jitted: (key, epoch) -> order; of several seeds, from a key and an order each."""
    draw = functools.partial(draw_order, count=count)
    return jax.jit(jax.vmap(draw, in_axes=(0, None)) if several_seeds else draw)


def train_step(
    state: TrainState,
    data: TrainingData,
    order: jax.Array,
    device: jax.Array,
    *,
    method: Method,
    optimizers: Optimizers,
    active: tuple[str, ...],
    plan: BatchPlan,
    augmentation: dict[str, Any],
    align_masks: bool = True,
    axis: str | None = None,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One step of all `active` networks: their scalar is differentiated once; f and f_m descend, f_b ascends.

    Args:
      state: donated by the compiled form.
      data: the whole training set.
      order: the epoch's order, from `draw_order`; the batch is a window of it.
      device: int (), which of the plan's devices this is.
      method, optimizers: what is minimised and maximised, and how.
      active: the networks that train; the others cost nothing and keep every bit.
      plan: how the batch is split.
      augmentation: keyword arguments of `augment`.
      align_masks: the data's masks move with their image. The authors' stay, and no longer fit it.
      axis: name of the device axis, None outside pmap.

    Returns:
      The next state, and metrics averaged over the whole batch.
    """
    step_key = jax.random.fold_in(jax.random.fold_in(state.key, 2), state.step)
    window = state.step % (len(data.images) // plan.batch_size) * plan.batch_size

    def slice_gradients(part):
        positions = plan.positions(device, part)
        chosen = order[window + positions]
        # Each user of randomness has a key of its own, or what one draws would tell what the other does.
        augment_keys, method_keys, crop_keys = (
            jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.fold_in(step_key, user), positions)
            for user in (0, 1, 2)
        )
        masks = None if data.masks is None else as_float(data.masks[chosen])
        images, moved = augment(
            augment_keys, as_float(data.images[chosen]), masks if align_masks else None, **augmentation
        )
        masks = moved if align_masks else masks
        if masks is not None and data.masks.dtype == jnp.uint8:
            masks = jnp.round(masks)  # interpolation blurs the edge of a binary mask
        pictures = None
        if data.pictures is not None:
            crop_keys = crop_keys[plan.plain_per_part :][: plan.pictured_per_part]
            pictures = as_float(random_crops(crop_keys, data.pictures, size=images.shape[1]))
        fill = 0.0 if data.fill is None else as_float(data.fill)
        batch = Batch(images, masks, data.targets[chosen], plan.plain_per_part, pictures, fill)
        learned = {name: state.params[name] for name in active}
        return jax.grad(lambda p: method.objective(method_keys, {**state.params, **p}, batch, active), has_aux=True)(
            learned
        )

    gradients, metrics = _loop_mean(lambda part, _: (None, slice_gradients(part)), None, plan.slices)[1]
    if axis is not None:
        gradients, metrics = lax.pmean((gradients, metrics), axis)
    params, opt_state = dict(state.params), dict(state.opt_state)
    for name in active:
        updates, opt_state[name] = optimizers[name].update(gradients[name], opt_state[name], params[name])
        params[name] = optax.apply_updates(params[name], updates)
    return TrainState(state.step + 1, state.key, params, opt_state), metrics


def _loop_mean(body: Callable, carry: Any, count: int | jax.Array) -> tuple[Any, Any]:
    """Runs carry, output = body(i, carry) for i = 0..count - 1; the last carry and the mean of the outputs."""
    if isinstance(count, int) and count == 1:
        return body(0, carry)
    outputs = jax.eval_shape(body, jnp.int32(0), carry)[1]

    def add(i, state):
        carry, sums = state
        carry, output = body(i, carry)
        return carry, jax.tree.map(jnp.add, sums, output)

    zeros = jax.tree.map(lambda output: jnp.zeros(output.shape, output.dtype), outputs)
    carry, sums = lax.fori_loop(0, count, add, (carry, zeros))
    return carry, jax.tree.map(lambda total: total / count, sums)


def _each_seed(
    step: Callable, active: tuple[str, ...], state: TrainState, data: TrainingData, order: jax.Array, device: jax.Array
) -> tuple[TrainState, dict[str, jax.Array]]:
    """`step` for every seed of a state of several; data.masks, order and the metrics have an axis of seeds, too.

    Small networks side by side cost an accelerator little more than one. To a CPU they are more work in any case, and
    convolutions batched over kernels are slow there, so it takes them one after the other.
    """

    def one(key, params, opt_state, masks, order):
        after, metrics = step(TrainState(state.step, key, params, opt_state), data._replace(masks=masks), order, device)
        return [{name: tree[name] for name in active} for tree in (after.params, after.opt_state)], metrics

    own = (state.key, state.params, state.opt_state, data.masks, order)
    if jax.default_backend() == "cpu":
        (params, opt_state), metrics = lax.map(lambda arguments: one(*arguments), own)
    else:
        (params, opt_state), metrics = jax.vmap(one)(*own)
    return TrainState(state.step + 1, state.key, {**state.params, **params}, {**state.opt_state, **opt_state}), metrics


def make_train_step(devices: list[jax.Device], *, several_seeds: bool = False, **options) -> Callable:
    """`train_step` jitted and pmapped over `devices` as one program: (state, data, order, count) -> (state, metrics).

    It takes `count` steps, an int32, without coming back to the host; all of them must lie in the epoch of `order`. The
    metrics are means over the steps. With `several_seeds` state, masks, order and metrics have a leading axis of seeds.
    The state is donated. Nothing is replicated by hand: state, data and order are the same on every device.
    """
    step = functools.partial(train_step, axis=AXIS, **options)
    if several_seeds:
        step = functools.partial(_each_seed, step, options["active"])

    def steps(state, data, order, count, device):
        return _loop_mean(lambda _, state: step(state, data, order, device), state, count)

    mapped = jax.pmap(
        steps, axis_name=AXIS, in_axes=(None, None, None, None, 0), out_axes=None, devices=devices, donate_argnums=0
    )
    indices = jax.device_put(np.arange(len(devices)), NamedSharding(Mesh(devices, (AXIS,)), PartitionSpec(AXIS)))
    # On a CPU a device is a thread of a pool as large as the number of devices. A second call in flight can take the
    # thread that the first one's pmean is waiting for, and both wait for ever.
    wait = len(devices) > 1 and devices[0].platform == "cpu"

    def step_all(state, data, order, count):
        result = mapped(state, data, order, count, indices)
        return jax.block_until_ready(result) if wait else result

    return step_all


def replicate(tree: Any, devices: list[jax.Device]) -> Any:
    """Puts arrays on every device, once, so that no call of a mapped function moves them again."""
    return jax.device_put(tree, NamedSharding(Mesh(devices, (AXIS,)), PartitionSpec()))


def make_forward(apply: Callable, devices: list[jax.Device], *, chunk: int = 64) -> Callable:
    """A batched `apply(params, images)` for any number of images, compiled for one shape.

    Args:
      apply: (params, float images (n, S, S, C)) -> outputs (n, ...).
      devices: each takes `chunk` images at a time.
      chunk: images per device and call.

    Returns:
      forward(params, images) -> outputs as NumPy arrays; images uint8 or float32 (N, S, S, C), on the host. The last
      batch is padded with zeros whose outputs are dropped.
    """
    mapped = jax.pmap(
        lambda params, images: apply(params, as_float(images)), axis_name=AXIS, in_axes=(None, 0), devices=devices
    )
    size = chunk * len(devices)

    def forward(params, images):
        batches = []
        for start in range(0, max(len(images), 1), size):
            batch = images[start : start + size]
            padded = np.zeros((size, *images.shape[1:]), images.dtype)
            padded[: len(batch)] = batch
            outputs = mapped(params, padded.reshape(len(devices), chunk, *images.shape[1:]))
            batches.append((outputs, len(batch)))
        flat = [np.asarray(outputs).reshape(size, *outputs.shape[2:])[:count] for outputs, count in batches]
        return np.concatenate(flat)

    return forward
