"""The log files of a run, metrics.jsonl and TensorBoard's: a disk that is full or gone does not stop a training."""

import contextlib
import logging
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

from bginv_jax import files

_LOG = logging.getLogger(__name__)

_MOST_WAITING = 2**24  # bytes; bounds the memory of a long run whose log cannot be written


@contextlib.contextmanager
def spared(path: Path, then: str) -> Iterator[None]:
    """Has errors of the system in writing `path` warned of, with what becomes of it, instead of stopping a training."""
    try:
        yield
    except OSError as error:
        _LOG.warning("%s: %s; %s", path, error.strerror or error, then)


class Lines:
    """A file that grows by a record a line, each whole or not there; what cannot be written waits until it can.

    Args:
      path: of the file.
      step: the lines of later steps, which a resumed run will write again, are dropped, and those that are no records.

    Raises:
      OSError: if the file cannot be read or opened.
    """

    def __init__(self, path: Path, *, step: int):
        self._path, self._waiting, self._warned = path, b"", False
        if path.exists():
            records = files.read_json_lines(path, fields={"step": int})
            files.write_json_lines(path, [record for record in records if record["step"] <= step])
        self._stream = path.open("ab", buffering=0)

    def write(self, record: Mapping) -> None:
        """Appends a record."""
        if len(self._waiting) < _MOST_WAITING:
            self._waiting += files.to_json(record).encode() + b"\n"
        self._write()

    def _write(self) -> None:
        size = os.fstat(self._stream.fileno()).st_size
        try:
            written = 0
            while written < len(self._waiting):
                written += self._stream.write(self._waiting[written:])
        except OSError as error:
            with contextlib.suppress(OSError):  # what is no file has no size
                self._stream.truncate(size)  # no half a line stays
            if not self._warned:
                text = "%s: %s; the training goes on, and the lines are written when there is room"
                _LOG.warning(text, self._path, error.strerror)
            self._warned = True
        else:
            self._waiting, self._warned = b"", False

    def close(self) -> None:
        """Closes the file, after a last try."""
        self._write()
        if self._waiting:
            _LOG.warning("%s: its last %d lines could not be written", self._path, self._waiting.count(b"\n"))
        self._stream.close()


class Events:
    """TensorBoard's events of a run that continues after `step`; the first that cannot be written is the last.

    Written in the thread that asks: the writer of tensorboardX has a thread of its own, which ends at the first error
    of a disk, and then all wait for it for ever.
    """

    def __init__(self, folder: Path, *, step: int):
        self._folder, self._writer = folder, None
        with spared(folder, "nothing is written there"):
            folder.mkdir(parents=True, exist_ok=True)
            self._writer = EventsWriter(str(folder / "events"))
        start = SessionLog(status=SessionLog.START)  # what later steps say is of a process that was killed
        self._write([Event(step=step + 1, file_version="brain.Event:2"), Event(step=step + 1, session_log=start)])

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Writes scalars by name."""
        self._write([Event(step=step, summary=summary.scalar(name, value)) for name, value in values.items()])

    def _write(self, events: list[Event]) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        with spared(self._folder, "the training goes on, and no more is written there"):
            for event in events:
                event.wall_time = time.time()
                writer.write_event(event)
            writer.flush()
            self._writer = writer

    def close(self) -> None:
        """Closes the file."""
        if self._writer is not None:
            with spared(self._folder, "its last values are not there"):
                self._writer.close()
