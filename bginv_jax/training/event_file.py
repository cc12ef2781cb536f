"""TensorBoard's events, written while the caller waits, so that what goes wrong is an error of the caller's.

tensorboardX's SummaryWriter writes from a thread. A full disk ends that thread, and the caller then waits for ever.
"""

import contextlib
import os
import time
from pathlib import Path

from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

from bginv_jax import files


class EventFile:
    """Events of a run in a folder; after an error the next ones go into a further file.

    Args:
      folder: made where it is missing.
      purge_step: TensorBoard hides what earlier files have of this step and later.
    """

    def __init__(self, folder: Path, *, purge_step: int):
        self._folder, self._purge_step = folder, purge_step
        self._writer: EventsWriter | None = None
        self._files = 0
        self._events: list[Event] = []

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """Notes a number, which `flush` writes."""
        self._events.append(Event(wall_time=time.time(), step=step, summary=summary.scalar(name, value)))

    def _open(self) -> EventsWriter:
        self._folder.mkdir(exist_ok=True)  # a workdir that is gone stays so
        suffix = f".{self._files}" if self._files else ""  # names have seconds, and a file must not be written over
        self._files += 1
        writer = EventsWriter(os.path.join(self._folder, "events"), filename_suffix=suffix)
        for event in (
            Event(step=self._purge_step, file_version="brain.Event:2"),
            Event(step=self._purge_step, session_log=SessionLog(status=SessionLog.START)),
        ):
            writer.write_event(event)
        return writer

    def flush(self) -> None:
        """Writes what was noted.

        Raises:
          OSError: names the folder; what was noted is gone.
        """
        events, self._events = self._events, []
        try:
            with files.naming(self._folder):
                self._writer = self._writer or self._open()
                for event in events:
                    self._writer.write_event(event)
                self._writer.flush()
        except OSError:
            with contextlib.suppress(OSError):
                self.close()
            raise

    def close(self) -> None:
        """Closes the file; the next flush begins another."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with files.naming(self._folder):
                writer.close()
