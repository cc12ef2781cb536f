"""The figure of what is predicted: an image on each background, a row for each run, of tasks other than classification.

As the poster's figure 1, with the predictions themselves.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from bginv_jax import files
from bginv_jax.backgrounds import patterns
from bginv_jax.evaluation import figures, panels, scoring
from bginv_jax.evaluation.records import measure_title, number, of_seed, title, value
from bginv_jax.images.pixels import as_float
from bginv_jax.tasks.contract import Task
from bginv_jax.training import devices as hardware

FILE = "predictions.png"


def draw(x: np.ndarray, outputs: Mapping[str, np.ndarray], values: Mapping[str, Sequence[float]], task: Task) -> Figure:
    """One image on each background, with what each run predicts of it there, and what the run reaches there.

    Args:
      x: (B, S, S, C) in [0, 1], on each of BACKGROUNDS.
      outputs: (B, ...) by the run's title.
      values: B of them by the run's title, as the table has them.
      task: of all runs.
    """
    figure, axes = panels.grid(len(outputs), len(x))
    figure.set_figheight(0.8 + 1.7 * len(outputs))  # two lines of text stand below each image
    for row, (name, of_run) in zip(axes, outputs.items(), strict=True):
        words = task.describe(of_run)
        show = panels.drawings(x, of_run, task) if task.draw else None
        for i, (one, number_shown) in enumerate(zip(row, values[name], strict=True)):
            if show is None:
                panels.show(one, x[i])
            else:
                show(one, i)
            shown = number(number_shown, task.shown, task.unit)
            one.set_xlabel(f"{words[i]}\n$\\bf{{{shown}}}$", fontsize=7)
        row[0].set_ylabel(name, fontsize=8)
    for one, background in zip(axes[0], patterns.BACKGROUNDS, strict=True):
        one.set_title(background.capitalize(), fontsize=10)
    what = measure_title(task.shown, task.unit)
    figure.supxlabel(f"below each image: its prediction, and of all images {what[0].lower()}{what[1:]}", fontsize=8)
    return figure


def write(runs: Sequence[scoring.TrainedRun], records: Sequence[dict], output: Path) -> list[str]:
    """Writes the figure of the runs' first seeds to the folder `output`; its name, or [] of classifiers.

    Args:
      runs: of `scoring.load`; those of other data than the first's are left out.
      records: of `scoring.score`, theirs among them.
      output: a folder.
    """
    task, dataset = runs[0].seeds[0].method.task, runs[0].dataset
    if task.classes or not dataset.marked:
        return []
    shown = figures.examples(dataset, 1)
    x = [patterns.compose_test(shown.images, name, kept=shown.objects) for name in patterns.BACKGROUNDS]
    on_each = np.asarray(as_float(np.concatenate(x)))
    outputs, values = {}, {}
    for run in (run for run in runs if run.dataset.name == dataset.name):
        first = run.seeds[0]
        method, seed = first.config.method, first.config.seed
        name = title(method) + (f", seed {seed}" if title(method) in outputs else "")
        outputs[name] = hardware.make_forward(first.method.predict, hardware.local())(first.networks, on_each)
        own = {one["background"]: value(one) for one in of_seed(records, dataset.name, method, seed)}
        values[name] = [own[background] for background in patterns.BACKGROUNDS]
    with files.replacing(output / FILE) as whole:
        draw(on_each, outputs, values, task).savefig(whole)
    return [FILE]
