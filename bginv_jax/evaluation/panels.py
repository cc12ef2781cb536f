"""Figures drawn from arrays alone: the poster's four, the predictions in them, and scores along a training."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bginv_jax import files
from bginv_jax.backgrounds import patterns
from bginv_jax.evaluation import overlay
from bginv_jax.evaluation.names import in_chart
from bginv_jax.evaluation.records import measure_title, number
from bginv_jax.evaluation.table1 import COLOURS
from bginv_jax.images import attention
from bginv_jax.images.compose import compose
from bginv_jax.tasks.contract import Task
from bginv_jax.training.metrics_file import VALIDATION

_ORANGE, _BLUE, _GREY = COLOURS[4], COLOURS[1], "#999999"
_COLUMNS = 7
_LIKELIEST = 5  # classes
_SHORT = 2  # letters of a name that stands below its bar
_DPI = 150
_DRAWN_SIDE = 256  # of an image that a prediction is drawn on, pixels


def grid(rows: int, columns: int, cell: float = 1.2) -> tuple[Figure, np.ndarray]:
    """A figure with axes (rows, columns) without ticks, for pictures of `cell` inches."""
    figure = Figure(figsize=(cell * columns + 0.8, cell * rows + 0.5), dpi=_DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for one in axes.flat:
        one.set(xticks=[], yticks=[])
    return figure, axes


def show(axes: Axes, image: np.ndarray, cmap: str = "gray") -> None:
    """An image (S, S, C) or (S, S): uint8, or float in [0, 1]."""
    image = image if image.dtype != np.uint8 else image / 255
    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    axes.imshow(np.clip(image, 0, 1), cmap=cmap, vmin=0, vmax=1, interpolation="nearest")


def accuracy_figure(
    x: np.ndarray, kept: np.ndarray, accuracies: dict[str, float], measure: str = "accuracy", unit: str = ""
) -> Figure:
    """Figure 1: one image on each background, and below it the accuracy there, percent, or another measure.

    Args:
      x: (1, S, S, C).
      kept: what of it is not replaced, bool (1, S, S, 1).
      accuracies: by name of the background.
    """
    figure, axes = grid(1, len(accuracies))
    for one, (name, accuracy) in zip(axes[0], accuracies.items(), strict=True):
        show(one, patterns.compose_test(x, name, kept=kept)[0])
        one.set_title(name.capitalize(), fontsize=10)
        one.set_xlabel(number(accuracy, measure, unit), fontsize=11, fontweight="bold")
    what = measure_title(measure, unit)
    axes[0, 0].set_ylabel(what[0].lower() + what[1:], fontsize=9)
    return figure


def attention_figure(x: np.ndarray, heat: np.ndarray, boxes: np.ndarray) -> Figure:
    """Figure 2: images with the box of their attention, the heat map that it comes from, and the crop.

    Args:
      x: (N, S, S, C) in [0, 1].
      heat: (N, H, W) in [0, 1].
      boxes: (N, 4), as `attention` has them.
    """
    figure, axes = grid(3, len(x))
    crops = np.asarray(attention.crop(jnp.asarray(x), jnp.asarray(boxes)))
    for i, (top, left, bottom, right) in enumerate(boxes):
        show(axes[0, i], x[i])
        shape = {"width": right - left - 0.5, "height": bottom - top - 0.5}
        axes[0, i].add_patch(Rectangle((left - 0.25, top - 0.25), **shape, fill=False, color=_ORANGE, linewidth=2))
        show(axes[1, i], heat[i], cmap="cividis")
        show(axes[2, i], crops[i])
    for one, name in zip(axes[:, 0], ("image and box", "heat map", "crop"), strict=True):
        one.set_ylabel(name, fontsize=10)
    return figure


def networks_figure(x: np.ndarray, m: np.ndarray, b: np.ndarray, show_prediction: Callable[[Any, int], None]) -> Figure:
    """Figure 3: each image on its way through the three networks, one a row.

    Args:
      x, b: (N, S, S, C) in [0, 1].
      m: (N, S, S, 1).
      show_prediction: (axes, i) draws what f makes of m x + b (1 - m) of image i, such as `bars` or `texts`.
    """
    columns = ("$x$", "$f_m(x)$", "$f_b(z)$", r"$m\,x + b\,(1-m)$", "prediction of $f$")
    figure, axes = grid(len(x), len(columns))
    composed = np.asarray(compose(x, m, b))
    for i, row in enumerate(axes):
        for one, image in zip(row, (x[i], m[i], b[i], composed[i]), strict=False):
            show(one, image)
        show_prediction(row[-1], i)
    for one, name in zip(axes[0], columns, strict=True):
        one.set_title(name, fontsize=10)
    return figure


def bars(shares: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> Callable[[Any, int], None]:
    """Predictions as bars: shares (N, classes) from 0 to 1, labels (N,) in colour, names of the classes.

    Where names are words, the likeliest classes alone have a bar, with the name on it.
    """

    def colours(i, shown):
        return [_BLUE if label == labels[i] else _GREY for label in shown]

    def draw(axes, i):
        axes.bar(range(len(names)), shares[i], color=colours(i, range(len(names))))
        axes.set(ylim=(0, 1.05), box_aspect=1)
        axes.set_xticks(range(len(names)), list(map(in_chart, names)), fontsize=6)

    def draw_likeliest(axes, i):
        shown = np.argsort(shares[i], kind="stable")[-_LIKELIEST:]
        axes.barh(range(len(shown)), shares[i][shown], color=colours(i, shown), alpha=0.6)
        axes.set(xlim=(0, 1.05), box_aspect=1)
        for place, label in enumerate(shown):
            axes.text(0.03, place, in_chart(names[label]), va="center", fontsize=6, clip_on=True)

    return draw if max(map(len, names)) <= _SHORT else draw_likeliest


def texts(words: Sequence[str]) -> Callable[[Any, int], None]:
    """Predictions as texts (N,)."""

    def draw(axes, i):
        axes.text(0.5, 0.5, in_chart(words[i]), ha="center", va="center", fontsize=9)
        axes.set_box_aspect(1)

    return draw


def validation_figure(records: Sequence[dict], measure: str) -> Figure:
    """Scores of images that are held out, along the steps: a line for each kind of score, a thin one for each seed.

    Args:
      records: of `metrics_file.read_validation`.
      measure: that the task shows.
    """
    figure = Figure(figsize=(6, 3.5), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    titles = {VALIDATION: "as they are", f"{VALIDATION}development_": "before development backgrounds"}
    for (prefix, title), colour in zip(titles.items(), (_BLUE, _ORANGE), strict=True):
        of_kind = [record for record in records if f"{prefix}{measure}" in record]
        if not of_kind:
            continue
        steps = [record["step"] for record in of_kind]
        values = np.array([np.atleast_1d(record[f"{prefix}{measure}"]) for record in of_kind], float)
        axes.plot(steps, values.mean(axis=1), "o-", color=colour, markersize=3, label=title)
        if values.shape[1] > 1:
            axes.plot(steps, values, color=colour, alpha=0.4, linewidth=0.7)
    axes.set(xlabel="steps", ylabel=measure_title(measure), title="Training images that were held out")
    axes.legend()
    return figure


def drawings(x: np.ndarray, outputs: np.ndarray, task: Task) -> Callable[[Any, int], None]:
    """Predictions drawn on their images (N, S, S, C) in [0, 1], with the task's text below each."""
    words = task.describe(outputs)

    def draw(axes, i):
        image = np.round(255 * np.clip(x[i], 0, 1)).astype(np.uint8)
        picture = overlay.tint(image, None, side=_DRAWN_SIDE)
        assert task.draw is not None, "asked only of a task that draws"
        show(axes, task.draw(np.asarray(picture), outputs[i]))
        axes.set_xlabel(words[i], fontsize=7)

    return draw


