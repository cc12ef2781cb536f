"""Which networks train at which step, and at what rate: the static plan of a run.

A schedule is a tuple of phases, "NETWORKS:SHARE". The authors' three phases are ("f:1", "f_m:1", "f+f_b:1"); a joint
step after starting steps is ("f:250", "f+f_m:250", "f+f_m+f_b:1500").
"""

import dataclasses
import re

import optax

NETWORKS = ("f", "f_l", "f_m", "f_b")
DECAYS = ("constant", "cosine")

_NETWORK = "(?:" + "|".join(NETWORKS) + ")"
_PHASE = re.compile(rf"({_NETWORK}(?:\+{_NETWORK})*):(\d+(?:\.\d*)?)")


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
    """Whether each entry is NETWORKS:SHARE with known networks and a positive share below 2**31."""
    matches = [isinstance(entry, str) and _PHASE.fullmatch(entry) for entry in schedule]
    return bool(matches) and all(match and 0 < float(match[2]) < 2**31 for match in matches)


def make_phases(schedule: tuple[str, ...], steps: int) -> tuple[Phase, ...]:
    """Shares out `steps` over the phases, at least one step to each. Shares that add up to `steps` are steps."""
    matches = [_PHASE.fullmatch(entry) for entry in schedule]
    total = sum(float(match[2]) for match in matches)
    phases, done, start = [], 0.0, 0
    for i, match in enumerate(matches):
        done += float(match[2])
        stop = max(start + 1, min(round(steps * done / total), steps - (len(matches) - i - 1)))
        trained = match[1].split("+")
        phases.append(Phase(tuple(name for name in NETWORKS if name in trained), start, stop))
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
