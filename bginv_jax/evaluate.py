"""Scores trained workdirs on the poster's seven backgrounds and prints Table 1.

python -m bginv_jax.evaluate --workdir=DIR [--workdir=DIR2 ...] [--output=DIR]

Writes results.jsonl (a record for each data set, method, seed and background), table1.md and table1.png.
"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from absl import flags

from bginv_jax import backgrounds, command_line, data, images, predictors, report, step

_LOG = logging.getLogger("bginv_jax.evaluate")  # run with -m, __name__ is __main__


def score(trained: predictors.Trained, dataset: data.Dataset) -> Iterator[dict]:
    """Scores every test image exactly once on each background and yields a record for each, in the table's order.

    Raises:
      ValueError: if the data set's images or classes are not those of training in shape and number.
    """
    for what, expected, actual in (
        ("images of", tuple(trained.dataset["shape"]), dataset.shape),
        ("classes, in number", len(trained.dataset["class_names"]), len(dataset.class_names)),
    ):
        if expected != actual:
            raise ValueError(f"data set {dataset.name}: {what} {actual}; expected {expected}, as in training")
    forward = step.make_forward(trained.method.predict, jax.local_devices())
    padded = images.pad_to(dataset.test.images, dataset.size)
    for background in backgrounds.BACKGROUNDS:
        outputs = forward(trained.params, backgrounds.compose_test(padded, background))
        hits = np.asarray(trained.method.task.score(outputs, dataset.test.targets))
        correct, count = int(hits.sum()), len(hits)
        yield {
            "dataset": dataset.name,
            "method": trained.config.method,
            "seed": trained.config.seed,
            "background": background,
            "correct": correct,
            "count": count,
            "accuracy": 100 * correct / count,
        }


def evaluate(workdir: str | Path, *, source: str | None = None, folder: str | None = None) -> list[dict]:
    """The records of each seed of a workdir, on the data set of its training unless `source` or `folder` name another.

    Args:
      workdir: a folder that `bginv_jax.train` wrote.
      source: as config.data.source.
      folder: as config.data.dir.

    Raises:
      ValueError: if there is no checkpoint, or the data cannot be read or do not fit the network.
    """
    seeds = predictors.load_seeds(workdir)
    trained = seeds[0]
    named = trained.config.data.copy_and_resolve_references()
    named.update({name: value for name, value in (("source", source), ("dir", folder)) if value is not None})
    dataset = data.load(named)
    if source is None and dataset.describe()["sha256"] != trained.dataset["sha256"]:
        _LOG.warning("%s: the images or labels of %s have changed since it was trained", workdir, dataset.name)
    return [record for one in seeds for record in score(one, dataset)]


def main() -> None:
    values = flags.FLAGS
    records = [
        record for workdir in values.workdir for record in evaluate(workdir, source=values.source, folder=values.dir)
    ]
    output = Path(values.output or values.workdir[0]).expanduser()
    output.mkdir(parents=True, exist_ok=True)
    (output / "results.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (output / "table1.md").write_text(report.markdown(records))
    report.picture(records, output / "table1.png")
    print(report.text(records))
    print(f"written: {', '.join(str(output / name) for name in ('results.jsonl', 'table1.md', 'table1.png'))}")


if __name__ == "__main__":
    flags.DEFINE_multi_string("workdir", None, "A folder that train wrote; repeat it for more rows or seeds.")
    flags.DEFINE_string("output", None, "Where the records and the table go; by default the first --workdir.")
    flags.DEFINE_string("source", None, "Score another data set than that of training: as config.data.source.")
    flags.DEFINE_string("dir", None, "data_dir of that data set, or of the same one where it has moved.")
    command_line.run(main, required=["workdir"])
