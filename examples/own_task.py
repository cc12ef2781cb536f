"""Your own task, from arrays to table: how many digits are there? The loss is that of Poisson's counts.

python examples/own_task.py [FOLDER] trains f alone and the proposal, and prints their errors on each background.
"""

import sys
import tempfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits

import bginv_jax as bi
from bginv_jax.config import default_config
from bginv_jax.data.dataset import make_dataset
from bginv_jax.data.sources import SOURCES, Source
from bginv_jax.evaluation import results, scoring
from bginv_jax.tasks.registry import TASKS
from bginv_jax.training.loop import train


def my_arrays(digits, count, seed):  # one to four digits (M, 8, 8), a quarter for each: uint8 (N, 32, 32, 1), (N,)
    random = np.random.default_rng(seed)
    images, targets = np.zeros((count, 32, 32, 1), np.uint8), random.integers(1, 5, count)
    for image, target in zip(images, targets, strict=True):
        for quarter in random.permutation(4)[:target]:
            row, column = 16 * np.array(divmod(quarter, 2)) + random.integers(2, 7, 2)
            image[row : row + 8, column : column + 8, 0] = digits[random.integers(len(digits))] * 255 / 16
    return images, targets.astype(np.float32)


def my_source(config, name):  # targets are no labels, so classes have no names
    digits = load_digits().images
    splits = {"train": my_arrays(digits[:1200], 2000, seed=0), "test": my_arrays(digits[1200:], 500, seed=1)}
    return make_dataset(config, "counts", splits, class_names=())


def my_loss(outputs, targets):  # logarithms of counts (N, 1), counts (N,) -> (N,); least where the count is right
    return jnp.exp(outputs[:, 0]) - targets * outputs[:, 0]


def my_measures(outputs, targets):
    counts = jnp.exp(outputs[:, 0])
    return {"count_error": jnp.abs(counts - targets), "exactly_right": 100.0 * (jnp.round(counts) == targets)}


def my_task(config, description):
    return bi.Task(
        1,
        my_loss,
        my_measures,
        shown="count_error",
        larger_is_better=False,
        beside=(bi.Shown("exactly_right", "%"),),
        columns=("count",),
        numbers=np.exp,
        describe=lambda outputs: [f"{count:.1f} digits" for count in np.exp(outputs[:, 0])],
        trivial=bi.Trivial("The mean count", lambda targets: np.log(np.mean(targets, keepdims=True))),
    )


def main(folder, *, steps=900):
    SOURCES["counts"], TASKS["counting"] = Source("counts", my_source), my_task
    schedules = {"vanilla": ("f:1",), "proposal": ("f:2", "f_m:1", "f+f_b:6")}
    for method, schedule in schedules.items():
        config = default_config()
        config.update({"task": "counting", "method": method, "schedule": schedule, "steps": steps})
        config.data.source, config.mask.width = "counts", 8
        train(config, folder / method)
    return results.write(scoring.load(folder / method for method in schedules), folder)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()))
