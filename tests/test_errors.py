"""A message of ours is one line, which a terminal shows as it is, and not of a megabyte."""

import pickle

import pytest

from bginv_jax.errors import DivergedError, InputError, MissingDataError, one_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a file; expected a folder", "a file; expected a folder"),
        ("two\n  lines\r\n\r\n and more \n", "two lines and more"),
        ("\x1b[2J is no name", r"\x1b[2J is no name"),
        ("nul \0, \u202e and \udcff", r"nul \x00, \u202e and \udcff"),
        ("数字 é ±", "数字 é ±"),
        (" " * 10**6 + "x", "x"),
    ],
)
def test_a_message_is_one_line(text, line):
    for kind in (InputError, DivergedError, MissingDataError):
        error = kind(text)
        assert str(error) == line
        assert str(pickle.loads(pickle.dumps(error))) == line


def test_a_long_message_keeps_its_beginning_and_its_end():
    line = str(InputError(f"config.steps is {'9' * 10**6}; allowed: an integer"))
    assert len(line) < 5000
    assert line.startswith("config.steps is 999")
    assert line.endswith("999; allowed: an integer")


def test_a_name_that_can_be_shown_stays():
    assert one_line("Größe 数字") == "Größe 数字"
    assert one_line("a\tb\u2028c") == r"a\tb\u2028c"
