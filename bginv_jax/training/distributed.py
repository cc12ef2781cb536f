"""Several processes that train together: how they find each other, and end when one of them is gone.

A single process is the first of one. What lies on which device is for `devices`, what all know for `agreement`.
"""

import contextlib
import ctypes
import logging
import os
import signal
import socket
import time
import traceback
from collections.abc import Iterator
from typing import Any, NoReturn

import jax

from bginv_jax.errors import InputError, causes, first_line
from bginv_jax.training.leaving import SIGNALLED, SYSTEM, leave

_LOG = logging.getLogger(__name__)

_START, _SILENT = 120, 30  # seconds: that processes wait for each other at the start, and for a sign of life later
_PATIENCE = 1.0  # seconds
_LOST = (
    "another process of this training has ended or cannot be reached; started again in all of them, the same command "
    "continues from the newest checkpoint"
)
_NO_ROOM = "RESOURCE_EXHAUSTED"  # how JAX's error of memory begins, which is of this process
_NO_CLUSTER = (
    "--distributed: this process was started by no cluster that JAX knows (SLURM, Open MPI, Kubernetes, Cloud TPU); "
    "expected --coordinator=HOST:PORT, --process_count and --process_id with it"
)


def is_first() -> bool:
    """Whether this process writes what is written once: logs, bars, figures."""
    return jax.process_index() == 0


def _check(coordinator: str, process_count: int, process_id: int) -> None:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise InputError(f"--coordinator is {coordinator!r}; expected HOST:PORT, where the first process listens")
    if process_count < 1:
        raise InputError(f"--process_count is {process_count}; expected at least 1")
    if not 0 <= process_id < process_count:
        raise InputError(f"--process_id is {process_id} of {process_count}; expected 0 to {process_count - 1}")


def check_flags(
    *, distributed: bool, coordinator: str | None, process_count: int | None, process_id: int | None
) -> None:
    """Refuses flags that do not go together.

    Raises:
      InputError: names the flags.
    """
    explicit = {"--coordinator": coordinator, "--process_count": process_count, "--process_id": process_id}
    given = [name for name, value in explicit.items() if value is not None]
    missing = [name for name, value in explicit.items() if value is None]
    if given and not distributed:
        raise InputError(f"{given[0]} is {explicit[given[0]]!r} without --distributed; expected both, or neither")
    if given and missing:
        raise InputError(f"{given[0]} is {explicit[given[0]]!r} without {' and '.join(missing)}; expected all or none")
    if coordinator is not None and process_count is not None and process_id is not None:
        _check(coordinator, process_count, process_id)


def join(
    *,
    coordinator: str | None = None,
    process_count: int | None = None,
    process_id: int | None = None,
    start_seconds: int = _START,
    silent_seconds: int = _SILENT,
) -> None:
    """Joins the processes of one training, before JAX looks for devices; as the cluster says, or as the arguments do.

    From then on the first alone logs what is no error, and the death of one process ends all with an error.

    Args:
      coordinator: HOST:PORT of the first process; with it the others, as `check_flags`.
      process_count: how many there are.
      process_id: which this is.
      start_seconds: to wait for the others.
      silent_seconds: after which a process that gives no sign of life is taken for dead.

    Raises:
      InputError: if no cluster is found and none is given.
      ConnectionError: if the first process cannot listen where it should.
    """
    address = coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS") or "its cluster's first process"
    waiting = (
        f"not all processes of this training met at {address} within {start_seconds} s; expected all to be started"
    )
    _end_in_one_line(waiting)
    if coordinator is not None and process_id:
        _await(coordinator, start_seconds)
    try:
        jax.distributed.initialize(
            coordinator,
            process_count,
            process_id,
            cluster_detection_method=None if coordinator is None else "deactivate",
            initialization_timeout=start_seconds,
            heartbeat_timeout_seconds=silent_seconds,
            shutdown_timeout_seconds=silent_seconds,
        )
    except jax.errors.JaxRuntimeError as error:
        raise ConnectionError(f"{address}: {first_line(error)}; is the port in use?") from error
    except ValueError as error:
        if "should be defined" not in str(error) and "must be defined" not in str(error):
            raise
        raise InputError(_NO_CLUSTER) from error
    except RuntimeError as error:  # of a cluster that JAX knows and that lacks something
        raise InputError(f"--distributed: {error}") from error
    _end_in_one_line(_LOST)
    if not is_first():
        logging.getLogger("bginv_jax").setLevel(logging.ERROR)
    _LOG.info("%d processes train together", jax.process_count())


def _await(coordinator: str, seconds: int) -> None:
    """Waits until the first process listens; JAX would abort the process when it does not."""
    host, _, port = coordinator.rpartition(":")
    until = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=max(0.1, until - time.monotonic())).close()
            return
        except OSError as error:
            if time.monotonic() > until:
                reason = error.strerror or str(error)
                raise ConnectionError(
                    f"--coordinator is {coordinator!r}, which cannot be reached within {seconds} s ({reason}); "
                    "expected the first process to listen there"
                ) from error
        time.sleep(0.2)


_handlers: list[Any] = []  # which C calls, and which must therefore stay


def _end_in_one_line(message: str) -> None:
    """Has an abort end in `message`: JAX, whose threads notice that a process is gone, aborts with a trace of its own.

    Python's own handlers would not run any more.
    """

    def end(_: int) -> None:
        leave(f"error: {message}", SYSTEM)

    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(end)
    _handlers.append(handler)
    with contextlib.suppress(TypeError, OSError):  # a system where C's library is not to be had: the trace stays last
        ctypes.CDLL(None).signal(int(signal.SIGABRT), handler)


@contextlib.contextmanager
def leaving_at_once() -> Iterator[None]:
    """Ends the whole process where it ends by an error and others trained with it, which then notice at once."""
    try:
        yield
    except BaseException as error:
        if not jax.distributed.is_initialized():
            raise
        code = error.code if isinstance(error, SystemExit) else SYSTEM
        if code is None or code == 0 or (isinstance(code, int) and code > SIGNALLED):
            raise  # what is over in all processes
        if _is_loss(error):
            _leave_lost(error)
        if not isinstance(error, SystemExit):
            traceback.print_exc()
        if is_first():
            time.sleep(_PATIENCE)  # its end aborts the others, which may be about to say what they found, too
        leave(None, code if isinstance(code, int) else SYSTEM)


def _is_loss(error: BaseException) -> bool:
    """Whether a program, or what Orbax runs to wait for all processes, failed since another process is gone."""
    failed = next((cause for cause in causes(error) if isinstance(cause, jax.errors.JaxRuntimeError)), None)
    return failed is not None and jax.process_count() > 1 and not str(failed).startswith(_NO_ROOM)


def _leave_lost(error: BaseException) -> NoReturn:
    time.sleep(_PATIENCE)  # JAX's threads, which may have noticed at the same time, say theirs first, and end it so
    leave(f"error: {_LOST} ({first_line(error)})", SYSTEM)


@contextlib.contextmanager
def noticing_losses() -> Iterator[None]:
    """Where something is done by all processes together: if it fails since one is gone, the others end at once.

    No cleaning up on the way: saving, for one, waits for all processes.

    Raises:
      ConnectionError: instead, in a program that did not `join` here.
    """
    try:
        yield
    except Exception as error:
        if not _is_loss(error):
            raise
        if not _handlers:
            raise ConnectionError(f"{_LOST} ({first_line(error)})") from error
        _leave_lost(error)
