"""Further test sets are scored beside the first, by image and by class, and have no place in Table 1."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bginv_jax
from bginv_jax.backgrounds import patterns
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


@pytest.fixture(scope="module")
def masks(workdir, tmp_path_factory):
    """True masks of the test: the left half of each picture."""
    folder = tmp_path_factory.mktemp("masks")
    (run,) = scoring.load([workdir])
    for path in Path(run.seeds[0].config.data.source.partition(":")[2]).glob("test/*/*"):
        width, height = Image.open(path).size
        mask = np.zeros((height, width), np.uint8)
        mask[:, : width // 2] = 255
        target = folder / "test" / path.parent.name / f"{path.stem}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(target)
    return folder


def test_photographs_that_nobody_marked_are_scored_as_they_are_alone(workdir, tmp_path, capsys):
    runs = scoring.load([workdir])
    records = results.write(runs, tmp_path)
    assert [(one["seed"], one["background"]) for one in records] == [(0, "none"), (3, "none")]
    assert not (tmp_path / "rates.jsonl").exists()
    assert "rates" not in capsys.readouterr().out
    assert scoring.sweep(runs[0]) == scoring.mask_overlaps(runs[0]) == []
    with pytest.raises(InputError, match=r"nobody marked the objects of data set folder:set; expected --masks=DIR"):
        scoring.check_marked(runs)


def test_marked_objects_are_set_before_backgrounds_without_a_halo(workdir, masks):
    (run,) = scoring.load([workdir], masks=(str(masks),))
    scoring.check_marked([run])
    side = run.dataset.size
    composed = patterns.compose_test(run.dataset.test.images, "board", kept=run.dataset.kept(run.dataset.test))
    np.testing.assert_array_equal(composed[0, :, side // 2 :, 0], patterns.BACKGROUNDS["board"](side)[:, side // 2 :])
    right = bginv_jax.load_predictor(workdir, seed=3)(composed).argmax(axis=1) == run.dataset.test.targets
    (board,) = [one for one in scoring.score(run) if (one["seed"], one["background"]) == (3, "board")]
    assert (board["correct"], board["count"]) == (right.sum(), 7)


def test_every_test_set_is_scored_and_table_1_is_of_the_first(workdir, masks, tmp_path, capsys):
    runs = scoring.load([workdir], masks=(str(masks),))
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


@pytest.fixture
def another(workdir, tmp_path):
    """A workdir of another seed whose test "field" is another folder."""
    (run,) = scoring.load([workdir])
    config = changed(run.seeds[0].config, seed=7)
    root = config.data.source.partition(":")[2]
    config.data.tests = (f"field:{root}/far",)
    return write_workdir(config, tmp_path / "another")


def test_tests_of_one_name_and_other_pictures_are_refused(workdir, another):
    with pytest.raises(InputError, match=r"^the test field of data set folder:set holds other pictures for .*another "):
        scoring.load([workdir, another])
    runs = scoring.load([workdir, another], tests=("field",))
    assert runs[0].dataset is runs[1].dataset


def test_masks_of_one_workdir_are_not_those_of_another(workdir, masks, tmp_path):
    (run,) = scoring.load([workdir])
    config = changed(run.seeds[0].config, seed=8)
    config.data.masks = (str(masks),)
    marked = write_workdir(config, tmp_path / "marked")
    for order in ([workdir, marked], [marked, workdir]):
        assert {run.workdir.name: run.dataset.marked for run in scoring.load(order)} == {"run": False, "marked": True}


def test_classes_of_other_names_are_refused(workdir, tmp_path):
    counts = {"train": {"b": 2, "c": 2}, "test": {"b": 2, "c": 2}, "field": {"b": 1}}
    other = write_pictures(tmp_path / "other", counts)
    with pytest.raises(InputError, match=r"^data set folder:other has the classes b, c; expected those that .*, a, b$"):
        scoring.load([workdir], source=f"folder:{other}")
