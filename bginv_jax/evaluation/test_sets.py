"""The table of several test sets, drawn from records alone: their images as they are, by image and by class."""

from collections.abc import Sequence

import numpy as np

from bginv_jax.evaluation.records import heading, measure_of, number, title, unit_of


def table(records: Sequence[dict]) -> list[list[str]]:
    """A line for each method, data set and test set, of the mean over seeds.

    [] without further test sets, but for accuracies where records say a mean over classes.

    Args:
      records: as `scoring.score` and `scoring.score_tests` give them.
    """
    measure, unit = measure_of(records), unit_of(records)
    columns = {measure: heading(records)}
    shown = [record for record in records if "mean_class_accuracy" in record]
    if shown:
        columns["mean_class_accuracy"] = "Mean over classes (%)"
    elif measure != "accuracy" and any("test" in record for record in records):
        shown = [record for record in records if record["background"] == "none"]
    runs: dict[tuple[str, str, str], list[dict]] = {}
    for record in shown:
        runs.setdefault((record["method"], record["dataset"], record.get("test", "test")), []).append(record)
    lines = []
    for (method, dataset, test), own in sorted(runs.items(), key=lambda item: _order(records, item[0])):
        cells = [_cell([record[name] for record in own], measure, unit) for name in columns]
        lines.append([f"{title(method)}, {dataset}: {test}", str(own[0]["count"]), *cells])
    return [["Test set", "Images", *columns.values()], *lines] if lines else []


def _order(records: Sequence[dict], key: tuple[str, str, str]) -> tuple[int, int]:
    """Test sets of one method and data set stand together, where its first record stands."""
    keys = [(record["method"], record["dataset"], record.get("test", "test")) for record in records]
    return [one[:2] for one in keys].index(key[:2]), keys.index(key)


def _cell(values: Sequence[float], measure: str, unit: str) -> str:
    mean = number(float(np.mean(values)), measure, unit)
    return f"{mean}±{number(float(np.std(values, ddof=1)), measure, unit)}" if len(values) > 1 else mean
