"""Table 1 as text, Markdown and a picture, drawn from records alone.

A record is {"dataset", "method", "seed", "background", "correct", "count", "accuracy"}, accuracy in percent.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from bginv_jax import files
from bginv_jax.backgrounds.patterns import BACKGROUNDS, compose_test
from bginv_jax.errors import InputError
from bginv_jax.evaluation.predictors import Trained
from bginv_jax.methods.schedule import make_phases

# Table 1 of the poster, in percent, in the order of BACKGROUNDS.
POSTER = {
    "vanilla": (97.3, 38.0, 24.3, 61.4, 32.9, 19.7, 11.2),
    "attention": (93.4, 28.1, 26.8, 57.3, 40.1, 29.3, 25.1),
    "proposal": (94.9, 92.3, 76.8, 93.1, 93.7, 70.8, 86.2),
}
# Okabe and Ito's colours, which are told apart with any colour vision.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "x")
TITLES = {"vanilla": "Vanilla CNN", "attention": "Attention", "proposal": "Proposal"}


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
            raise InputError(f"two records of {record['dataset']}, {record['method']}, seed {record['seed']}")
        run[record["background"]] = record
    datasets, order = list(dict.fromkeys(dataset for dataset, _ in found)), list(POSTER)
    table = []
    for (dataset, method), runs in sorted(found.items(), key=lambda i: (datasets.index(i[0][0]), order.index(i[0][1]))):
        for seed, run in runs.items():
            missing = [name for name in BACKGROUNDS if name not in run]
            if missing:
                raise InputError(f"no records of {dataset}, {method}, seed {seed} on {', '.join(missing)}")
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
        lines.append((f"{TITLES[row.method]}, {row.dataset} ({row.count} images, {seeds})", row.cells()))
        lines.append((f"{TITLES[row.method]}, poster (MNIST)", [f"{value:.1f}" for value in POSTER[row.method]]))
    return lines


def run_line(workdir: Path, seeds: Sequence[Trained]) -> str:
    """What was trained, for a line below the table: method, seeds, batch size and the epochs of each phase."""
    config, taken, count = seeds[0].config, seeds[0].steps, seeds[0].dataset["train_count"]
    numbers = ", ".join(str(one.config.seed) for one in seeds)
    epochs = [
        f"{phase.name} {max(0, min(phase.stop, taken) - phase.start) * config.batch_size / count:.2f}"
        for phase in make_phases(config.schedule, config.steps)
    ]
    return (
        f"{workdir.name}: {config.method}, seed{'s' if len(seeds) > 1 else ''} {numbers}; batch {config.batch_size}; "
        f"epochs of {count} images: {', '.join(epochs)}"
    )


def overlaps(values: Sequence[float]) -> str:
    """How well the masks of each seed cover the objects, in percent, for the end of a run's line."""
    return "; IoU of masks and objects " + ", ".join(f"{value:.1f}" for value in values) + " %" if values else ""


def _heads() -> list[str]:
    return [name.capitalize() for name in BACKGROUNDS]


def table(records: Sequence[dict]) -> list[list[str]]:
    """Table 1 as cells: the heads, then our rows, each above the poster's."""
    return [["Accuracy (%)", *_heads()], *([title, *cells] for title, cells in _lines(records))]


def as_text(cells: Sequence[Sequence[str]]) -> str:
    """Cells as a table for a terminal, the first column to the left."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in cells)


def as_markdown(cells: Sequence[Sequence[str]]) -> str:
    """Cells as a Markdown table, the first column to the left."""
    head, *lines = cells
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "".join("| " + " | ".join(line) + " |\n" for line in (head, rule, *lines))


def text(records: Sequence[dict]) -> str:
    """Table 1 for a terminal."""
    return as_text(table(records))


def markdown(records: Sequence[dict]) -> str:
    """Table 1 as a Markdown table."""
    return as_markdown(table(records))


def variants(records: Mapping[str, Sequence[dict]]) -> list[list[str]]:
    """A table of variants as cells: accuracy on each background, then the mean and the least of all but None.

    Args:
      records: of one seed of each variant.
    """
    cells = [["Accuracy (%)", *_heads(), "Mean of six", "Worst"]]
    for variant, own in records.items():
        (row,) = rows(own)
        cells.append([variant, *row.cells(), f"{np.mean(row.means[1:]):.1f}", f"{min(row.means[1:]):.1f}"])
    return cells


def reproduced(records: Sequence[dict], *, within: float = 3.0) -> str:
    """Says of each row which of the poster's figures it comes within so many points of."""
    lines = []
    for row in rows(records):
        gaps = [mean - poster for mean, poster in zip(row.means, POSTER[row.method], strict=True)]
        near = [f"{head} {gap:+.1f}" for head, gap in zip(_heads(), gaps, strict=True) if abs(gap) <= within]
        far = [f"{head} {gap:+.1f}" for head, gap in zip(_heads(), gaps, strict=True) if abs(gap) > within]
        lines.append(
            f"{TITLES[row.method]}, ours less the poster's: within {within:g} points {', '.join(near) or 'nothing'}; "
            f"beyond {', '.join(far) or 'nothing'}"
        )
    return "\n".join(lines)


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
    with files.replacing(path) as whole:
        figure.savefig(whole)


def rate_picture(records: Sequence[dict], path: str | Path) -> None:
    """Writes the accuracy over the rate of the Random background as a PNG: a curve for each method and data set.

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
                by_rate.setdefault(record["rate"], []).append(record["accuracy"])
        rates = sorted(by_rate)
        axes.plot(
            rates,
            [np.mean(by_rate[rate]) for rate in rates],
            color=COLOURS[i % len(COLOURS)],
            marker=MARKERS[i % len(MARKERS)],
            markersize=4,
            label=TITLES[method] + (f", {dataset}" if several else ""),
        )
    axes.set(xlabel="share of white pixels in the background", ylabel="accuracy (%)", ylim=(0, 102), xlim=(-0.01, 1.01))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="best")
    with files.replacing(path) as whole:
        figure.savefig(whole)
