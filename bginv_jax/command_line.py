"""What the command lines share: flags, errors of one line, the host's processors as devices, compiled programs."""

import difflib
import hashlib
import logging
import os
import platform
import re
import sys
from collections.abc import Callable
from pathlib import Path

import jax
from absl import app, flags
from absl import logging as absl_logging

from bginv_jax import config as configs
from bginv_jax.errors import InputError
from bginv_jax.jax_settings import own_settings
from bginv_jax.training import devices


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def _parse(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except Exception as error:  # absl has its own errors for flags; config_flags adds whatever the field's type raises
        return _fail(_explain(argv, error))


def _explain(argv: list[str], error: Exception) -> str:
    """Says which config field is wrong and what is allowed, where the error is about one."""
    for argument in argv[1:]:
        field = re.match(r"--?config\.([\w.]+)", argument)
        if field and field[1] not in configs.FIELDS:
            close = difflib.get_close_matches(field[1], configs.FIELDS, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            return f"config.{field[1]} is unknown; {hint}--help lists the fields"
    value = re.search(r"--config\.([\w.]+)=(.*?): ", str(error))
    if value:
        return f"config.{value[1]} is {value[2]!r}; allowed: {configs.FIELDS[value[1]].allowed}"
    lines = str(error).splitlines()
    if "parsing config file" in lines[0]:  # the whole traceback follows
        return f"--config cannot be read: {lines[-1]}"
    return f"{error} (--help lists the flags)"


def _keep_compiled_programs() -> None:
    """Keeps compiled programs in the user's cache folder, for the next start, unless JAX is told of another folder."""
    if jax.config.jax_compilation_cache_dir is not None:
        return
    try:
        # A program for one processor may use instructions that another lacks, and home folders are shared.
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = "".join(sorted({line for line in lines if line.startswith(("flags", "Features"))}))
    except OSError:
        processor = platform.processor()
    name = hashlib.sha256(processor.encode()).hexdigest()[:12]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "bginv_jax" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # a home that cannot be written to is no reason not to train
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _show_log() -> None:
    """Shows the project's own log, and only warnings of absl's, where Orbax writes thirty lines a checkpoint."""
    absl_logging.set_verbosity(absl_logging.WARNING)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log = logging.getLogger("bginv_jax")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


def run(main: Callable[[], None], *, required: list[str]) -> None:
    """Runs `main` as a command: flags are parsed, and an InputError ends it with one line and exit status 2."""

    def guarded(argv: list[str]) -> None:
        if len(argv) > 1:
            _fail(f"unexpected argument {argv[1]!r}; flags are written --name=value")
        _show_log()
        devices.use_all_processors()
        _keep_compiled_programs()
        try:
            own_settings()(main)()
        except InputError as error:
            _fail(str(error))
        except KeyboardInterrupt:
            print("interrupted; the same command continues from the last checkpoint", file=sys.stderr)
            sys.exit(130)

    flags.mark_flags_as_required(required)
    app.run(guarded, flags_parser=_parse)
