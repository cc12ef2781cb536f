"""What a step draws from: a training set that lies on the devices, or batches that stream from the host.

A feed on the device, `Resident` or `Streamed`, is a pytree with a function `draw`; a feed on the host, `ResidentFeed`
or `StreamedFeed`, hands the device's feed to each call of the compiled steps. Images are (N, S, S, C) uint8.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from bginv_jax.errors import InputError
from bginv_jax.images.augment import random_crops
from bginv_jax.methods.contract import Layout
from bginv_jax.training import devices as hardware

MOST_STREAMED = 8  # steps in one call, whose batches lie on the device together


class BatchPlan(NamedTuple):
    """How a batch is split over devices, and on each device over slices whose gradients are averaged.

    Every part has the same layout, so the same images get the same treatment however many parts there are.
    """

    layout: Layout
    devices: int
    slices: int

    @property
    def batch_size(self) -> int:
        return self.layout.total

    @property
    def part(self) -> Layout:
        """The layout of one slice of one device."""
        return self.layout.part(self.devices * self.slices)

    def positions(self, device: jax.Array | int) -> jax.Array:
        """Places in the batch of the images of a device: int32 (slices, images of a slice)."""
        index = (device * self.slices + jnp.arange(self.slices))[:, None]
        places, start = [], 0
        for count, share in zip(self.layout, self.part, strict=True):
            places.append(start + index * share + jnp.arange(share))
            start += count
        return jnp.concatenate(places, axis=1)


class Raw(NamedTuple):
    """A batch as it is before augmentation.

    images: (N, S, S, C) uint8. targets: a pytree with a leading N.
    masks: (N, S, S, 1), uint8 where they are 0 or 255, or float32; None where the step makes its own, or needs none.
    pictures: (P, S, S, C) uint8 that stand behind the pictured objects, or None.
    """

    images: jax.Array
    targets: Any
    masks: jax.Array | None = None
    pictures: jax.Array | None = None


def _crops(keys: jax.Array, pictures: jax.Array | None, size: int) -> jax.Array | None:
    return None if pictures is None else random_crops(keys, pictures, size=size)


class Resident(NamedTuple):
    """A training set on every device, of which `order` is an epoch's, with pictures (P, T, T, C), T at least S.

    Of several seeds together, masks and order have a leading axis of seeds.
    """

    images: jax.Array
    targets: Any
    masks: jax.Array | None = None
    pictures: jax.Array | None = None
    order: jax.Array | None = None

    def draw(self, step: jax.Array, positions: jax.Array, picture_keys: jax.Array, batch_size: int) -> Raw:
        """The images at `positions` (n,) of the step's batch, and a crop of a picture for each of `picture_keys`."""
        assert self.order is not None, "a feed draws in an epoch's order"
        window = step % (len(self.images) // batch_size) * batch_size
        chosen = self.order[window + positions]
        masks = None if self.masks is None else self.masks[chosen]
        targets = jax.tree.map(lambda leaf: leaf[chosen], self.targets)
        return Raw(self.images[chosen], targets, masks, _crops(picture_keys, self.pictures, self.images.shape[1]))

    def per_seed(self) -> tuple:
        return self.masks, self.order

    def of_seed(self, fed: tuple) -> "Resident":
        return self._replace(masks=fed[0], order=fed[1])


class Streamed(NamedTuple):
    """Batches of the steps from `first` on, on each device its share: a Raw whose arrays are (steps, n, ...).

    How many steps is always the same; the last of them may be fillers. Of several seeds together, batches have a
    leading axis of seeds.
    """

    batches: Raw
    first: jax.Array
    pictures: jax.Array | None = None

    def draw(self, step: jax.Array, positions: jax.Array, picture_keys: jax.Array, batch_size: int) -> Raw:
        """As `Resident.draw`; the device's share is in the order of its positions."""
        raw = jax.tree.map(lambda leaf: leaf[step - self.first], self.batches)
        if self.pictures is None:
            return raw
        return raw._replace(pictures=_crops(picture_keys, self.pictures, raw.images.shape[1]))

    def per_seed(self) -> tuple:
        return (self.batches,)

    def of_seed(self, fed: tuple) -> "Streamed":
        return self._replace(batches=fed[0])


class Feed(Protocol):
    """A feed on the host.

    axes: which arrays of its device's feed have a leading axis of devices, as `devices.map_program` takes them.
    last(step): where a call that starts at `step` must end at the latest.
    arrays(key, step, stop): the device's feed for the steps from `step` to `stop`, for a run with `key`.
    """

    axes: Any

    def last(self, step: int) -> int: ...

    def arrays(self, key: jax.Array, step: int, stop: int) -> Resident | Streamed: ...


def draw_order(key: jax.Array, epoch: jax.Array, count: int) -> jax.Array:
    """The order in which an epoch visits `count` images: (count,) int32."""
    return jax.random.permutation(jax.random.fold_in(jax.random.fold_in(key, 1), epoch), count)


class ResidentFeed:
    """Every epoch visits every image of a set that fits the devices once, in a new order.

    Args:
      data: without an order; masks have a leading axis of seeds where several train together.
      batch_size: images per step; what an epoch leaves over is left out.
      devices: where it lies.
      several_seeds: whether each seed has an order of its own.
    """

    axes = None

    def __init__(self, data: Resident, batch_size: int, devices: Sequence[jax.Device], *, several_seeds: bool = False):
        self.data = hardware.replicate(data, devices)
        count = len(data.images)
        self._epoch_steps = count // batch_size
        draw = functools.partial(draw_order, count=count)
        self._draw = jax.jit(jax.vmap(draw, in_axes=(0, None)) if several_seeds else draw)
        self._order: tuple[int, jax.Array] | None = None

    def last(self, step: int) -> int:
        return (step // self._epoch_steps + 1) * self._epoch_steps

    def arrays(self, key: jax.Array, step: int, stop: int) -> Resident:
        epoch = step // self._epoch_steps
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, self._draw(key, epoch)
        return self.data._replace(order=self._order[1])


def _positions(plan: BatchPlan, devices: Sequence[jax.Device]) -> np.ndarray:
    """The places in the batch of each device of this process: (devices, n)."""
    return np.stack([np.asarray(plan.positions(jnp.int32(i))).ravel() for i in hardware.own_places(devices)])


def own_positions(plan: BatchPlan, devices: Sequence[jax.Device]) -> np.ndarray:
    """The places in the batch that fall to the devices of this process, in order; all of them in a single one."""
    return np.sort(_positions(plan, devices), axis=None)


class StreamedFeed:
    """Batches that somebody else reads, for sets that fit neither devices nor memory.

    Args:
      reads: of each seed (key, step) -> iterator of the batches of that step and all later ones, for a run with `key`:
        NumPy Raw of `plan.batch_size` images each, of several processes those at `own_positions`; the same whenever it
        is asked, or a resumed run would go on otherwise.
      plan: how a batch is split; each device gets its own share alone.
      devices: as many as the plan has.
      pictures: (P, T, T, C) uint8 for the plan's pictured images, on every device.
      several_seeds: whether the run's key has a leading axis of seeds.
    """

    axes: Any = Streamed(0, None, None)  # type: ignore[arg-type]  # in the form of its arrays

    def __init__(
        self,
        reads: Sequence[Callable[[jax.Array, int], Iterator[Raw]]],
        plan: BatchPlan,
        devices: Sequence[jax.Device],
        *,
        pictures: np.ndarray | None = None,
        several_seeds: bool = False,
    ):
        self._reads, self._devices, self._several_seeds = reads, devices, several_seeds
        self._places = np.searchsorted(own_positions(plan, devices), _positions(plan, devices))
        self._pictures = hardware.replicate(pictures, devices)
        self._batches: tuple[int, list[Iterator[Raw]]] | None = None

    def last(self, step: int) -> int:
        return step + MOST_STREAMED

    def arrays(self, key: jax.Array, step: int, stop: int) -> Streamed:
        if self._batches is None or self._batches[0] != step:
            key = jnp.copy(key)  # the state's own is gone after the next call
            keys = key if self._several_seeds else [key]
            self._batches = step, [read(own, step) for read, own in zip(self._reads, keys, strict=True)]
        batches = self._batches[1]
        of_seeds = [self._shares(own, stop - step) for own in batches]
        self._batches = stop, batches
        shares = of_seeds[0]
        if self._several_seeds:
            shares = jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *of_seeds)
        return Streamed(hardware.split(shares, self._devices), jnp.int32(step), self._pictures)

    def _shares(self, batches: Iterator[Raw], count: int) -> Raw:
        """The next batches, on each device its share: arrays (devices, steps, n, ...)."""
        raws = [jax.tree.map(lambda leaf: leaf[self._places], next(batches)) for _ in range(count)]
        raws += raws[-1:] * (MOST_STREAMED - count)  # which no step takes: one shape, one compiled program
        return jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *raws)


def plan_batch(
    layout: Layout, size: int, *, device_count: int, cache_pixels: int | None, processes: int = 1
) -> BatchPlan:
    """Splits a batch over as many devices as share it out evenly, and into slices that fit a processor's cache.

    Args:
      layout: of the batch.
      size: the side of an image, pixels.
      device_count: how many devices there are.
      cache_pixels: pixels of the images whose activations fit the cache; None takes a device's share at once.
      processes: that have the devices; each takes part with as many.

    Raises:
      InputError: if the processes cannot share the batch out evenly.
    """
    common = layout.most_parts
    devices = max((n for n in range(processes, device_count + 1, processes) if common % n == 0), default=0)
    if not devices:
        raise InputError(
            f"config.batch_size is {layout.total}, split for config.background as {tuple(layout)}, which {processes} "
            f"processes cannot share evenly; expected parts that are multiples of {processes}"
        )
    rest = common // devices
    slices = 1
    if cache_pixels is not None:
        divisors = [n for n in range(1, rest + 1) if rest % n == 0]
        slices = next((n for n in divisors if layout.total * size**2 <= cache_pixels * devices * n), rest)
    return BatchPlan(layout, devices, slices)
