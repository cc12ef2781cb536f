"""Notes when a process is forked from one in which JAX is in use: its threads stay behind, and JAX waits for ever.

Imports no JAX, so that it can watch from the start of the package.
"""

import os
import sys
from pathlib import Path

_TASKS = Path("/proc/self/task")  # a folder for each thread, where the system has it


def _jax_is_in_use() -> bool:
    """Whether JAX has looked for devices, which starts its threads. It has no public way to ask."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    return getattr(bridge, "backends_are_initialized", lambda: "jax" in sys.modules)()


class _Forks:
    """Whether this process was forked from one that used JAX."""

    def __init__(self) -> None:
        # The package may be imported only after the fork; then this is the one thread of a process that has many.
        self.left_jax_behind = _jax_is_in_use() and _TASKS.is_dir() and len(list(_TASKS.iterdir())) == 1

    def note(self) -> None:
        self.left_jax_behind = self.left_jax_behind or _jax_is_in_use()


_FORKS = _Forks()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_FORKS.note)


def refuse() -> None:
    """Complains in a process in which JAX would wait for ever.

    Raises:
      RuntimeError: says why, and what to do.
    """
    if _FORKS.left_jax_behind:
        raise RuntimeError(
            "this process was forked from one that had used JAX, which does not work after a fork; start processes "
            "with multiprocessing.get_context('spawn') instead"
        )
