"""Predictions to look through: one HTML file that needs nothing else, the least certain pictures first."""

import base64
import heapq
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from bginv_jax import files
from bginv_jax.evaluation import overlay, page
from bginv_jax.evaluation.answers import Answers, Outcome

_MOST_FAILURES = 200  # files that are named

_STYLE = """
body { max-width: 90rem; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: 1rem; }
figure { margin: 0; font-size: .8rem; overflow-wrap: anywhere; }
figure img { width: 96px; margin: 0 0 .25rem; image-rendering: pixelated; }
figcaption b, figcaption span { display: block; }
figcaption span:last-child { color: #666; }
"""


class _Shown(NamedTuple):
    """A picture on the page; of two that are as certain the earlier is kept, and stands first."""

    certainty: float
    place: int
    file: str
    captions: list[str]
    thumbnail: bytes


class Gallery:
    """Keeps the `count` least certain of any number of outcomes, and counts all.

    Args:
      answers: how they are told.
      count: at least 1.
    """

    def __init__(self, answers: Answers, *, count: int):
        self._answers, self._count = answers, count
        self._heap: list[tuple[float, int, _Shown]] = []  # the most certain on top
        self._best: Counter[str] = Counter()
        self._failures: list[str] = []
        self._seen = self._failed = 0

    def add(self, outcome: Outcome) -> None:
        """Takes the next outcome."""
        self._seen += 1
        if outcome.values is None or outcome.image is None:
            self._failed += 1
            self._failures += [outcome.error] if self._failed <= _MOST_FAILURES else []
            return
        if self._answers.classes:
            self._best[self._answers.names[outcome.values.argmax()]] += 1
        certainty = self._answers.certainty(outcome.values)
        if len(self._heap) == self._count and (-certainty, -self._seen) <= self._heap[0][:2]:
            return
        small = overlay.thumbnail(outcome.image, outcome.mask, self._answers.drawn(outcome.values))
        shown = _Shown(certainty, self._seen, outcome.file, self._answers.captions(outcome.values), small)
        push = heapq.heappushpop if len(self._heap) == self._count else heapq.heappush
        push(self._heap, (-certainty, -self._seen, shown))

    def _head(self, title: str) -> list[str]:
        shown = len(self._heap)
        order = ", the least certain first" if self._answers.classes else ""
        which = f"all {shown} pictures" if shown + self._failed == self._seen else f"{shown} of {self._seen} files"
        parts = [
            page.element("h1", "Predictions"),
            page.element("p", title),
            page.element("p", f"{which}{order}. Dark is what the mask takes for background, where there are masks."),
        ]
        if self._best:
            counts = "; ".join(f"{name}: {self._best[name]}" for name in self._answers.names if self._best[name])
            parts.append(page.element("p", f"Likeliest classes, of all files: {counts}."))
        if self._failed:
            named = "" if self._failed <= _MOST_FAILURES else f", of which {_MOST_FAILURES} are named"
            parts.append(page.element("h2", f"{self._failed} files could not be read{named}"))
            items = "".join(page.element("li", error) for error in self._failures)
            parts.append(f"<details><summary>Which, and why</summary><ul>{items}</ul></details>")
        return parts

    def write(self, path: Path, *, title: str) -> None:
        """Writes the page, picture after picture; what is kept is gone afterwards."""
        with files.replacing(path) as whole, whole.open("w", encoding="utf-8", newline="\n") as text:
            text.write(page.opening("Predictions", style=_STYLE) + "\n".join(self._head(title)))
            text.write("\n<main>\n")
            for _, _, shown in sorted(self._heap, key=lambda one: one[2][:2]):
                first, *rest = shown.captions
                caption = page.element("b", first) + "".join(page.element("span", words) for words in rest)
                caption += page.element("span", shown.file)
                content = base64.b64encode(shown.thumbnail).decode()
                picture = f'<img alt="" loading="lazy" src="data:image/jpeg;base64,{content}">'
                text.write(f"<figure>{picture}<figcaption>{caption}</figcaption></figure>\n")
            text.write("</main>" + page.CLOSING)