def epochs_strip(strips: Sequence[np.ndarray], epochs: Sequence[float]) -> Figure:
    """Figure 4: what f_b makes of the same noise along the epochs, one noise a row.

    Args:
      strips: (N, S, S) or (N, S, S, 3) uint8 at each of `epochs`.
      epochs: of f_b's training.
    """
    chosen = np.unique(np.linspace(0, len(strips) - 1, min(_COLUMNS, len(strips))).round().astype(int))
    figure, axes = grid(min(4, len(strips[0])), len(chosen))
    for column, i in zip(axes.T, chosen, strict=True):
        column[0].set_title(f"epoch {epochs[i]:.1f}", fontsize=10)
        for one, image in zip(column, strips[i], strict=False):
            show(one, image)
    for i, one in enumerate(axes[:, 0]):
        one.set_ylabel(f"$z_{i + 1}$", fontsize=10)
    return figure


def write_animation(strips: Sequence[np.ndarray], epochs: Sequence[float], path: Path) -> None:
    """Figure 4 as a GIF of two pictures a second, all noises at once; arguments as `epochs_strip`."""
    figure, axes = grid(2, len(strips[0]) // 2)

    def draw(i):
        figure.suptitle(f"epoch {epochs[i]:.1f}", fontsize=10)
        for one, image in zip(axes.flat, strips[i], strict=True):
            one.clear()
            one.set(xticks=[], yticks=[])
            show(one, image)

    with files.replacing(path) as whole:
        FuncAnimation(figure, draw, frames=len(strips), init_func=lambda: None).save(whole, PillowWriter(fps=2))
