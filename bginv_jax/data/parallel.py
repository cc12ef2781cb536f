"""Work on files and records in threads, in order and a little ahead, so that little is held."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 8  # items a thread may be ahead of what is taken


def in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """What `function`, of which most releases the interpreter, gives for each item, in order."""
    # Pillow and hashlib release it; twice as many threads as cores fill what Python's parts leave.
    threads = min(16, 2 * (os.cpu_count() or 1))
    pool = ThreadPoolExecutor(threads)
    try:
        pending: deque[Future[Result]] = deque()
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > threads * _AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
