"""What the command lines share: flags, errors of one line, and the host's processors as devices."""

import logging
import os
import sys
from collections.abc import Callable

import jax
from absl import app, flags
from absl import logging as absl_logging

_MOST_CPU_DEVICES = 8


def _fail(error: Exception) -> None:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)


def _parse(argv: list[str]) -> list[str]:
    try:
        return app.parse_flags_with_usage(argv)
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # what config_flags raises for a wrong field
        words = str(error).strip("'\"").replace("\\n", " ").replace("\\'", "'").replace("\n", " ")
        return _fail(ValueError(f"wrong --config field: {words} (--help lists them)"))


def _use_all_processors() -> None:
    """Makes each core a JAX device of its own, unless the environment says how many there are."""
    forced = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not forced and "JAX_NUM_CPU_DEVICES" not in os.environ:
        jax.config.update("jax_num_cpu_devices", min(len(os.sched_getaffinity(0)), _MOST_CPU_DEVICES))


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
    """Runs `main` as a command: flags are parsed, and a ValueError ends it with one line and exit status 2."""

    def guarded(argv: list[str]) -> None:
        if len(argv) > 1:
            _fail(ValueError(f"unexpected argument {argv[1]!r}; flags are written --name=value"))
        _show_log()
        _use_all_processors()
        try:
            main()
        except ValueError as error:
            _fail(error)
        except KeyboardInterrupt:
            print("interrupted; the same command continues from the last checkpoint", file=sys.stderr)
            sys.exit(130)

    flags.mark_flags_as_required(required)
    app.run(guarded, flags_parser=_parse)
