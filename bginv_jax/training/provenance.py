"""Where a result comes from: the command, the commit and the versions of what computed it."""

import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from bginv_jax.training import devices

_PACKAGES = ("bginv_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def command() -> str:
    """The command line of this process, as one would type it."""
    program, *arguments = sys.orig_argv
    return shlex.join([Path(program).name, *arguments])


def commit() -> str | None:
    """The commit that this code is at, with "+" where files have changed since; None outside a repository."""
    root = Path(__file__).parents[2]
    try:
        lines = [
            subprocess.run(
                ("git", "-C", root, *words), capture_output=True, encoding="utf-8", errors="replace", check=True
            ).stdout.strip()
            for words in (
                ("ls-files", "--error-unmatch", Path(__file__)),  # not a repository that this is merely installed in
                ("rev-parse", "--short", "HEAD"),
                ("status", "--porcelain", "--untracked-files=no"),
            )
        ]
    except (OSError, subprocess.CalledProcessError):
        return None
    return lines[1] + ("+" if lines[2] else "")


def versions(names: Iterable[str]) -> dict[str, str]:
    """Of installed packages, "unknown" for one that was not installed by its wheel and says nothing of itself."""

    def version(name):
        try:
            return metadata.version(name) or "unknown"
        except metadata.PackageNotFoundError:
            return "unknown"

    return {name: version(name) for name in names}


def numerics() -> dict[str, str]:
    """The versions of what computes a step, by package."""
    return versions(_PACKAGES)


def describe() -> dict:
    """All of it, as JSON values, with the machine that ran it."""
    return {
        "command": command(),
        "commit": commit(),
        "versions": {"python": platform.python_version()} | versions(_PACKAGES),
        "devices": devices.describe(),
    }
