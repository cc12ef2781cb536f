"""Which networks train at which step, and at what rate: the static plan of a run.

A schedule is a tuple of phases, "NETWORKS:SHARE". The authors' three phases are ("f:1", "f_m:1", "f+f_b:1"); a joint
step after starting steps is ("f:250", "f+f_m:250", "f+f_m+f_b:1500").
"""

import dataclasses
import re

import optax

_FIRST = ("f", "f_l", "f_m", "f_b")  # the order of a phase; networks of other methods follow
DECAYS = ("constant", "cosine")

_PHASE = re.compile(r"([a-z]\w*(?:\+[a-z]\w*)*):(\d+(?:\.\d*)?)")


@dataclasses.dataclass(frozen=True)
class Phase:
    """Steps start to stop (excluded), in which `networks` train together."""

    networks: tuple[str, ...]
    start: int
    stop: int

    @property
    def name(self) -> str:
        return "+".join(self.networks)


def is_schedule(schedule: tuple) -> bool:
    """Whether each entry is NETWORKS:SHARE with networks and a positive share below 2**31."""
    matches = [_PHASE.fullmatch(entry) if isinstance(entry, str) else None for entry in schedule]
    return bool(matches) and all(match is not None and 0 < float(match[2]) < 2**31 for match in matches)


def make_phases(schedule: tuple[str, ...], steps: int) -> tuple[Phase, ...]:
    """Shares out `steps` over the phases, at least one step to each. Shares that add up to `steps` are steps."""
    matches = [match for entry in schedule if (match := _PHASE.fullmatch(entry))]
    total = sum(float(match[2]) for match in matches)
    phases, done, start = [], 0.0, 0
    for i, match in enumerate(matches):
        done += float(match[2])
        stop = max(start + 1, min(round(steps * done / total), steps - (len(matches) - i - 1)))
        trained = dict.fromkeys(match[1].split("+"))
        networks = (*(name for name in _FIRST if name in trained), *(name for name in trained if name not in _FIRST))
        phases.append(Phase(networks, start, stop))
        start = stop
    return tuple(phases)


def make_rate(network: str, rate: float, decay: str, phases: tuple[Phase, ...]) -> optax.Schedule:
    """The learning rate as a function of how often `network` was updated.

    With "cosine" it falls to 0 over each unbroken stretch of phases in which the network trains, then starts again.
    """
    stretches: list[int] = []
    previous = False
    for phase in phases:
        trains = network in phase.networks
        if trains and previous:
            stretches[-1] += phase.stop - phase.start
        elif trains:
            stretches.append(phase.stop - phase.start)
        previous = trains
    if decay == "constant" or not stretches:
        return optax.constant_schedule(rate)
    ends = [sum(stretches[: i + 1]) for i in range(len(stretches) - 1)]
    return optax.join_schedules([optax.cosine_decay_schedule(rate, length) for length in stretches], ends)
