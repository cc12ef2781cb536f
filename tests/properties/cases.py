"""One input after another, each in bounded time and memory, and what an error of ours is."""

import collections
import contextlib
import dataclasses
import re
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import settings

from bginv_jax.errors import InputError

SECONDS = 20  # of processors; ten times as long by the clock, since others may use them
BYTES = 2**31  # beside what the process has already


@dataclasses.dataclass
class Count:
    """What was tried of a kind."""

    cases: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest: float = 0.0


COUNTS: dict[str, Count] = collections.defaultdict(Count)


class HangError(BaseException):
    """A case took too long; no reader holds it back."""


def times(factor: float) -> settings:
    """The settings of a test that is run so many times as often as others."""
    return settings(max_examples=max(1, round(factor * settings().max_examples)))


@contextlib.contextmanager
def bounded(seconds: float, most: int) -> Iterator[None]:
    """No more than so many seconds and bytes for what is in it."""

    def stop(*_: object) -> None:
        raise HangError(f"more than {seconds} seconds")

    timers = {signal.ITIMER_PROF: (signal.SIGPROF, seconds), signal.ITIMER_REAL: (signal.SIGALRM, 10 * seconds)}
    before = resource.getrlimit(resource.RLIMIT_AS)
    handlers = {number: signal.signal(number, stop) for number, _ in timers.values()}
    held = Path("/proc/self/statm")
    if held.exists():
        limit = int(held.read_text().split()[0]) * resource.getpagesize() + most
        resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    try:
        for timer, (_, after) in timers.items():
            signal.setitimer(timer, after)
        yield
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)
        resource.setrlimit(resource.RLIMIT_AS, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def attempt(
    kind: str,
    call: Callable[[], Any],
    *,
    names: str | re.Pattern = "",
    seconds: float = SECONDS,
    most: int = BYTES,
) -> Any:
    """What a call gives, or None where it is refused by an error of ours, which holds `names` in one line."""
    count, start = COUNTS[kind], time.perf_counter()
    count.cases += 1
    try:
        with bounded(seconds, most):
            return call()
    except InputError as error:
        count.refused += 1
        check_message(str(error), names)
        return None
    except OSError as error:
        count.refused += 1
        check_message(str(error.filename), names)
        return None
    finally:
        taken = time.perf_counter() - start
        count.seconds += taken
        count.slowest = max(count.slowest, taken)


def check_message(message: str, names: str | re.Pattern = "") -> None:
    """A message is one line that a terminal shows as it is, and it says what it is about."""
    assert message.isprintable(), ascii(message)
    assert len(message) < 5000
    assert names in message if isinstance(names, str) else names.search(message), message
