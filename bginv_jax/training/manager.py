"""The manager of a workdir's checkpoints: which of them stay, and what becomes of an error while one is written."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp

from bginv_jax.training import distributed, orbax_manners


class Manager(ocp.CheckpointManager):
    """Of the checkpoints in `directory`: the newest `kept` stay, each multiple of `keep_every`, and the best."""

    def __init__(self, directory: Path, *, kept: int | None, keep_every: int):
        self._kept, self._keep_every = kept, keep_every
        self.measures: dict[int, float] = {}  # by step, of those that have one
        handlers = {"state": ocp.PyTreeCheckpointHandler(), "meta": ocp.JsonCheckpointHandler()}
        options = ocp.CheckpointManagerOptions(
            preservation_policy=self,
            cleanup_tmp_directories=kept is not None,
            # Where a folder cannot be made, threads that wait for one would keep the process for five minutes.
            async_options=ocp.AsyncOptions(create_directories_asynchronously=False),
        )
        super().__init__(directory, options=options, item_names=tuple(handlers), item_handlers=handlers)

    def wait_until_finished(self) -> None:
        """Waits for what is being written; raises an OSError as `one_error`."""
        with one_error(self):
            super().wait_until_finished()

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Which checkpoints stay, as Orbax asks it of a policy."""
        steps = [checkpoint.step for checkpoint in checkpoints]
        newest = steps if self._kept is None else steps[-self._kept :]
        measured = [step for step in steps if step in self.measures]
        best = max(measured, key=lambda step: (self.measures[step], step), default=None)
        kept_for_good = {step for step in steps if self._keep_every and step % self._keep_every == 0}
        return [step in newest or step == best or step in kept_for_good for step in steps]


class _UnwrittenError(OSError):
    """What `one_error` made of an error."""


@contextlib.contextmanager
def one_error(manager: Manager) -> Iterator[None]:
    """Where what fails in Orbax because of the system is an OSError in one line, and nothing half written stays."""
    try:
        with distributed.noticing_losses():
            yield
    except _UnwrittenError:
        raise
    except Exception as error:
        code = orbax_manners.system_error(error)
        if code is None:
            raise
        place = Path(manager.directory)
        for folder in orbax_manners.temporary_folders(place):
            shutil.rmtree(folder, ignore_errors=True)
        steps = [int(path.name) for path in place.glob("*") if path.name.isdecimal()]
        stay = f"those before it stay, the newest of step {max(steps)}" if steps else "there is none before it"
        raise _UnwrittenError(
            code, f"{os.strerror(code)}; the checkpoint is not written; {stay}", str(place)
        ) from error
