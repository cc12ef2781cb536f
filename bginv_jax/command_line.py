"""What the command lines share: flags, how a command ends, the host's processors as devices, compiled programs."""

import contextlib
import difflib
import hashlib
import logging
import math
import os
import platform
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

import jax
from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags

from bginv_jax import config as configs
from bginv_jax import config_files, files
from bginv_jax.errors import InputError, causes, one_line
from bginv_jax.evaluation import predictors
from bginv_jax.jax_settings import own_settings
from bginv_jax.training import devices, distributed
from bginv_jax.training.leaving import SIGNALLED
from bginv_jax.training.stopping import StoppedError

flags.disclaim_key_flags()  # what is defined here belongs to the command that asks for it

_WRONG_INPUT, _SYSTEM, _INTERRUPTED, _NOBODY_READS = 2, 1, 130, 141  # the last two as shells have them
_AGAIN = 0.05  # seconds


def _end(message: str, *, status: int) -> NoReturn:
    line = re.sub(r"\s*\n\s*", " ", message.strip())
    print(f"error: {line}", file=sys.stderr)
    sys.exit(status)


class _PathParser(flags.ArgumentParser):
    """A path that is not blank, which is what an unset variable of the shell leaves, nor "-"; ~ is the user's home."""

    def __init__(self, name: str):
        self._name = name

    def parse(self, argument: str) -> str:
        path = os.path.expanduser(argument)
        if not path.strip() or path == "-":
            raise InputError(f"--{self._name} is {argument!r}; expected a path")
        if path.startswith("~"):
            raise InputError(f"--{self._name} is {argument!r}; expected ~ or the ~NAME of a user")
        return path


class _NumberParser(flags.FloatParser):
    """A finite number; absl's own takes NaN, which lies within any bounds."""

    def convert(self, argument: int | float | str) -> float:
        number = super().convert(argument)
        if not math.isfinite(number):
            raise ValueError("expected a finite number")
        return number


def _define(parser: flags.ArgumentParser, name: str, default: Any, meaning: str, *, several: bool) -> None:
    serializer: flags.ArgumentSerializer[Any] = flags.ArgumentSerializer()
    if several:
        flags.DEFINE_multi(parser, serializer, name, default, meaning)
    else:
        flags.DEFINE(parser, name, default, meaning, serializer=serializer)


def define_path(name: str, default: str | None, meaning: str, *, several: bool = False) -> None:
    """Defines a flag that takes a path, or `several` where it is repeated."""
    _define(_PathParser(name), name, default, meaning, several=several)


def define_number(name: str, default: Any, meaning: str, *, most: float | None = None, several: bool = False) -> None:
    """Defines a flag that takes a finite number from 0 to `most`, or `several` where it is repeated."""
    _define(_NumberParser(0.0, most), name, default, meaning, several=several)


def define_config(default: str | None, meaning: str) -> None:
    """Defines --config, an experiment file, and a flag --config.FIELD for each field that is given."""
    try:
        config_flags.DEFINE_config_file("config", None, meaning)
        flags.FLAGS["config"].parser = config_files.Parser()
        flags.FLAGS.set_default("config", default)
    except Exception as error:  # with a default the fields are read here, and only then by _parse
        _end(_explain(sys.argv, error), status=_WRONG_INPUT)


def define_processes() -> None:
    """Defines --distributed, and --coordinator, --process_count and --process_id where no cluster says them."""
    flags.DEFINE_bool("distributed", False, "Train with other processes, which run the same command.")
    flags.DEFINE_string("coordinator", None, "HOST:PORT where the first process listens; by default the cluster says.")
    flags.DEFINE_integer("process_count", None, "How many processes there are; by default the cluster says.")
    flags.DEFINE_integer("process_id", None, "Which process this is, from 0 on; by default the cluster says.")


