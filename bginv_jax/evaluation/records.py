"""Records of scores, and the rows that tables and figures draw from them alone.

A record of classification is {"dataset", "method", "seed", "background", "correct", "count", "accuracy"}, accuracy in
percent. A record of another task has its measures by name; under "measure" the name of the one that tables show, its
"unit", if it has one, and "larger_is_better"; and under "beside" the same of further ones. A record of a further test
set has its name as "test", and no place in Table 1. With several test sets, or photographs, records of images as they
are have "mean_class_accuracy", in percent, too.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np

from bginv_jax.backgrounds.patterns import BACKGROUNDS
from bginv_jax.errors import InputError

# The poster's rows come first, in its order.
TITLES = {"vanilla": "Vanilla CNN", "attention": "Attention", "proposal": "Proposal"}


def title(method: str) -> str:
    """A method's name for people."""
    return TITLES.get(method, method)


def measure_of(records: Iterable[dict]) -> str:
    """The measure that records show.

    Raises:
      InputError: if they show several.
    """
    measures = sorted({record.get("measure", "accuracy") for record in records}) or ["accuracy"]
    if len(measures) > 1:
        raise InputError(f"records of {' and of '.join(measures)}; a table shows one measure")
    return measures[0]


def larger_is_better(records: Iterable[dict]) -> bool:
    """Whether a larger value of what records show is better."""
    return all(record.get("larger_is_better", True) for record in records)


def unit_of(records: Iterable[dict]) -> str:
    """The unit of what records show, '' without any."""
    return next((record.get("unit", "") for record in records), "")


def by_measure(records: Sequence[dict]) -> list[list[dict]]:
    """The records, and again with each of the further measures that the first of them has beside the one it shows."""
    others = records[0].get("beside", []) if records else []
    return [list(records), *([record | {"unit": ""} | other for record in records] for other in others)]


def measure_title(measure: str, unit: str = "") -> str:
    """A measure's name for people, with its unit."""
    if measure == "accuracy":
        return "Accuracy (%)"
    name = measure.replace("_", " ")
    return name[0].upper() + name[1:] + (f" ({unit})" if unit else "")


def heading(records: Sequence[dict]) -> str:
    """What records show, with its unit."""
    return measure_title(measure_of(records), unit_of(records))


def value(record: dict) -> float:
    """What a record shows."""
    return record[record.get("measure", "accuracy")]


def of_seed(records: Iterable[dict], dataset: str, method: str, seed: int) -> list[dict]:
    """Those of the records that one seed of a method has on a data set."""
    return [one for one in records if (one["dataset"], one["method"], one["seed"]) == (dataset, method, seed)]


def is_score(record: dict) -> bool:
    """Whether a record, which was read from a file, says on what it scored, and how."""
    measure = record.get("measure", "accuracy")
    score = record.get(measure) if isinstance(measure, str) else None
    texts = (record.get("background"), record.get("test", ""))
    return isinstance(score, int | float) and math.isfinite(score) and all(isinstance(text, str) for text in texts)


def number(shown: float, measure: str, unit: str = "") -> str:
    """A value as tables have it: percent with one digit, anything else with three significant ones."""
    return f"{shown:.1f}" if measure == "accuracy" or unit == "%" else f"{shown:.3g}"


@dataclasses.dataclass(frozen=True)
class Row:
    """One method on one data set: mean and standard deviation over its seeds for each background.

    worst: the same of each seed's worst background, other than none.
    """

    dataset: str
    method: str
    seeds: int
    count: int
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    measure: str = "accuracy"
    unit: str = ""
    worst: tuple[float, float] = (0.0, 0.0)

    def cells(self) -> list[str]:
        """Of each background, and the worst, for which the poster's table of accuracies has no column."""
        cells = [self._cell(mean, deviation) for mean, deviation in zip(self.means, self.deviations, strict=True)]
        return cells if self.measure == "accuracy" else [*cells, self._cell(*self.worst)]

    def _cell(self, mean: float, deviation: float) -> str:
        shown = number(mean, self.measure, self.unit)
        return shown if self.seeds == 1 else f"{shown}±{number(deviation, self.measure, self.unit)}"


def rows(records: Sequence[dict]) -> list[Row]:
    """The rows of a table: by data set as they come, within it in the poster's order, then others as they come.

    Further test sets have none, nor have photographs that were set before no other background at all.

    Raises:
      InputError: if a run lacks a background, a record stands twice, or records show several measures.
    """
    records = [record for record in records if "test" not in record]
    measure = measure_of(records)
    found: dict[str, dict[str, dict[int, dict[str, dict]]]] = {}
    for record in records:
        methods = found.setdefault(record["dataset"], {})
        run = methods.setdefault(record["method"], {}).setdefault(record["seed"], {})
        if record["background"] in run:
            raise InputError(f"two records of {record['dataset']}, {record['method']}, seed {record['seed']}")
        run[record["background"]] = record
    table = []
    for dataset, methods in found.items():
        for method in [
            *(name for name in TITLES if name in methods),
            *(name for name in methods if name not in TITLES),
        ]:
            runs = methods[method]
            if all(run.keys() == {"none"} for run in runs.values()):
                continue
            for seed, run in runs.items():
                missing = [name for name in BACKGROUNDS if name not in run]
                if missing:
                    raise InputError(f"no records of {dataset}, {method}, seed {seed} on {', '.join(missing)}")
            values = np.array([[value(run[name]) for name in BACKGROUNDS] for run in runs.values()])
            others = values[:, [name != "none" for name in BACKGROUNDS]]
            worst = others.min(axis=1) if larger_is_better(records) else others.max(axis=1)
            values = np.concatenate([values, worst[:, None]], axis=1)
            deviations = values.std(axis=0, ddof=1) if len(runs) > 1 else np.zeros(values.shape[1])
            count = next(iter(runs.values()))["none"]["count"]
            *means, worst_mean = values.mean(axis=0)
            *of_each, of_worst = deviations
            numbers = tuple(means), tuple(of_each), measure, unit_of(records), (worst_mean, of_worst)
            table.append(Row(dataset, method, len(runs), count, *numbers))
    return table
