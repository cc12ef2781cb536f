"""What a profile says of kernels: which took how much of a step, and how many it launched."""

import collections
import heapq
import operator
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jax.profiler import ProfileData


class Launch(NamedTuple):
    """Of a kernel, for an operation of XLA's program, "" where that is not known."""

    kernel: str
    operation: str
    nanoseconds: float


def launches(folder: str | Path) -> Iterator[Launch]:
    """Of a trace that `jax.profiler.trace` wrote: what ran on a GPU's streams, or without one in XLA's threads."""
    (path,) = Path(folder).rglob("*.xplane.pb")
    planes = list(ProfileData.from_file(str(path)).planes)
    on_device = [plane for plane in planes if plane.name.startswith("/device:")]
    for plane in on_device or planes:
        lines = list(plane.lines)
        streams = [line for line in lines if line.name.startswith("Stream")]  # the others tell the same in other words
        for line in streams or lines:
            for event in line.events:
                operation = dict(event.stats).get("hlo_op", "")
                if streams or operation:
                    yield Launch(event.name, str(operation), event.duration_ns)


def summary(all_launches: list[Launch], steps: int, *, most: int) -> tuple[dict, list[dict]]:
    """What `steps` steps launched: all together, and the kernels that took the most time."""
    nanoseconds: dict[str, float] = collections.defaultdict(float)
    counts: collections.Counter[str] = collections.Counter()
    operations: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for launch in all_launches:
        nanoseconds[launch.kernel] += launch.nanoseconds
        counts[launch.kernel] += 1
        operations[launch.kernel][launch.operation] += 1
    total = sum(nanoseconds.values())
    whole = {
        "busy_microseconds_per_step": total / 1e3 / steps,
        "launches_per_step": len(all_launches) / steps,
        "kernels": len(counts),
    }
    return whole, [
        {
            "kernel": kernel,
            "operations": [name for name, _ in operations[kernel].most_common(4)],
            "busy_microseconds_per_step": spent / 1e3 / steps,
            "share_of_busy": spent / total if total else 0.0,
            "launches_per_step": counts[kernel] / steps,
        }
        for kernel, spent in heapq.nlargest(most, nanoseconds.items(), key=operator.itemgetter(1))
    ]
