"""Trains every variant of experiments/ingredients.py on every fold: python experiments/ingredients_table.py

Started again, it continues where it was stopped. Writes ingredients.jsonl and ingredients.md. The table has means and
standard deviations over the folds, each with a seed of its own.
"""

import runpy
from pathlib import Path

import numpy as np
from absl import flags

from bginv_jax import command_line, files
from bginv_jax.backgrounds import families
from bginv_jax.evaluation import scoring, unseen
from bginv_jax.evaluation import table1 as report
from bginv_jax.training import loop as train
from bginv_jax.training import metrics_file

_FILES = ("ingredients.jsonl", "ingredients.md")
_INGREDIENTS = runpy.run_path(str(Path(__file__).with_name("ingredients.py")))
_COLUMNS = ("As they are", "Unseen families", "Worst", "Halo 0", "Right on every one", "images/s")
_COUNT = 20  # backgrounds of each family


def measure(workdir: Path, fold: int, folder: str | None) -> list[float]:
    """One run's values of _COLUMNS: percent, and the speed of the phase with f_b."""
    (run,) = scoring.load([workdir], folder=folder)
    drawn = unseen.draw(families.FOLDS[fold], _COUNT, None, size=run.dataset.size, channels=1, seed=1)
    *single, every = unseen.score(run, unseen.vary(drawn))
    accuracies = np.array([record["accuracy"] for record in single])
    at_once = np.array([record["halo"] == 0 for record in single])
    clean = scoring.score(run)[0]["accuracy"]
    lines = [line for line in metrics_file.read(workdir) if "images_per_second" in line]
    speed = np.median([line["images_per_second"] for line in lines if "f_b" in line["phase"]])
    means = accuracies.mean(), accuracies.min(), accuracies[at_once].mean()
    return [float(value) for value in (clean, *means, every["accuracy"], speed)]


def main() -> None:
    values = flags.FLAGS
    output = files.check_folder(values.output, field="--output", files=_FILES)
    cells, records = [["Accuracy (%)", *_COLUMNS]], []
    for variant in values.variant or _INGREDIENTS["VARIANTS"]:
        found = []
        for fold in range(len(families.FOLDS)):
            config = _INGREDIENTS["get_config"](f"{variant},{fold}")
            config.data.dir = values.dir or ""
            train.train(config, output / f"{variant},{fold}", signals=True)
            found.append(measure(output / f"{variant},{fold}", fold, values.dir))
            records.append({"variant": variant, "fold": fold, **dict(zip(_COLUMNS, found[-1], strict=True))})
        mean, deviation = np.mean(found, axis=0), np.std(found, axis=0, ddof=1)
        shown = [f"{a:.1f}±{b:.1f}" for a, b in zip(mean[:-1], deviation[:-1], strict=True)]
        cells.append([variant, *shown, f"{mean[-1]:.0f}"])
        print("  ".join(cells[-1]), flush=True)
    files.write_json_lines(output / "ingredients.jsonl", records)
    files.write_text(output / "ingredients.md", report.as_markdown(cells))
    print(report.as_text(cells))


if __name__ == "__main__":
    command_line.define_path("output", "runs/ingredients", "Where workdirs, records and table go.")
    flags.DEFINE_multi_enum("variant", None, list(_INGREDIENTS["VARIANTS"]), "Only this one; repeat it for more.")
    command_line.define_path("dir", None, "data_dir of TensorFlow Datasets.")
    command_line.run(main, required=[], resumes=True)
