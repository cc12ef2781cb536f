"""Table 1 as text, Markdown and a picture, drawn from records alone.

A record is {"dataset", "method", "seed", "background", "correct", "count", "accuracy"}, accuracy in percent.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from bginv_jax.backgrounds import BACKGROUNDS, compose_test

# Table 1 of the poster, in percent, in the order of BACKGROUNDS.
POSTER = {
    "vanilla": (97.3, 38.0, 24.3, 61.4, 32.9, 19.7, 11.2),
    "attention": (93.4, 28.1, 26.8, 57.3, 40.1, 29.3, 25.1),
    "proposal": (94.9, 92.3, 76.8, 93.1, 93.7, 70.8, 86.2),
}
_TITLES = {"vanilla": "Vanilla CNN", "attention": "Attention", "proposal": "Proposal"}


@dataclasses.dataclass(frozen=True)
class Row:
    """One method on one data set: mean and standard deviation over its seeds for each background, percent."""

    dataset: str
    method: str
    seeds: int
    count: int
    means: tuple[float, ...]
    deviations: tuple[float, ...]

    def cells(self) -> list[str]:
        if self.seeds == 1:
            return [f"{mean:.1f}" for mean in self.means]
        return [f"{mean:.1f}±{deviation:.1f}" for mean, deviation in zip(self.means, self.deviations, strict=True)]


def rows(records: Sequence[dict]) -> list[Row]:
    """The table's rows: by data set as they come, within it in the poster's order.

    Raises:
      ValueError: if a run lacks a background, or a record stands twice.
    """
    found: dict[tuple[str, str], dict[int, dict[str, dict]]] = {}
    for record in records:
        runs = found.setdefault((record["dataset"], record["method"]), {})
        run = runs.setdefault(record["seed"], {})
        if record["background"] in run:
            raise ValueError(f"two records of {record['dataset']}, {record['method']}, seed {record['seed']}")
        run[record["background"]] = record
    datasets, order = list(dict.fromkeys(dataset for dataset, _ in found)), list(POSTER)
    table = []
    for (dataset, method), runs in sorted(found.items(), key=lambda i: (datasets.index(i[0][0]), order.index(i[0][1]))):
        for seed, run in runs.items():
            missing = [name for name in BACKGROUNDS if name not in run]
            if missing:
                raise ValueError(f"no records of {dataset}, {method}, seed {seed} on {', '.join(missing)}")
        accuracy = np.array([[run[name]["accuracy"] for name in BACKGROUNDS] for run in runs.values()])
        deviations = accuracy.std(axis=0, ddof=1) if len(runs) > 1 else np.zeros(len(BACKGROUNDS))
        count = next(iter(runs.values()))["none"]["count"]
        table.append(Row(dataset, method, len(runs), count, tuple(accuracy.mean(axis=0)), tuple(deviations)))
    return table


def _lines(records: Sequence[dict]) -> list[tuple[str, list[str]]]:
    """Pairs of a title and its cells: each of our rows, then the poster's row of the same method."""
    lines = []
    for row in rows(records):
        seeds = "1 seed" if row.seeds == 1 else f"{row.seeds} seeds"
        lines.append((f"{_TITLES[row.method]}, {row.dataset} ({row.count} images, {seeds})", row.cells()))
        lines.append((f"{_TITLES[row.method]}, poster", [f"{value:.1f}" for value in POSTER[row.method]]))
    return lines


def _heads() -> list[str]:
    return [name.capitalize() for name in BACKGROUNDS]


def text(records: Sequence[dict]) -> str:
    """Table 1 for a terminal: our rows above the poster's."""
    lines = [("Accuracy (%)", _heads()), *_lines(records)]
    widths = [max(len(title) for title, _ in lines)]
    widths += [max(len(cells[i]) for _, cells in lines) for i in range(len(BACKGROUNDS))]
    return "\n".join(
        "  ".join([title.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))])
        for title, cells in lines
    )


def markdown(records: Sequence[dict]) -> str:
    """Table 1 as a Markdown table."""
    head = ["Accuracy (%)", *_heads()]
    lines = [head, ["---", *["---:"] * len(BACKGROUNDS)], *([title, *cells] for title, cells in _lines(records))]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def draw_digit(size: int = 32) -> np.ndarray:
    """A 4 as MNIST might have it, white on black: (size, size) float32. It stands on the backgrounds in pictures."""
    corners = np.array([(18.5, 6.5), (8.5, 18.5), (23.0, 18.5), (18.0, 12.0), (16.5, 26.0)]) * size / 32  # x, y
    strokes = [(corners[0], corners[1]), (corners[1], corners[2]), (corners[3], corners[4])]
    y, x = np.indices((size, size))
    pixels = np.stack([x, y], axis=-1).astype(np.float64)
    nearest = np.full((size, size), np.inf)
    for start, end in strokes:
        along = np.clip(((pixels - start) @ (end - start)) / ((end - start) @ (end - start)), 0, 1)[..., None]
        nearest = np.minimum(nearest, np.linalg.norm(pixels - start - along * (end - start), axis=-1))
    return np.clip(1.9 * size / 32 - nearest, 0, 1).astype(np.float32)


def picture(records: Sequence[dict], path: str | Path) -> None:
    """Writes Table 1 as a PNG: a digit on each background above the rows, as in the poster's figure 1."""
    lines = _lines(records)
    title_share = min(0.5, 0.05 + 0.007 * max(len(title) for title, _ in lines))
    height = 1.45 + 0.3 * len(lines)
    figure = Figure(figsize=(11, height), dpi=150)
    digit = draw_digit()[None, ..., None]
    cell = (1 - title_share) / len(BACKGROUNDS)
    side = 0.92 * cell * 11 / height
    for i, name in enumerate(BACKGROUNDS):
        axes = figure.add_axes((title_share + cell * (i + 0.04), 1 - side - 0.05 / height, cell * 0.92, side))
        axes.imshow(compose_test(digit, name)[0, ..., 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
    top = (1 - side) * height - 0.25  # inches
    places = [title_share + cell * (i + 0.5) for i in range(len(BACKGROUNDS))]
    for y, (title, cells) in enumerate([("Accuracy (%)", _heads()), *lines]):
        ours = y % 2 == 1
        style = {"fontsize": 10, "color": "black" if ours or y == 0 else "0.4", "va": "center"}
        style["fontweight"] = "bold" if ours else "normal"
        figure.text(0.01, (top - 0.3 * y) / height, title, **style)
        for place, value in zip(places, cells, strict=True):
            figure.text(place, (top - 0.3 * y) / height, value, ha="center", **style)
    figure.savefig(path)
