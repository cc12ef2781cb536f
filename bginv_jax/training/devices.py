"""The one room that knows of devices: which there are, their axis, how programs are mapped and arrays lie on them.

pmap stands here alone, and nothing else depends on it. Over several processes it maps a program over all their devices,
and gives and takes what lies on those of this process: arrays are a process's own, and the same in all where they are
replicated.
"""

import collections
import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bginv_jax.data import rows
from bginv_jax.images.pixels import as_float
from bginv_jax.jax_settings import own_settings
from bginv_jax.training import agreement

AXIS = "devices"
_MOST_CPU_DEVICES = 8
_CHUNK, _CHUNK_ON_CPU = 64, 16  # images of a forward pass
_CALL_PIXELS_ON_CPU = 2**18  # of each device, in all passes of a call
_CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of Linux
_MAPPED_CALL = threading.Lock()  # of all programs on several processors; `map_program` says why


def local() -> list[jax.Device]:
    """The devices of this process."""
    return jax.local_devices()


def sharing() -> int:
    """How many devices can share a batch: of each process as many as the one with the fewest has."""
    counts = collections.Counter(device.process_index for device in jax.devices())
    return min(counts.values()) * len(counts)


def of_all(count: int) -> list[jax.Device]:
    """So many devices, the same in every process, and of each process as many: its first ones."""
    each = count // jax.process_count()
    of_processes = collections.defaultdict(list)
    for device in jax.devices():
        of_processes[device.process_index].append(device)
    return [device for index in sorted(of_processes) for device in of_processes[index][:each]]


def own_places(devices: Sequence[jax.Device]) -> np.ndarray:
    """Which of `devices` are this process's."""
    return np.array([i for i, device in enumerate(devices) if device.process_index == jax.process_index()])


def own(devices: Sequence[jax.Device]) -> list[jax.Device]:
    """Those of `devices` that are this process's."""
    return [devices[i] for i in own_places(devices)]


def on_cpu() -> bool:
    """Whether the devices are processors."""
    return jax.default_backend() == "cpu"


def describe() -> str:
    """How many there are, and of what kind."""
    processes = f" in {jax.process_count()} processes" if jax.process_count() > 1 else ""
    return f"{jax.device_count()} {jax.local_devices()[0].device_kind}{processes}"


