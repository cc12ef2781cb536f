"""Further test sets are scored beside the first, by image and by class, and have no place in Table 1."""

import json

import numpy as np
import pytest

import bginv_jax
from bginv_jax.errors import InputError
from bginv_jax.evaluation import results, scoring, test_sets
from bginv_jax.evaluation.records import rows
from bginv_jax.networks.classifiers import CLASSIFIERS
from tests.conftest import changed, make_tiny_config, write_pictures, write_workdir
from tests.training.toys import Linear


def test_the_mean_over_classes_counts_each_class_once():
    hits, labels = np.array([True, True, True, False, True, False]), np.array([0, 0, 0, 0, 2, 2])
    assert scoring.mean_class_accuracy(hits, labels) == 100 * (0.75 + 0.5) / 2
    assert scoring.mean_class_accuracy(np.array([True]), np.array([3])) == 100


def _record(test, accuracy, seed=0, **more):
    head = {"dataset": "d", "method": "vanilla", "seed": seed, "background": "none", "count": 8, "accuracy": accuracy}
    return head | ({"test": test} if test else {}) | {"mean_class_accuracy": accuracy / 2} | more


def test_the_table_has_a_line_for_each_set_and_the_mean_of_seeds():
    records = [_record(None, 80.0), _record(None, 90.0, seed=1), _record("field", 40.0), _record("field", 42.0, seed=1)]
    assert test_sets.table([*records, _record("field", 10.0, method="mine", dataset="e")]) == [
        ["Test set", "Images", "Accuracy (%)", "Mean over classes (%)"],
        ["Vanilla CNN, d: test", "8", "85.0±7.1", "42.5±3.5"],
        ["Vanilla CNN, d: field", "8", "41.0±1.4", "20.5±0.7"],
        ["mine, e: field", "8", "10.0", "5.0"],
    ]
    assert test_sets.table([{"dataset": "d", "method": "vanilla", "background": "none", "accuracy": 3.0}]) == []


@pytest.fixture(scope="module", autouse=True)
def _small_network():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CLASSIFIERS, "cnn", Linear)
        yield


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A vanilla workdir of a folder with the further test "field", which lacks a class."""
    root = tmp_path_factory.mktemp("data")
    counts = {"train": {"a": 9, "b": 9}, "test": {"a": 5, "b": 2}, "field": {"b": 3}, "far": {"a": 1, "b": 4}}
    config = make_tiny_config(root / "none")
    config.data.update({"source": f"folder:{write_pictures(root / 'set', counts)}", "tests": ("field",)})
    config = changed(config, method="vanilla", schedule=("f:1",), steps=1, seeds=(0, 3))
    return write_workdir(config, root / "run")


def test_every_test_set_is_scored_and_table_1_is_of_the_first(workdir, tmp_path, capsys):
    runs = scoring.load([workdir])
    records = results.write(runs, tmp_path)
    written = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert written[:14] == records == scoring.score(runs[0])
    assert [(one["seed"], one["test"], one["background"]) for one in written[14:]] == [
        (0, "field", "none"),
        (3, "field", "none"),
    ]
    (row,) = rows(written)
    assert row == rows(records)[0]
    assert (row.count, row.seeds) == (7, 2)
    for name, split, found in (
        ("test", runs[0].dataset.test, [one for one in records if one["background"] == "none"]),
        ("field", runs[0].dataset.tests["field"], written[14:]),
    ):
        for one in found:
            right = bginv_jax.load_predictor(workdir, seed=one["seed"])(split.images).argmax(axis=1) == split.targets
            by_class = [right[split.targets == label].mean() for label in np.unique(split.targets)]
            assert (one["correct"], one["count"]) == (right.sum(), len(right))
            assert one["mean_class_accuracy"] == pytest.approx(100 * np.mean(by_class))
        assert f"Vanilla CNN, folder:set: {name} " in capsys.readouterr().out + (tmp_path / "table1.md").read_text()
    assert all("mean_class_accuracy" not in one for one in records if one["background"] != "none")


def test_other_test_sets_than_those_of_training_may_be_named(workdir):
    root = workdir.parent / "set"
    (run,) = scoring.load([workdir], tests=("far", f"other:{root / 'field'}"))
    assert {name: len(split.targets) for name, split in run.dataset.tests.items()} == {"far": 5, "other": 3}
    (with_own,), (without,) = scoring.load([workdir]), scoring.load([workdir], tests=())
    assert list(with_own.dataset.tests) == ["field"]
    assert without.dataset.tests == {}
    with pytest.raises(InputError, match=r"--test is 'a' and 'a:b'; expected NAME or NAME:PATH, .* train or test"):
        scoring.load([workdir], tests=("a", "a:b"))
    with pytest.raises(InputError, match=r"data set mnist_5k: images of"):
        scoring.load([workdir], source="mnist_5k")


def test_a_large_test_set_is_scored_in_parts_alike(workdir, monkeypatch):
    from bginv_jax.data import rows as data_rows

    (run,) = scoring.load([workdir])
    expected = scoring.score(run) + scoring.score_tests(run)
    monkeypatch.setattr(data_rows, "_CHUNK_BYTES", 3 * 32 * 32 * 3)
    assert [len(part.images) for part in run.dataset.test.parts()] == [3, 3, 1]
    assert scoring.score(run) + scoring.score_tests(run) == expected
