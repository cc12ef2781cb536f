"""The table of several test sets, drawn from records alone: their images as they are, by image and by class."""

from collections.abc import Sequence

import numpy as np

from bginv_jax.evaluation.records import title

_HEADS = ["Test set", "Images", "Accuracy (%)", "Mean over classes (%)"]


def table(records: Sequence[dict]) -> list[list[str]]:
    """A line for each method, data set and test set, of the mean over seeds; [] if no record says a mean over classes.

    Args:
      records: as `scoring.score` and `scoring.score_tests` give them.
    """
    runs: dict[tuple[str, str, str], list[dict]] = {}
    for record in records:
        if "mean_class_accuracy" in record:
            key = record["method"], record["dataset"], record.get("test", "test")
            runs.setdefault(key, []).append(record)
    lines = []
    for (method, dataset, test), own in sorted(runs.items(), key=lambda item: _order(records, item[0])):
        cells = [_cell([record[name] for record in own]) for name in ("accuracy", "mean_class_accuracy")]
        lines.append([f"{title(method)}, {dataset}: {test}", str(own[0]["count"]), *cells])
    return [_HEADS, *lines] if lines else []


def _order(records: Sequence[dict], key: tuple[str, str, str]) -> tuple[int, int]:
    """Test sets of one method and data set stand together, where its first record stands."""
    keys = [(record["method"], record["dataset"], record.get("test", "test")) for record in records]
    return [one[:2] for one in keys].index(key[:2]), keys.index(key)


def _cell(values: Sequence[float]) -> str:
    mean = f"{np.mean(values):.1f}"
    return f"{mean}±{np.std(values, ddof=1):.1f}" if len(values) > 1 else mean
