"""Batches of a set that lies in a file or in the host's memory, read ahead of the steps that learn from them."""

import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import jax
import numpy as np

from bginv_jax.data import rows
from bginv_jax.data.dataset import Split
from bginv_jax.training.feed import MOST_STREAMED, Raw, draw_order

_AHEAD = 2 * MOST_STREAMED  # batches that are ready while the devices work
_THREADS = 4  # which wait for a disk
_SHARE = 0.5  # of a device's memory for the data; networks and activations need the rest


def is_needed(choice: str, *, set_bytes: int, device_bytes: int) -> bool:
    """Whether a training set streams: by `choice`, or with "auto" where it needs over half of a device.

    Args:
      choice: config.data.stream.
      set_bytes: of all images and their masks.
      device_bytes: the memory of one device.
    """
    return choice == "always" or (choice == "auto" and set_bytes > _SHARE * device_bytes)


def make_reader(
    split: Split, batch_size: int, *, masks: np.ndarray | None = None, places: np.ndarray | None = None
) -> Callable[[jax.Array, int], Iterator[Raw]]:
    """A reader for `StreamedFeed`, whose epochs are those of a `ResidentFeed`, in the same order.

    Args:
      split: at least `batch_size` images.
      batch_size: images per step; what an epoch leaves over is left out.
      masks: (N, S, S, 1), if the phase takes them.
      places: in a batch, of the images that this process reads; by default all.
    """
    chosen_places = slice(None) if places is None else places
    count = len(split.images)
    epoch_steps = count // batch_size
    draw = jax.jit(functools.partial(draw_order, count=count))

    def gather(chosen: np.ndarray) -> Raw:
        targets = jax.tree.map(lambda leaf: leaf[chosen], split.targets)
        own = None if masks is None else rows.take(masks, chosen)
        return Raw(rows.take(split.images, chosen), targets, own)  # type: ignore[arg-type]  # on the host yet

    def orders(key: jax.Array, first: int) -> Iterator[np.ndarray]:
        for epoch in itertools.count(first // epoch_steps):
            order = np.asarray(draw(key, epoch))
            for step in range(max(0, first - epoch * epoch_steps), epoch_steps):
                yield order[step * batch_size :][:batch_size][chosen_places]

    def read(key: jax.Array, first: int) -> Iterator[Raw]:
        pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="stream")  # which ends with this iterator
        pending: deque[Future[Raw]] = deque()
        for chosen in orders(key, first):
            pending.append(pool.submit(gather, chosen))
            if len(pending) > _AHEAD:
                yield pending.popleft().result()

    return read
