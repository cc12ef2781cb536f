"""A classifier of backdrops has a BG-gap of 100, one of objects none; the table is drawn from records alone."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax import config as configs
from bginv_jax.backgrounds.patterns import BACKGROUNDS
from bginv_jax.data.dataset import Dataset, Split
from bginv_jax.errors import InputError
from bginv_jax.evaluation import background_gap, scoring
from bginv_jax.evaluation.predictors import Trained
from bginv_jax.networks.classifiers import CLASSIFIERS
from bginv_jax.tasks.classification import classification
from bginv_jax.tasks.regression import regression
from tests.conftest import changed, make_tiny_config, write_pictures, write_workdir
from tests.training.toys import Linear

TABLE = Path(__file__).parents[2] / "experiments" / "photographs_table.py"
WALLS = np.array([(40, 60, 80), (120, 120, 120), (200, 220, 190)], np.uint8)
OBJECTS = np.array([(180, 40, 40), (40, 180, 40), (40, 40, 180)], np.uint8)
SIDE = 48
OTHERS = ["backdrop alone", "border alone", "same class", "another class", "photographs"]


def _split(labels):
    masks = np.zeros((len(labels), SIDE, SIDE, 1), bool)
    masks[:, 16:32, 16:32] = True
    images = np.where(masks, OBJECTS[labels][:, None, None], WALLS[labels][:, None, None])
    return Split(images, labels.astype(np.int32), masks)


def _nearest(colours, place):
    """A classifier by the colour at a place of the image."""

    def predict(networks, x):
        return -jnp.square(x[:, place, place, None] - jnp.asarray(colours / 255)).sum(axis=-1)

    return predict


def _run(name, predict, *, masked=True, method="proposal", seeds=(0,), masks=None, task=None):
    labels = np.array([0, 1, 2] * 4 + [0, 0])
    split = _split(labels)
    split = split if masked else Split(split.images, split.targets)
    field = _split(np.array([0, 2, 2]))
    dataset = Dataset("folder:set", split, split, ("a", "b", "c"), (SIDE, SIDE, 3), {"field": field}, by_class=True)
    task = task or classification(dataset.class_names)
    made = SimpleNamespace(predict=predict, task=task, predict_mask=masks, ready_masks=masks)
    trained = []
    for seed in seeds:
        config = configs.default_config()
        config.method, config.seed = method, seed
        trained.append(Trained(made, {"f": {}}, config, None, {}, 1))
    return scoring.TrainedRun(Path("runs") / name, trained, dataset)


@pytest.fixture(scope="module")
def photographs():
    random = np.random.RandomState(0)
    return [random.randint(0, 256, (60, 70, 3)).astype(np.uint8) for _ in range(3)]


@pytest.fixture(scope="module")
def of_walls():
    return background_gap.score(_run("walls", _nearest(WALLS, 0), method="vanilla"))


@pytest.fixture(scope="module")
def of_objects(photographs):
    def masks(networks, x):
        return jnp.zeros((*x.shape[:3], 1)).at[:, 16:32, 16:24].set(1.0)

    run = _run("objects", _nearest(OBJECTS, SIDE // 2), seeds=(0, 5), masks=masks)
    return background_gap.score(run, photographs)


def _accuracies(records, seed=0):
    return {one["view"]: one["accuracy"] for one in records if one["seed"] == seed and "accuracy" in one}


def test_a_classifier_of_backdrops_is_told_all_by_them(of_walls):
    found = _accuracies(of_walls)
    assert list(found) == ["test", "test: field", *list(BACKGROUNDS)[1:], *OTHERS[:-1]]
    assert [found[view] for view in ("test", "test: field", "backdrop alone", "border alone", "same class")] == [
        100
    ] * 5
    assert found["another class"] == 0


def test_a_classifier_of_objects_is_told_nothing_by_them(of_objects):
    found = _accuracies(of_objects)
    assert list(found) == ["test", "test: field", *list(BACKGROUNDS)[1:], *OTHERS]
    assert [found[view] for view in found if view not in ("backdrop alone", "border alone")] == [100] * 11
    assert found["backdrop alone"] < 50
    assert found["border alone"] < 50


def test_each_image_is_scored_once_in_each_view_and_by_class(of_walls, of_objects):
    for record in (*of_walls, *of_objects):
        assert record["count"] == (3 if record["view"] == "test: field" else 14)
        assert record["objects"] == background_gap.MARKED
    by_view = {one["view"]: one for one in of_objects if one["seed"] == 5}
    assert by_view["masks"]["iou"] == pytest.approx(50)
    assert by_view["masks"]["iou_by_class"] == pytest.approx({"a": 50, "b": 50, "c": 50})
    assert by_view["border alone"]["mean_class_accuracy"] == pytest.approx(100 / 3)  # one class for all


def test_unmarked_objects_are_cut_out_by_their_colour():
    run, objects = background_gap.with_objects(_run("walls", None, masked=False))
    assert objects == background_gap.BY_COLOUR
    shown = run.dataset.test.masks[:, 14:34, 14:34]
    assert run.dataset.test.masks.sum() == shown.sum()
    assert shown[:, 3:-3, 3:-3].all()


def test_only_classifiers_are_scored():
    with pytest.raises(InputError, match=r"workdir runs/r predicts \w+; expected a classifier"):
        background_gap.score(_run("r", None, task=regression()))


def test_the_table_shows_means_of_seeds_by_image_and_by_class(of_walls, of_objects):
    cells = background_gap.table([*of_objects, *of_walls])
    assert cells[0] == ["%", "Vanilla CNN", "Vanilla CNN, by class", "Proposal", "Proposal, by class"]
    lines = {line[0]: line[1:] for line in cells}
    assert lines["The studio test"] == ["100.0", "100.0", "100.0±0.0", "100.0±0.0"]
    assert lines["BG-gap: same less another, points"] == ["100.0", "100.0", "0.0±0.0", "0.0±0.0"]
    assert lines["Before photographs"] == ["-", "-", "100.0±0.0", "100.0±0.0"]
    assert lines["Kept before photographs, % of the studio's"][2] == "100.0±0.0"
    assert lines["IoU of the masks, worst class"] == ["-", "-", "50.0±0.0", "50.0±0.0"]
    assert {len(line) for line in cells} == {5}
    assert json.loads(json.dumps(of_objects)) == of_objects
    said = background_gap.notes([*of_objects, *of_walls])
    assert "Proposal, folder:set: 14 images, seeds 0, 5; true masks." in said


def test_the_means_of_the_patterns_are_over_six_and_the_worst_is_one():
    record = {"dataset": "d", "workdir": "w", "method": "mine", "seed": 0, "objects": "x", "count": 4}
    values = {"test": 80.0, "same class": 60.0, "another class": 35.0} | dict(
        zip(list(BACKGROUNDS)[1:], range(10, 70, 10), strict=True)
    )
    records = [
        record | {"view": view, "accuracy": value, "mean_class_accuracy": value / 2} for view, value in values.items()
    ]
    lines = {line[0]: line[1:] for line in background_gap.table(records)}
    assert lines["Before the poster's six patterns, mean"] == ["35.0", "17.5"]
    assert lines["Before the poster's six patterns, worst"] == ["10.0", "5.0"]
    assert lines["BG-gap: same less another, points"] == ["25.0", "12.5"]


def test_the_script_writes_records_and_table_of_a_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(CLASSIFIERS, "cnn", Linear)
    counts = {"train": {"a": 8, "b": 8}, "test": {"a": 3, "b": 2}, "masks/test": {"a": 3, "b": 2}}
    config = make_tiny_config(tmp_path / "none")
    config.data.source = f"folder:{write_pictures(tmp_path / 'set', counts)}"
    config = changed(config, method="vanilla", schedule=("f:1",), steps=1)
    workdir = write_workdir(config, tmp_path / "run")
    main = runpy.run_path(str(TABLE))["main"]
    given = dict.fromkeys(("output", "source", "dir", "test"))
    given |= {"workdir": [str(workdir)], "photographs": str(tmp_path / "set" / "train" / "a"), "seed": 0}
    given |= {"masks": [str(tmp_path / "set" / "masks")]}
    monkeypatch.setitem(main.__globals__, "flags", SimpleNamespace(FLAGS=SimpleNamespace(**given)))
    monkeypatch.setattr("bginv_jax.command_line.check_output", lambda names: tmp_path)
    main()
    records = [json.loads(line) for line in (tmp_path / "photographs.jsonl").read_text().splitlines()]
    assert [one["view"] for one in records] == ["test", *list(BACKGROUNDS)[1:], *OTHERS]
    assert "Before photographs" in capsys.readouterr().out
    assert "seeds 0; true masks." in (tmp_path / "photographs.md").read_text()
