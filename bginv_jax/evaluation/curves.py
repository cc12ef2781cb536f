"""Learning curves of what was played in training, from the metrics that a run wrote."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from bginv_jax import files
from bginv_jax.evaluation.records import title
from bginv_jax.evaluation.scoring import TrainedRun
from bginv_jax.evaluation.table1 import COLOURS
from bginv_jax.training import metrics_file

FILE = "curve.png"


def read_returns(workdir: Path) -> tuple[np.ndarray, np.ndarray]:
    """Steps (T,), and the mean return of the episodes that had ended by then, of each seed: (T, seeds).

    None of a workdir that was copied without its metrics.
    """
    played = [record for record in metrics_file.read(workdir) if "return" in record]
    if not played:
        return np.zeros(0, int), np.zeros((0, 1))
    return np.array([record["step"] for record in played]), np.array([np.ravel(record["return"]) for record in played])


def picture(runs: Sequence[TrainedRun], path: Path) -> None:
    """Writes the curves as a PNG: a line for each run, its seeds' mean, between the least and the largest.

    Some of the moves in training are random, so the best return is not quite reached.
    """
    figure = Figure(figsize=(6.4, 3.6), dpi=150, layout="constrained")
    axes = figure.subplots()
    for i, run in enumerate(runs):
        steps, returns = read_returns(run.workdir)
        colour = COLOURS[i % len(COLOURS)]
        label = f"{title(run.seeds[0].config.method)}, {run.dataset.name}"
        if len(steps):
            axes.plot(steps, returns.mean(axis=1), color=colour, label=label)
            axes.fill_between(steps, returns.min(axis=1), returns.max(axis=1), color=colour, alpha=0.2, linewidth=0)
    axes.set(xlabel="step", ylabel="return of episodes in training")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="best")
    with files.replacing(path) as whole:
        figure.savefig(whole)
