"""Scores experiments/single_source.py on other domains: python experiments/single_source_table.py --workdir=DIR

Prints accuracy on MNIST's test digits, on stand-ins for MNIST-M and USPS made of them, which are not the real sets, and
on the same digits drawn by other pens, beside what the literature reaches on the real sets. The stand-in for MNIST-M is
left out unless --photographs names a folder; MNIST-M itself took its photographs from BSDS500. They are for this test
alone: train on none of them. Writes single_source.jsonl and single_source.md.
"""

from collections.abc import Sequence

from absl import flags

import bginv_jax
from bginv_jax import command_line, files
from bginv_jax.backgrounds import photographs as pictures
from bginv_jax.data import domains, sources
from bginv_jax.errors import InputError
from bginv_jax.evaluation import predictors
from bginv_jax.evaluation import table1 as report
from bginv_jax.images.pixels import crop_to

_FILES = ("single_source.jsonl", "single_source.md")
_SHAPE = (32, 32, 3)
_HEADS = {"mnist": "MNIST", "mnist_m": "MNIST-M stand-in", "usps": "USPS stand-in"} | {
    f"pen_{width}": f"A pen of {width} px" for width in domains.PEN_WIDTHS
}
# The real test sets, trained on 10,000 digits of MNIST.
LITERATURE = {
    "Pro-RandConv (Choi et al. 2023), real sets": {"mnist_m": 82.3, "usps": 93.7},
    "MetaCNN (Wan et al. 2022), real sets": {"mnist_m": 88.3, "usps": 89.6},
}


def score(workdir: str, photographs: Sequence, *, folder: str | None = None) -> list[dict]:
    """A record for each seed of a workdir and each domain.

    Raises:
      ValueError: if it was not trained on 32x32 RGB images, or the data cannot be read.
    """
    seeds = predictors.load_seeds(workdir)
    if seeds[0].description.shape != _SHAPE:
        raise InputError(f"workdir {workdir} was trained on images {seeds[0].description.shape}; expected {_SHAPE}")
    named = seeds[0].config.data.copy_and_resolve_references()
    named.update({"image_size": 0, "channels": 0, **({"dir": folder} if folder else {})})
    dataset = sources.load(named)
    scored = domains.make(crop_to(dataset.test.images, dataset.shape[:2]), size=_SHAPE[0], photographs=photographs)
    records = []
    for one in seeds:
        predict = bginv_jax.load_predictor(workdir, seed=one.config.seed)
        for name in (name for name in _HEADS if name in scored):
            hits = predict(scored[name]).argmax(axis=-1) == dataset.test.targets
            correct, count = int(hits.sum()), len(hits)
            records.append(
                {
                    "dataset": dataset.name,
                    "method": one.config.method,
                    "seed": one.config.seed,
                    "domain": name,
                    "stand_in": name in ("mnist_m", "usps"),
                    "correct": correct,
                    "count": count,
                    "accuracy": 100 * correct / count,
                }
            )
    return records


def table(found: dict[str, list[dict]]) -> list[list[str]]:
    """Records by workdir as cells: a row for each seed, then the literature's rows."""
    cells = [["Accuracy (%)", *_HEADS.values()]]
    rows: dict[str, dict[str, float]] = {}
    for workdir, records in found.items():
        for record in records:
            title = f"{workdir}, {record['method']}, seed {record['seed']}"
            rows.setdefault(title, {})[record["domain"]] = record["accuracy"]
    for title, row in (rows | LITERATURE).items():
        cells.append([title, *(f"{row[name]:.1f}" if name in row else "-" for name in _HEADS)])
    return cells


def main() -> None:
    values = flags.FLAGS
    output = command_line.check_output(names=_FILES)
    photographs: Sequence = ()
    if values.photographs:
        photographs = pictures.read_photographs(values.photographs, field="--photographs", smallest=_SHAPE[0])
    found = {workdir: score(workdir, photographs, folder=values.dir) for workdir in values.workdir}
    records = ({"workdir": workdir, **record} for workdir, own in found.items() for record in own)
    files.write_json_lines(output / "single_source.jsonl", records)
    note = "Stand-ins are made of MNIST's test digits; the literature's rows are of the real sets, so no comparison."
    cells = table(found)
    files.write_text(output / "single_source.md", report.as_markdown(cells) + f"\n{note}\n")
    print(f"{report.as_text(cells)}\n{note}")


if __name__ == "__main__":
    command_line.define_path("workdir", None, "A folder that train wrote; repeat it for more rows.", several=True)
    command_line.define_path("photographs", None, "Folder of pictures to blend the test digits with.")
    command_line.define_path("output", None, "Where the records and the table go; by default the first --workdir.")
    command_line.define_path("dir", None, "data_dir of the digits, where it is not that of training.")
    command_line.run(main, required=["workdir"])
