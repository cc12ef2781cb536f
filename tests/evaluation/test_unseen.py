"""Accuracy on backgrounds that are not trained on: settings, hits worked out by hand, and the table."""

from types import SimpleNamespace

import numpy as np
import pytest

from bginv_jax.errors import InputError
from bginv_jax.evaluation import unseen
from bginv_jax.tasks.contract import Task


def test_halos_and_contrasts_come_in_all_pairs():
    settings = unseen.vary({"a": np.zeros((20, 4, 4, 1)), "b": np.ones((20, 4, 4, 1))})
    assert len(settings) == 40
    assert len({(one.halo, one.contrast) for one in settings if one.family == "a"}) == 20
    assert all(one.background.mean() == (one.family == "b") for one in settings)


def test_hits_by_hand():
    """The predictor says how much of the image is white; the object is one pixel and the background lights the rest."""
    x = np.zeros((2, 9, 9, 1), np.uint8)
    x[:, 4, 4] = 255
    settings = [
        unseen.Setting("white", np.ones((9, 9, 1), np.float32), halo, contrast)
        for halo, contrast in ((0, 1.0), (1, 1.0), (2, 0.5))
    ]
    expected = np.array([81, 81 - 4, 1 + 0.5 * (81 - 13)])
    task = Task(1, loss=None, measures=lambda outputs, targets: {"hit": np.abs(outputs - targets) < 0.01}, shown="hit")
    measured = unseen.measure_settings(
        lambda x: x.sum(axis=(1, 2, 3)), task, x, x > 0, np.array([81, expected[2]]), settings
    )
    hits = [one.values["hit"] for one in measured]
    np.testing.assert_array_equal(hits, [[True, False], [False, False], [False, True]])


def test_the_table_takes_the_worst_of_each_seed_and_what_is_right_everywhere():
    records = []
    for seed, accuracies in ((0, (90.0, 70.0, 100.0, 60.0)), (1, (80.0, 80.0, 90.0, 70.0))):
        named = (("a", 0, 1.0), ("a", 1, 0.5), ("b", 0, 0.5), ("every", 0, 0.0))
        for (family, halo, contrast), accuracy in zip(named, accuracies, strict=True):
            records.append(
                {
                    "workdir": "mine",
                    "seed": seed,
                    "family": family,
                    "halo": halo,
                    "contrast": contrast,
                    "accuracy": accuracy,
                }
            )
    assert unseen.table(records) == [
        ["Accuracy (%)", "mine, mean", "mine, worst"],
        ["all", "85.0", "75.0"],
        ["a", "80.0", "75.0"],
        ["b", "95.0", "95.0"],
        ["halo 0", "90.0", "85.0"],
        ["halo 1", "75.0", "75.0"],
        ["contrast 1", "85.0", "85.0"],
        ["contrast 0.5", "85.0", "75.0"],
        ["right on every one", "65.0", "65.0"],
    ]


def test_workdirs_of_two_measures_are_refused_before_they_are_scored(tmp_path):
    runs = []
    for shown in ("accuracy", "mean_iou"):
        trained = SimpleNamespace(method=SimpleNamespace(task=SimpleNamespace(shown=shown)))
        runs.append(SimpleNamespace(seeds=[trained], workdir=tmp_path / shown))
    with pytest.raises(
        InputError, match="the workdirs are measured by accuracy and by mean_iou; a table shows one measure"
    ):
        unseen.write(runs, tmp_path / "out", families=[], count=1, photographs=None, seed=0, seeds=None)
    assert not (tmp_path / "out").exists()
