"""Table 1 as text, Markdown and a picture, drawn from records alone.

Records are as `records` has them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from bginv_jax import files
from bginv_jax.backgrounds.patterns import BACKGROUNDS, compose_test
from bginv_jax.evaluation.names import in_chart, in_markdown, shown
from bginv_jax.evaluation.predictors import Trained
from bginv_jax.evaluation.records import heading, measure_of, rows, title, value
from bginv_jax.methods.schedule import make_phases

# Table 1 of the poster, in percent, in the order of BACKGROUNDS.
POSTER = {
    "vanilla": (97.3, 38.0, 24.3, 61.4, 32.9, 19.7, 11.2),
    "attention": (93.4, 28.1, 26.8, 57.3, 40.1, 29.3, 25.1),
    "proposal": (94.9, 92.3, 76.8, 93.1, 93.7, 70.8, 86.2),
}
# Okabe and Ito's colours, which are told apart with any colour vision.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#000000")
_COLUMNS = [name.capitalize() for name in BACKGROUNDS]
MARKERS = ("o", "s", "^", "D", "v", "x")


class Line(NamedTuple):
    """A line of the table: its title, its cells, and whether they are the poster's."""

    title: str
    cells: list[str]
    poster: bool


def lines(records: Sequence[dict]) -> list[Line]:
    """Each of our rows, then the poster's row of the same method, if it has one."""
    table = []
    for row in rows(records):
        seeds = "1 seed" if row.seeds == 1 else f"{row.seeds} seeds"
        table.append(Line(f"{title(row.method)}, {row.dataset} ({row.count} images, {seeds})", row.cells(), False))
        if row.method in POSTER and row.measure == "accuracy":
            figures = [f"{figure:.1f}" for figure in POSTER[row.method]]
            table.append(Line(f"{title(row.method)}, poster (MNIST)", figures, True))
    return table


def run_line(workdir: Path, seeds: Sequence[Trained]) -> str:
    """What was trained, for a line below the table: method, seeds, batch size and the epochs of each phase."""
    config, taken, count = seeds[0].config, seeds[0].steps, seeds[0].description.train_count
    name = shown(workdir.name)
    numbers = ", ".join(str(one.config.seed) for one in seeds)
    epochs = [
        f"{phase.name} {max(0, min(phase.stop, taken) - phase.start) * config.batch_size / count:.2f}"
        for phase in make_phases(config.schedule, config.steps)
    ]
    return (
        f"{name}: {config.method}, seed{'s' if len(seeds) > 1 else ''} {numbers}; batch {config.batch_size}; "
        f"epochs of {count} images: {', '.join(epochs)}"
    )


def overlaps(values: Sequence[float]) -> str:
    """How well the masks of each seed cover the objects, in percent, for the end of a run's line."""
    return "; IoU of masks and objects " + ", ".join(f"{value:.1f}" for value in values) + " %" if values else ""


def heads(records: Sequence[dict]) -> list[str]:
    """What is measured, and where; of another measure than the accuracy also the worst of all backgrounds but none."""
    return [heading(records), *_COLUMNS, *([] if measure_of(records) == "accuracy" else ["Worst"])]


def table(records: Sequence[dict]) -> list[list[str]]:
    """Table 1 as cells: the heads, then our rows, each above the poster's."""
    return [heads(records), *([line.title, *line.cells] for line in lines(records))]


def as_text(cells: Sequence[Sequence[str]]) -> str:
    """Cells as a table for a terminal, the first column to the left."""
    cells = [list(map(shown, line)) for line in cells]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in cells)


def as_markdown(cells: Sequence[Sequence[str]]) -> str:
    """Cells as a Markdown table, the first column to the left."""
    head, *lines = cells
    rule = ["---", *["---:"] * (len(head) - 1)]
    rows = [list(map(in_markdown, line)) for line in (head, *lines)]
    return "".join("| " + " | ".join(line) + " |\n" for line in (rows[0], rule, *rows[1:]))


