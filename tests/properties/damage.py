"""Inputs: any bytes, files that were sound once, values of JSON, names."""

import functools
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

# Sizes that programs forget.
SIZES = (0, 1, 2**8, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1)


@st.composite
def damaged(draw, originals: Sequence[bytes]) -> bytes:
    """A sound file after one to three of: a flip, a cut, an addition, a part of it or another moved, a huge number."""
    content = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 3))):
        # Heads of files are small, and say what is in the rest.
        place = draw(st.integers(0, len(content)) | st.integers(0, min(96, len(content))))
        kind = draw(st.integers(0, 5))
        if kind == 0 and place < len(content):
            content[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == 1:
            del content[place:]
        elif kind == 2:
            content[place:place] = draw(st.binary(min_size=1, max_size=64))
        elif kind == 3:
            other = draw(st.sampled_from(originals))
            start = draw(st.integers(0, len(other)))
            content[place:place] = other[start : start + draw(st.integers(1, 256))]
        elif kind == 4:
            del content[place : place + draw(st.integers(1, 64))]
        else:
            width = draw(st.sampled_from((1, 2, 4, 8)))
            number = draw(st.sampled_from(SIZES)) % 256**width
            content[place : place + width] = number.to_bytes(width, draw(st.sampled_from(("little", "big"))))
    return bytes(content)


def any_bytes(originals: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Bytes of any kind, some behind the beginning of a sound file, and sound files that were damaged."""
    beginnings = st.builds(
        lambda original, length, rest: original[:length] + rest,
        st.sampled_from(originals),
        st.integers(1, 16),
        st.binary(max_size=200),
    )
    return damaged(originals) | damaged(originals) | beginnings | st.binary(max_size=200)


@functools.cache
def names() -> st.SearchStrategy[str]:
    """Names in any script, of any letters, and those that break paths, tables, pages, terminals and formulas."""
    hostile = (
        *("..", ".", "/", "a/b", "~", "~root", "-", "", " ", "\0", "a\nb", "a\r\nb", "\x1b[2J\x1b]0;t\a", "\u202eabc"),
        *("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onload='x", "&amp;", "</pre><h1>x", "<!--"),
        *("a|b", "```", "`x`", "[x](javascript:alert(1))", "![x](http://x/y.png)", "http://x.org", "www.x.org", "<b>"),
        *("# x", "- x", "1. x", "***", "$x^2$", "$\\frac{1}$", "$", "\\$", "x$y$z$", "@all", "=cmd()", "%s%n", "{0}"),
        *("\ud800", "\udcff", "é", "e\u0301", "数字", "אב", "ไทย", "🙂", "a" * 300, "--- |", "\u2028", "\x85"),
    )
    return st.sampled_from(hostile) | st.text(st.characters(), max_size=12)


@functools.cache
def json_values() -> st.SearchStrategy[Any]:
    """Values of JSON: huge, negative and no numbers, texts of any letters, and nested ones."""
    sizes = st.sampled_from([*SIZES, *(-size for size in SIZES), 10**400])
    leaf = st.none() | st.booleans() | st.integers() | sizes | st.floats() | names()
    return leaf | st.recursive(
        leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names(), inner, max_size=3), max_leaves=5
    )


def _places(value: Any, place: tuple = ()) -> list[tuple]:
    """The way to each part of a value of JSON."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(inner for key, part in parts for inner in _places(part, (*place, key)))]


@st.composite
def changed_json(draw, original: Any) -> Any:
    """A value of JSON with one to three of its parts replaced, taken away or added."""
    value = json.loads(json.dumps(original))
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(_places(value)[1:] or [("",)]))
        place = value
        for key in way:
            place = place[key]
        kind = draw(st.integers(0, 3))
        if kind == 0 and len(place):
            del place[last]
        elif kind == 1 and isinstance(place, dict):
            place[draw(names())] = draw(json_values())
        elif isinstance(place, dict | list):
            new = draw(json_values())
            place[last] = [[[new]]] if kind == 3 else new
        if not isinstance(value, dict | list) or not value:
            break
    return value


@st.composite
def json_bytes(draw, original: Any) -> bytes:
    """JSON of changed values, or such that is damaged, nested without end or none."""
    text = json.dumps(draw(changed_json(original) | json_values())).encode()
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return draw(damaged([text, json.dumps(original).encode()]))
    if kind == 1:
        return draw(st.sampled_from((b"[", b'{"a":', b"[{"))) * draw(st.sampled_from((10, 500, 990, 100_000)))
    if kind == 2:
        deep = draw(st.sampled_from((10, 100, 500, 900)))
        return b'{"a":' * deep + b"1" + b"}" * deep
    return text
