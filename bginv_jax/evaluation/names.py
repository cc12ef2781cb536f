"""Names that others chose, as each kind of text shows them: one line, of which nothing is taken for markup."""

import html
import re

from bginv_jax.errors import one_line
from bginv_jax.files import as_text

# An underscore within a word is none; the last three would begin links.
_MARKUP = re.compile(r"([\\`*{}\[\]<>#|~$&]|(?<![^\W_])_|_(?![^\W_])|@|(?<=www)\.|:(?=//))")
_BLOCK = re.compile(r"(?:[-+](?= |$)|[-=:]{2}|\d+(?=[.)](?: |$)))")  # what begins a list, a heading or a rule


def shown(name: object) -> str:
    """A name for a terminal or a log."""
    return one_line(as_text(str(name)))


def in_html(name: object) -> str:
    """A name in an HTML text or attribute."""
    return html.escape(shown(name))


def in_markdown(name: object) -> str:
    """A name in Markdown, in a cell of a table too."""
    words = _MARKUP.sub(r"\\\1", shown(" ".join(str(name).split())))
    begins = _BLOCK.match(words)
    if begins is None:
        return words
    place = begins.end() if words[0].isdigit() else 0
    return f"{words[:place]}\\{words[place:]}"


def in_code(text: object) -> str:
    """A text as an indented block of Markdown, in which everything stands as it is."""
    return "    " + shown(" ".join(str(text).split()))


def in_chart(name: object) -> str:
    """A name that Matplotlib draws as it is, and not as a formula between dollars."""
    return shown(name).replace("$", r"\$")