def memory() -> int:
    """Bytes of the smallest device; processors share what the host has, or what its container may use."""
    if jax.process_count() == 1:
        return _memory()
    return 2**20 * int(agreement.gather(np.int32(_memory() // 2**20)).min())  # JAX has no larger integers


def _memory() -> int:
    stats = None if on_cpu() else jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"]
    return _host_memory() // jax.local_device_count()


def _host_memory() -> int:
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if hasattr(os, "sysconf") else []
    for file in _CONTAINER_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # not there, or "max"
            limits.append(int(Path(file).read_text(encoding="ascii")))
    return min(limits, default=2**34)


@contextlib.contextmanager
def counting() -> Iterator[None]:
    """Where XLA counts operations before compiling: on the host, since a GPU's compiler does not."""
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        yield


def use_all_processors() -> None:
    """Makes each core a JAX device of its own, unless the environment says how many there are. Before JAX starts."""
    forced = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not forced and "JAX_NUM_CPU_DEVICES" not in os.environ:
        allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
        jax.config.update("jax_num_cpu_devices", min(len(allowed), _MOST_CPU_DEVICES))


def mean(tree: Any) -> Any:
    """The mean over the devices of a mapped program."""
    return lax.pmean(tree, AXIS)


def _sharding(devices: Sequence[jax.Device], *axes: str) -> NamedSharding:
    return NamedSharding(Mesh(np.array(devices), (AXIS,)), PartitionSpec(*axes))


def replicate(tree: Any, devices: Sequence[jax.Device]) -> Any:
    """Puts arrays on every device of this process, once, so that no call of a mapped program moves them again."""
    return jax.device_put(tree, _sharding(own(devices)))


def split(tree: Any, devices: Sequence[jax.Device]) -> Any:
    """Puts arrays (devices of this process, ...) on them, a row on each."""
    return jax.device_put(tree, _sharding(own(devices), AXIS))


def as_one(tree: Any) -> Any:
    """The replicated arrays of all processes as one of them all, of which each writes its part of a checkpoint."""
    if jax.process_count() == 1:
        return tree

    def one(leaf: jax.Array) -> jax.Array:
        copies = [shard.data for shard in leaf.addressable_shards]
        sharding = _sharding(of_all(len(copies) * jax.process_count()))
        return jax.make_array_from_single_device_arrays(leaf.shape, sharding, copies)

    return jax.tree.map(one, tree)


def on_one() -> jax.sharding.Sharding:
    """Where a restored array lies first."""
    return jax.sharding.SingleDeviceSharding(jax.local_devices()[0])


def map_program(
    function: Callable, devices: Sequence[jax.Device], *, in_axes: Any = 0, out_axes: Any = 0, donate: tuple = ()
) -> Callable:
    """`function` jitted and mapped over `devices` as one program; `mean` may stand in it.

    Args:
      function: of arrays.
      devices: at least one; of several processes those of all, in every process. Axes of devices are of its own.
      in_axes, out_axes: 0 where an argument or result has a leading axis of devices, None where all have the same.
      donate: places of the arguments whose memory the program takes over.
    """
    mapped = jax.pmap(
        function, axis_name=AXIS, in_axes=in_axes, out_axes=out_axes, devices=devices, donate_argnums=donate
    )
    # On a CPU a device is a thread of a pool as large as the number of devices. A second call in flight can take the
    # thread that the first one's mean is waiting for, and both wait for ever.
    if len(devices) == 1 or devices[0].platform != "cpu":
        return mapped

    def one_at_a_time(*arguments):
        with _MAPPED_CALL:
            return jax.block_until_ready(mapped(*arguments))

    return one_at_a_time


def make_forward(apply: Callable, devices: Sequence[jax.Device], *, chunk: int = 0, passes: int = 0) -> Callable:
    """A batched `apply(variables, images)` for any number of images, compiled for one shape.

    Args:
      apply: (variables, float images (n, S, S, C)) -> outputs (n, ...).
      devices: each takes `chunk` images at a time; of several processes only its own.
      chunk: images per device and pass; by default few on a processor, whose caches then hold what is between layers.
      passes: that a call makes at most; by default several of small images on a processor, where a call costs as much
        as some of them do.

    Returns:
      forward(variables, images) -> outputs as NumPy arrays; images uint8 or float32 (N, S, S, C), on the host. The last
      pass is padded with zeros whose outputs are dropped.
    """
    devices = own(devices)
    chunk = chunk or (_CHUNK_ON_CPU if on_cpu() else _CHUNK)

    def several(variables, x, count):
        """The first `count` of x (passes, chunk, S, S, C) -> outputs (passes, chunk, ...), 0 of the others."""

        def once(part):
            return apply(variables, as_float(part))

        if len(x) == 1:
            return once(x[0])[None]
        one = jax.eval_shape(once, x[0])
        outputs = jnp.zeros((len(x), *one.shape), one.dtype)
        return lax.fori_loop(0, count, lambda i, outputs: outputs.at[i].set(once(x[i])), outputs)

    mapped = map_program(several, devices, in_axes=(None, 0, None))

    @own_settings()
    def forward(variables, images):
        pixels = chunk * images.shape[1] * images.shape[2]
        most = passes or (max(1, _CALL_PIXELS_ON_CPU // pixels) if on_cpu() else 1)
        each = len(devices) * chunk
        batches = []
        for batch in rows.chunks(images, each * most) if len(images) else [images]:
            padded = np.zeros((most * each, *images.shape[1:]), images.dtype)
            padded[: len(batch)] = batch
            by_device = padded.reshape(most, len(devices), chunk, *images.shape[1:]).swapaxes(0, 1)
            outputs = mapped(variables, by_device, np.int32(-(-len(batch) // each)))
            batches.append((outputs, len(batch)))
        in_order = [(np.asarray(outputs).swapaxes(0, 1), count) for outputs, count in batches]
        return np.concatenate([outputs.reshape(-1, *outputs.shape[3:])[:count] for outputs, count in in_order])

    return forward
