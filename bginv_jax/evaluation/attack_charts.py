"""What an attack found as a table and pictures, drawn from records and images alone.

A record is {"row", "search", "correct", "count", "accuracy"}, accuracy in percent, and how far the search had come:
search "gradient" has "budget", "random" has "tried" and "evolution" has "generation". "none" is the images as they are,
"any" the worst of all searches. Images are (N, S, S, C), float32 in [0, 1].
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from bginv_jax import files
from bginv_jax.evaluation.names import in_chart
from bginv_jax.evaluation.panels import grid, show
from bginv_jax.evaluation.table1 import COLOURS, MARKERS

# By search: the field that counts how far it had come, what the table's heads say of it, what the curve's axis says.
_SEARCHES = {
    "gradient": ("budget", "Within {}", "budget of each pixel (projected gradient)"),
    "random": ("tried", "Worst of {}", "random backgrounds tried"),
    "evolution": ("generation", "Evolved {}", "generations of evolution"),
}
_SHOWN = {"gradient": (0.1, 0.2, 0.3, 0.5), "random": (1, 10), "evolution": ()}  # in the table, besides the last


def table(records: Sequence[dict]) -> list[list[str]]:
    """Accuracy on the images as they are and after each search, as cells: the heads, then the rows as they come."""
    found: dict[str, dict[str, str]] = {}
    last = {search: max(_values(records, search), default=None) for search in _SEARCHES}
    for record in records:
        search = record["search"]
        head = {"none": "As they are", "any": "Any search"}.get(search)
        if head is None:
            field, words, _ = _SEARCHES[search]
            if record[field] not in (*_SHOWN[search], last[search]):
                continue
            head = words.format(record[field])
        found.setdefault(record["row"], {})[head] = f"{record['accuracy']:.1f}"
    heads = list(dict.fromkeys(head for row in found.values() for head in row))
    return [["Accuracy (%)", *heads], *([name, *(row.get(head, "") for head in heads)] for name, row in found.items())]


def _values(records: Sequence[dict], search: str) -> list[float]:
    return [record[_SEARCHES[search][0]] for record in records if record["search"] == search]


def picture(records: Sequence[dict], path: str | Path) -> None:
    """Writes the accuracy over how far each search had come as a PNG: axes for each search, a curve for each row."""
    searches = [search for search in _SEARCHES if _values(records, search)]
    figure = Figure(figsize=(4.2 * len(searches) + 0.6, 3.6), dpi=150, layout="constrained")
    axes = figure.subplots(1, len(searches), sharey=True, squeeze=False)[0]
    for one, search in zip(axes, searches, strict=True):
        field, _, words = _SEARCHES[search]
        for i, row in enumerate(dict.fromkeys(record["row"] for record in records)):
            points = [record for record in records if (record["row"], record["search"]) == (row, search)]
            one.plot(
                [record[field] for record in points],
                [record["accuracy"] for record in points],
                label=in_chart(row),
                markersize=4,
                color=COLOURS[i % len(COLOURS)],
                marker=MARKERS[i % len(MARKERS)],
                markevery=max(1, len(points) // 10),
            )
        one.set(xlabel=words, ylim=(0, 102))
        one.grid(alpha=0.3)
        one.xaxis.get_major_locator().set_params(integer=search != "gradient")
    axes[0].set_ylabel("accuracy (%)")
    axes[0].legend(frameon=False, loc="best")
    with files.replacing(path) as whole:
        figure.savefig(whole)


def worst_figure(
    x: np.ndarray, worst: Mapping[str, np.ndarray], labels: Sequence[str], predictions: Mapping[str, Sequence[str]]
) -> Figure:
    """Images as they are and, below, on the worst background of each search; under each what it is taken for.

    Args:
      x: (N, S, S, C), the first row.
      worst: images like x, by search.
      labels: what they are.
      predictions: of x, under "none", and of the worst images of each search. What is mistaken is in orange.
    """
    figure, axes = grid(1 + len(worst), len(x))
    for row, (search, pictures) in zip(axes, {"none": x, **worst}.items(), strict=True):
        row[0].set_ylabel("as it is" if search == "none" else search, fontsize=10)
        for one, image, label, prediction in zip(row, pictures, labels, predictions[search], strict=True):
            show(one, image)
            wrong = prediction != label
            one.set_xlabel(in_chart(prediction), fontsize=9, color=COLOURS[0] if wrong else "0.5", labelpad=2)
    return figure