def join_processes() -> None:
    """Joins the other processes where --distributed is given, before JAX is used.

    Raises:
      InputError: as `distributed.check_flags` and `distributed.join`.
    """
    given: dict[str, Any] = {name: flags.FLAGS[name].value for name in ("coordinator", "process_count", "process_id")}
    distributed.check_flags(distributed=flags.FLAGS.distributed, **given)
    if flags.FLAGS.distributed:
        distributed.join(**given)


def check_output(*, names: Sequence[str]) -> Path:
    """The folder of --output, or by default of the first --workdir, if files of these names can be written there."""
    values = flags.FLAGS
    if values.output:
        return files.check_folder(values.output, field="--output", files=names)
    workdir = predictors.find_workdir(values.workdir[0])
    return files.check_folder(workdir, field="--output, by default the first --workdir,", files=names)


def _parse(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except OSError:
        raise  # of --help, which prints
    except SystemExit:  # after it; absl ends with 1
        sys.exit(0)
    except Exception as error:  # absl has its own errors for flags; config_flags adds whatever the field's type raises
        return _end(_explain(argv, error), status=_WRONG_INPUT)


def _explain(argv: list[str], error: Exception) -> str:
    """Says which config field is wrong and what is allowed, where the error is about one."""
    for cause in causes(error):
        if isinstance(cause, InputError):  # of a parser here, which absl wraps into an error of its own
            return str(cause)
    for argument in argv[1:]:
        field = re.match(r"--?(?:no)?config\.([\w.]+)", argument)
        if field and field[1] not in configs.FIELDS:
            close = difflib.get_close_matches(field[1], configs.FIELDS, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            return f"config.{field[1]} is unknown; {hint}--help lists the fields"
    if (
        any(re.match(r"--?(?:no)?distributed\b", argument) for argument in argv[1:])
        and "distributed" not in flags.FLAGS
    ):
        return "--distributed is a flag of bginv_jax.train alone; this command runs in one process"
    value = re.search(r"--config\.([\w.]+)=(.*?): ", str(error), re.DOTALL)
    if value:
        return f"config.{value[1]} is {value[2]!r}; allowed: {configs.FIELDS[value[1]].allowed}"
    missing = re.match(r"flag --(\w+)=None: Flag --\1 must have a value", str(error))
    if missing:
        return f"--{missing[1]} is not given; expected --{missing[1]}=VALUE (--help lists the flags)"
    return f"{error} (--help lists the flags)"


def _keep_compiled_programs() -> None:
    """Keeps compiled programs in the user's cache folder, for the next start, unless JAX is told of another folder."""
    if jax.config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]  # JAX adds it when it runs
        return
    try:
        # A program for one processor may use instructions that another lacks, and home folders are shared.
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        processor = "".join(sorted({line for line in lines if line.startswith(("flags", "Features"))}))
    except OSError:
        processor = platform.processor()
    name = hashlib.sha256(processor.encode()).hexdigest()[:12]
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "bginv_jax" / name
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return  # no home, or one that cannot be written to, is no reason not to train
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


class _OneLine(logging.Formatter):
    """A line for each message, which may quote names of files and classes; a traceback below it stays as it is."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # as logging calls it
        return one_line(super().formatMessage(record))


def _show_log() -> None:
    """Shows the project's own log, and only warnings of absl's, where Orbax writes thirty lines a checkpoint."""
    absl_logging.set_verbosity(absl_logging.WARNING)
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("%(asctime)s %(message)s", "%H:%M:%S"))
    log = logging.getLogger("bginv_jax")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


class _StandardOutput:
    """The standard output, whose errors say that they are its: a text may be written at once or only at the end."""

    name = "standard output"

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with files.naming(self.name):
            return self._stream.write(text)

    def flush(self) -> None:
        """Writes what was printed, so that a disk that is full or a pipe that is closed is known before Python ends."""
        try:
            with files.naming(self.name):
                self._stream.flush()
        except OSError:
            with contextlib.suppress(OSError):  # or Python tries again as it ends, and complains
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            raise


@contextlib.contextmanager
def _named_output() -> Iterator[None]:
    if sys.stdout is None:  # it was closed before the start
        yield
        return
    with contextlib.redirect_stdout(_StandardOutput(sys.stdout)) as output:  # type: ignore[type-var]
        try:
            yield
        finally:
            output.flush()


@contextlib.contextmanager
def _ends_well(*, resumes: bool) -> Iterator[None]:
    """Ends the process in one line where the user, the system or a signal is the reason; all else keeps its traceback.

    Exit status: 2 for an InputError, 1 for an OSError, as after signals for a closed pipe, Ctrl-C, and for a training
    that SIGTERM or SIGHUP ended: 128 and the signal's number.
    """
    try:
        with _named_output():
            yield
    except InputError as error:
        _end(str(error), status=_WRONG_INPUT)
    except BrokenPipeError:
        sys.exit(_NOBODY_READS)
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        _end(reason if error.filename is None else f"{error.filename}: {reason}", status=_SYSTEM)
    except StoppedError as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(stopped.status)
    except KeyboardInterrupt:
        then = "; the same command continues from the newest checkpoint, or begins again where there is none"
        print("interrupted" + (then if resumes else ""), file=sys.stderr)
        sys.exit(_INTERRUPTED)


@contextlib.contextmanager
def _ends_by_signals() -> Iterator[None]:
    """In it SIGTERM and SIGHUP end a command as an error does, so that nothing half written stays."""
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    heard = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]  # not what nohup ignores
    for number in heard:
        signal.signal(number, lambda number, _: sys.exit(SIGNALLED + number))
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def _heard_in_callbacks() -> Iterator[None]:
    """In it a signal whose exception Python drops, as in a callback of the garbage collector, comes once more."""
    usual = sys.unraisablehook

    def again(dropped: Any) -> None:
        error = dropped.exc_value
        if isinstance(error, StoppedError):  # of a training, whose own thread ends it
            return
        number = 0
        if isinstance(error, KeyboardInterrupt):
            number = int(signal.SIGINT)
        elif isinstance(error, SystemExit) and isinstance(error.code, int) and error.code > SIGNALLED:
            number = error.code - SIGNALLED
        if not number:
            usual(dropped)
            return
        later = threading.Timer(_AGAIN, os.kill, (os.getpid(), number))  # when the callback is over
        later.daemon = True
        later.start()

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = usual


def run(
    main: Callable[..., int | None], *, required: Sequence[str], resumes: bool = False, arguments: str = ""
) -> None:
    """Runs `main` as a command: parses the flags, and ends in one line where it cannot go on.

    Args:
      main: what the command does; what it returns, if anything, is the exit status.
      required: names of the flags that must be given.
      resumes: whether the same command continues what was interrupted.
      arguments: what `main` takes besides flags, before, between or after them, in words; by default nothing.
    """

    def prepared(argv: list[str]) -> int | None:
        if len(argv) > 1 and not arguments:
            raise InputError(f"unexpected argument {argv[1]!r}; flags are written --name=value")
        if len(argv) < 2 and arguments:
            raise InputError(f"no argument is given; expected {arguments}")
        _show_log()
        devices.use_all_processors()
        _keep_compiled_programs()
        with own_settings():
            return main(*argv[1:])

    if sys.stderr is None:  # it was closed before the start; print would take the standard output instead
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # for as long as the process
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a locale may lack ± or the letters of a class name
    flags.mark_flags_as_required(required)
    flags.FLAGS.set_gnu_getopt(True)  # flags may stand behind arguments, so that a stray one is named as such
    signals = contextlib.nullcontext() if resumes else _ends_by_signals()  # a training has its own
    with _heard_in_callbacks(), signals, distributed.leaving_at_once(), _ends_well(resumes=resumes):
        app.run(prepared, flags_parser=_parse)
