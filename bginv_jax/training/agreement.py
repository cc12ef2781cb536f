"""What several processes that train together tell each other: that they have all the same, and the first's arrays.

Every process must ask for it, in the same order. A single one agrees with itself at once.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from bginv_jax.errors import InputError
from bginv_jax.training.distributed import is_first, noticing_losses

_GROWS = 10  # seconds until a file of the first process is seen in all, at the latest


def gather(value: Any) -> np.ndarray:
    """A number or an array of each process, with a leading axis of processes."""
    if jax.process_count() == 1:
        return np.asarray(value)[None]
    with noticing_losses():
        gathered = np.asarray(multihost_utils.process_allgather(np.asarray(value)))
    return gathered.reshape(-1, *np.shape(value))


def from_first(tree: Any) -> Any:
    """The first process's arrays, in every process."""
    if jax.process_count() == 1:
        return tree
    with noticing_losses():
        return jax.tree.map(np.asarray, multihost_utils.broadcast_one_to_all(tree))


def _digest(value: Any) -> np.ndarray:
    text = json.dumps(value, sort_keys=True, default=str)
    return np.frombuffer(hashlib.sha256(text.encode()).digest()[:8], np.uint32)


def check_same(values: Mapping[str, Any]) -> None:
    """Complains in all processes if they have not all the same values, which would train something else in each.

    Args:
      values: what is compared, by what the message calls it; anything that is JSON.

    Raises:
      InputError: names what differs.
    """
    if jax.process_count() == 1:
        return
    differ = []
    if _all_same(_digest(sorted(values))):  # or there are not as many of them
        same = gather(np.stack([_digest(values[name]) for name in sorted(values)]))
        equal = (same == same[0]).all(axis=(0, 2))
        differ = [name for name, agrees in zip(sorted(values), equal, strict=True) if not agrees]
    else:
        differ = ["the version of bginv_jax"]
    if differ:
        raise InputError(
            f"not the same in all processes: {', '.join(differ)}; expected the same command on the same data"
        )


def _all_same(digest: np.ndarray) -> bool:
    digests = gather(digest)
    return bool((digests == digests[0]).all())


def check_shared(folder: Path, *, field: str) -> None:
    """Complains in all processes if they do not all see one folder, which is made; a checkpoint is written by all.

    Raises:
      InputError: names the folder and the processes that see another.
    """
    if jax.process_count() == 1:
        return
    name = f".seen-by-all-{from_first(np.uint32(int.from_bytes(os.urandom(4), 'little'))):08x}"
    if is_first():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    gather(np.int32(0))  # the file is there
    until = time.monotonic() + _GROWS
    while not (folder / name).exists() and time.monotonic() < until:
        time.sleep(0.1)
    blind = np.flatnonzero(~gather(np.int32((folder / name).exists())).astype(bool))
    if is_first():
        (folder / name).unlink()
    if len(blind):
        raise InputError(
            f"{field} is {str(folder)!r}, another folder in process {', '.join(map(str, blind))} than in the first; "
            "expected one that all processes share"
        )