def variants(records: Mapping[str, Sequence[dict]]) -> list[list[str]]:
    """A table of variants as cells: accuracy on each background, then the mean and the least of all but None.

    Args:
      records: of one seed of each variant.
    """
    cells = [["Accuracy (%)", *_COLUMNS, "Mean of six", "Worst"]]
    for variant, of_variant in records.items():
        (row,) = rows(of_variant)
        cells.append([variant, *row.cells(), f"{np.mean(row.means[1:]):.1f}", f"{min(row.means[1:]):.1f}"])
    return cells


def reproduced(records: Sequence[dict], *, within: float = 3.0) -> str:
    """Says of each row which of the poster's figures it comes within so many points of."""
    said = []
    for row in (row for row in rows(records) if row.method in POSTER and row.measure == "accuracy"):
        gaps = [mean - poster for mean, poster in zip(row.means, POSTER[row.method], strict=True)]
        near = [f"{head} {gap:+.1f}" for head, gap in zip(_COLUMNS, gaps, strict=True) if abs(gap) <= within]
        far = [f"{head} {gap:+.1f}" for head, gap in zip(_COLUMNS, gaps, strict=True) if abs(gap) > within]
        said.append(
            f"{title(row.method)}, ours less the poster's: within {within:g} points {', '.join(near) or 'nothing'}; "
            f"beyond {', '.join(far) or 'nothing'}"
        )
    return "\n".join(said)


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
    first, *columns = heads(records)
    shown = [Line(first, columns, False), *lines(records)]
    title_share = min(0.5, 0.05 + 0.007 * max(len(line.title) for line in shown))
    height = 1.15 + 0.3 * len(shown)
    figure = Figure(figsize=(11, height), dpi=150)
    digit = draw_digit()[None, ..., None]
    cell = (1 - title_share) / len(columns)
    side = 0.92 * cell * 11 / height
    for i, name in enumerate(BACKGROUNDS):
        axes = figure.add_axes((title_share + cell * (i + 0.04), 1 - side - 0.05 / height, cell * 0.92, side))
        axes.imshow(compose_test(digit, name)[0, ..., 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
    top = (1 - side) * height - 0.25  # inches
    places = [title_share + cell * (i + 0.5) for i in range(len(columns))]
    for y, line in enumerate(shown):
        style: dict[str, Any] = {"fontsize": 10, "color": "0.4" if line.poster else "black", "va": "center"}
        style["fontweight"] = "normal" if line.poster or y == 0 else "bold"
        figure.text(0.01, (top - 0.3 * y) / height, in_chart(line.title), **style)
        for place, cell_text in zip(places, line.cells, strict=True):
            figure.text(place, (top - 0.3 * y) / height, cell_text, ha="center", **style)
    with files.replacing(path) as whole:
        figure.savefig(whole)


def rate_picture(records: Sequence[dict], path: str | Path) -> None:
    """Writes what is measured over the rate of the Random background as a PNG: a curve for each method and data set.

    Args:
      records: as the table's, with "rate", the share of white pixels, instead of "background". Seeds are averaged.
      path: where to write.
    """
    figure = Figure(figsize=(6.4, 3.6), dpi=150, layout="constrained")
    axes = figure.subplots()
    keys = dict.fromkeys((record["dataset"], record["method"]) for record in records)
    several = len({dataset for dataset, _ in keys}) > 1
    for i, (dataset, method) in enumerate(keys):
        by_rate: dict[float, list[float]] = {}
        for record in records:
            if (record["dataset"], record["method"]) == (dataset, method):
                by_rate.setdefault(record["rate"], []).append(value(record))
        rates = sorted(by_rate)
        axes.plot(
            rates,
            [np.mean(by_rate[rate]) for rate in rates],
            color=COLOURS[i % len(COLOURS)],
            marker=MARKERS[i % len(MARKERS)],
            markersize=4,
            label=in_chart(title(method) + (f", {dataset}" if several else "")),
        )
    what = heading(records)
    axes.set(xlabel="share of white pixels in the background", ylabel=what[0].lower() + what[1:], xlim=(-0.01, 1.01))
    if measure_of(records) == "accuracy":
        axes.set_ylim(0, 102)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="best")
    with files.replacing(path) as whole:
        figure.savefig(whole)
