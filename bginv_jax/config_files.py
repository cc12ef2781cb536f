"""Experiment files: what --config=FILE.py or --config=FILE.py:VARIANT names, and what may be wrong in it."""

import contextlib
import importlib.machinery
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from absl import flags
from ml_collections import ConfigDict, FrozenConfigDict

from bginv_jax import config as configs
from bginv_jax.errors import InputError

_MODULE = "config_file"
_START = "expected default_config() of bginv_jax.config with some of its fields changed"


@contextlib.contextmanager
def _siblings_first(path: Path) -> Iterator[None]:
    """Lets a file import those beside it, as if Python had been started with it."""
    folder = str(path.parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the file may do so itself
            sys.path.remove(folder)


def _run(path: Path) -> ModuleType:
    loader = importlib.machinery.SourceFileLoader(_MODULE, str(path))
    spec = importlib.util.spec_from_loader(_MODULE, loader)
    assert spec is not None, "the loader is given"
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module  # dataclasses look their module up
    loader.exec_module(module)
    return module


def _line(path: Path, error: BaseException) -> int | None:
    """The innermost line of the file that an error comes from."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return lines[-1] if lines else None


def _cause(path: Path, error: BaseException) -> str:
    """What happened, in one line, and in which file beside `path` where it was there."""
    text = error.msg if isinstance(error, SyntaxError) and error.filename == str(path) else str(error)
    text = " ".join(text.split())
    text = re.sub(r"Other fields present: .*?(?=Did you mean|$)", "", text)  # ConfigDict shows all of its values
    if not isinstance(error, InputError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    last = Path(frames[-1].filename)
    return text if last == path or last.parent != path.parent else f"{text} ({last.name}, line {frames[-1].lineno})"


def _defined(path: Path, function: Callable) -> int | None:
    """The line of `path` where a function begins, if it is of this file."""
    code = getattr(function, "__code__", None)
    return code.co_firstlineno if code is not None and code.co_filename == str(path) else None


def _check_arguments(get_config: Callable, shown: str, arguments: Sequence[str]) -> None:
    try:
        inspect.signature(get_config).bind(*arguments)
    except TypeError as error:
        wanted = f"{shown}, without a variant" if arguments else f"{shown}:VARIANT"
        raise InputError(f"get_config(): {error}; expected --config={wanted}") from error


def _check_result(config: Any) -> None:
    if not isinstance(config, ConfigDict):
        returned = "None" if config is None else f"a {type(config).__name__}"
        raise InputError(f"get_config() returns {returned}; {_START}")
    known = configs.flatten(config)
    for name in configs.FIELDS:
        if name not in known:
            raise InputError(f"config.{name} is missing; {_START}")


def load(name: str) -> ConfigDict:
    """The locked config of an experiment file.

    Args:
      name: the file's path, and behind a colon what get_config takes, if anything.

    Raises:
      InputError: names the file, the line in it and the cause.
    """
    shown, colon, variant = name.partition(":")
    path = Path(os.path.abspath(os.path.expanduser(shown)))
    if not shown.strip() or not path.is_file():
        what = f"{shown!r} is a folder" if shown.strip() and path.is_dir() else f"there is no file {shown!r}"
        raise InputError(f"--config cannot be read: {what}; expected a Python file with get_config()")
    arguments, line = [variant] if colon else [], None
    try:
        with _siblings_first(path):
            get_config = getattr(_run(path), "get_config", None)
            if not callable(get_config):
                raise InputError("there is no get_config(); expected a function of this name")
            line = _defined(path, get_config)
            _check_arguments(get_config, shown, arguments)
            config = get_config(*arguments)
        _check_result(config)
    except (Exception, SystemExit) as error:  # a config file may raise whatever it likes
        line = _line(path, error) or line
        place = f"{shown}, line {line}" if line else shown
        raise InputError(f"--config cannot be read: {place}: {_cause(path, error)}") from error
    return (ConfigDict(config) if isinstance(config, FrozenConfigDict) else config).lock()


class Parser(flags.ArgumentParser):
    """A flag's parser of `load`."""

    def parse(self, argument: str) -> ConfigDict:
        return load(argument)

    def flag_type(self) -> str:
        return "experiment file"
