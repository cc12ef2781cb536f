"""How a training ends before its last step: signals of a user or of a scheduler are heard, and it is said what is kept.

The first signal ends a training as soon as nothing is lost by it, a second one at once. Code that was compiled, and
the compiler, let no handler of Python run: a thread of its own hears signals meanwhile.
"""

import contextlib
import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import jax
from jax.experimental import multihost_utils

from bginv_jax.training.leaving import SIGNALLED, leave

# Of Ctrl-C, of schedulers (SLURM, Kubernetes), and of a terminal that closes; Windows lacks the last.
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_PATIENCE = 2.0  # seconds that the main thread has to end by itself where there is nothing to save


class StoppedError(KeyboardInterrupt):
    """A training that a signal ended: the message says what is saved; no `except Exception` holds it back.

    Args:
      number: of the signal.
      message: one line.
    """

    def __init__(self, number: int, message: str):
        super().__init__(message)
        self.status = SIGNALLED + number


def newest_checkpoint(folder: Path) -> str:
    """What a folder of checkpoints holds, and what the same command makes of it, in words."""
    names = os.listdir(folder) if folder.is_dir() else []
    steps = [int(name) for name in names if name.isascii() and name.isdecimal()]
    if not steps:
        return "there is no checkpoint yet, and the same command begins again"
    return f"checkpoint {max(steps)} of {folder} is the newest, and the same command continues from it"


class Stop:
    """Hears the signals that end a training while it is entered, if it is to listen, and puts the old handlers back.

    Handlers are the main thread's: a training in another thread hears nothing. A signal that is ignored, as by nohup,
    stays so. Where several processes train (`jax.distributed`) they must end after the same call: there SIGTERM is left
    to JAX, whose preemption service has all of them agree on one, and the other signals become SIGTERM. It hears no
    signal but SIGTERM, and none in a single process, which is why one process does without it. Orbax asks the same
    service, once a checkpoint, which is too seldom.

    Args:
      folder: of the checkpoints.
      listens: to signals.

    `ending` is the signal that ends the training after the call that was looked at last, or None.
    """

    def __init__(self, folder: Path, *, listens: bool):
        self._folder = folder
        self.listens = listens and threading.current_thread() is threading.main_thread()
        self._distributed = jax.distributed.is_initialized()
        self._asked: int | None = None  # the number of the first signal
        self._calls = 0
        self._gentle = False
        self._unheard: Callable[[], str] | None = None
        self._lock = threading.RLock()
        self.ending: int | None = None

    def __enter__(self) -> "Stop":
        if not self.listens:
            return self
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        left = [number for number in _SIGNALS if signal.getsignal(number) is signal.SIG_IGN]
        left += [signal.SIGTERM] if self._distributed else []
        self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS if number not in left}
        self._thread = threading.Thread(target=self._watch, name="signals", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self.listens:
            return
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._writer.send(b"\0")
        self._thread.join()
        self._reader.close()
        self._writer.close()

    def _handle(self, number: int, _: FrameType | None) -> None:
        """In the main thread, once it is back from what was compiled."""
        self._asked = self._asked or number
        if self._distributed:
            signal.raise_signal(signal.SIGTERM)
        elif not self._gentle:
            self._end(number)

    def _watch(self) -> None:
        """In a thread of its own, at once."""
        heard, patience = 0, None
        while True:
            if not select.select([self._reader], [], [], patience)[0]:
                if not self._gentle:
                    self._leave(heard, newest_checkpoint(self._folder))
                patience = None
                continue
            number = self._reader.recv(1)[0]
            if not number:
                return
            if number not in self._before:
                continue
            if heard:
                self._leave(number, f"ended at once; {newest_checkpoint(self._folder)}")
            heard = self._asked = number
            with self._lock:
                if self._unheard is not None and not self._distributed:
                    self._leave(number, self._unheard())
            if not self._gentle and not self._distributed:
                patience = _PATIENCE

    def _leave(self, number: int, what: str) -> NoReturn:
        """Ends the process from the thread, whatever the main one is at."""
        leave(f"stopped by {signal.Signals(number).name}: {what}", SIGNALLED + number)

    def _end(self, number: int) -> NoReturn:
        raise StoppedError(number, f"stopped by {signal.Signals(number).name}: {newest_checkpoint(self._folder)}")

    @contextlib.contextmanager
    def gently(self) -> Iterator[None]:
        """Where the first signal ends nothing by itself: `after_call` tells, and `end` ends."""
        if self._asked and not self._distributed:
            self._end(self._asked)
        self._gentle = True
        try:
            yield
        finally:
            self._gentle = False

    @contextlib.contextmanager
    def unheard(self, save: Callable[[], str] | None = None) -> Iterator[None]:
        """Where the main thread may hear nothing for minutes, since it compiles: the first signal ends the process.

        Args:
          save: saves what must be, and says so; by default nothing must. It runs in another thread.
        """
        with self._lock:
            if self._asked and not self._distributed:  # before the thread knew that it may end the process
                self._leave(self._asked, save() if save else newest_checkpoint(self._folder))
            self._unheard = save or (lambda: newest_checkpoint(self._folder))
        try:
            yield
        finally:
            with self._lock:  # for ever, where the thread is about to end the process
                self._unheard = None

    def asked(self) -> bool:
        """Whether a signal waits, and the training ends here; never where other processes would have to end, too."""
        if not self._distributed:
            self.ending = self._asked
        return self.ending is not None

    def after_call(self) -> bool:
        """Whether the training ends after this call of steps; to be asked once a call, in every process."""
        self._calls += 1  # JAX wants every number once, and steps are taken many in a call
        if self._distributed and multihost_utils.reached_preemption_sync_point(self._calls):
            self.ending = signal.SIGTERM
        return self.asked()

    def end(self, step: int, steps: int) -> None:
        """Ends a training whose checkpoint of `step` is saved, if a signal asked for it.

        Raises:
          StoppedError: names signal, step and checkpoint.
        """
        number: Any = self.ending
        if number is None:
            return
        what = f"checkpoint {step} of {self._folder} is saved, and the same command continues from it"
        if step == steps:
            what = f"the training is complete, and checkpoint {step} of {self._folder} is saved"
        raise StoppedError(number, f"stopped by {signal.Signals(number).name} after step {step} of {steps}: {what}")
