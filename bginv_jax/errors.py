"""The error of the project's own complaints, which tells them from the errors of the libraries below."""

import re
from collections.abc import Iterable, Iterator

_MOST_LETTERS = 4000  # of a message; a value or a name may be megabytes
_NAMED = 10  # things in a message
_FIRST_LETTERS = 200  # of what another library says


def one_line(text: str) -> str:
    r"""A text of others as a terminal, a log or a page may show it: what cannot be shown becomes such as \x1b."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def first_line(error: BaseException) -> str:
    """The first line of another library's error, as `one_line`, short enough for a message; its type if it has none."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = one_line(lines[0]) if lines else type(error).__name__
    return line if len(line) <= _FIRST_LETTERS else f"{line[: _FIRST_LETTERS - 3]}..."


def some(things: Iterable[object]) -> str:
    """The first ten of any number of things, for a message, and how many more there are."""
    names = list(map(str, things))
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and what it was raised from or in the handling of, one after the other."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


class InputError(ValueError):
    """What a user gave does not do: the message names the field or file, the value and what is allowed.

    The message is one line, whatever names and values it quotes; of a very long one the middle is left out. Every other
    error, a ValueError of a library too, keeps its traceback.
    """

    def __init__(self, message: str):
        parts = (part.strip() for part in re.split(r"[\r\n]+", message))
        line = one_line(" ".join(part for part in parts if part))
        if len(line) > _MOST_LETTERS:
            half = _MOST_LETTERS // 2
            line = f"{line[:half]} ... {line[-half:]}"
        super().__init__(line)


class DivergedError(InputError):
    """A training whose loss or gradients stopped being finite: the message names step, network and fields to change."""


class MissingDataError(InputError):
    """Data are not where they were said to be. A command that can be told of another place adds how."""
