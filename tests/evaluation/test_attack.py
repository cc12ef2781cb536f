"""What an attack says of a predictor, and the command on a tiny workdir."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from skimage import io

from bginv_jax.backgrounds import families
from bginv_jax.evaluation import attack, scoring, search
from bginv_jax.evaluation import attack_charts as attack_report
from tests.conftest import call_door, changed, write_workdir
from tests.evaluation.foolable import BUDGETS, SIZE, labels_of, linear, only_numpy


def test_every_call_of_the_predictor_has_one_shape(x, masks):
    shapes = set()

    def noted(x):
        shapes.add(x.shape)
        return only_numpy(x)

    attack.curves(noted, x, masks, labels_of(linear, x), attack.Options(1, 0, 0, 2), chunk=3)
    assert shapes == {(3, SIZE, SIZE, 1)}


@pytest.fixture
def two_families(monkeypatch):
    """Compiling all of them takes longer than everything else here."""
    monkeypatch.setattr(families, "REPORT", ("plain", "ramp"))


def test_a_predictor_that_ignores_the_background_cannot_be_fooled(x, masks, two_families):
    def predict(x):
        return linear(jnp.pad(x[:, 2:6, 2:6], ((0, 0), (2, 2), (2, 2), (0, 0))))

    targets = labels_of(predict, x)
    targets[:2] = 1 - targets[:2]
    records, found = attack.curves(predict, x, masks, targets, attack.Options(3, 2, 5, 2))
    assert [(record["correct"], record["count"]) for record in records] == [(5, 7)] * (1 + 11 + 5 + 2 + 1)
    for one in found.values():
        np.testing.assert_allclose(one.loss, np.broadcast_to(one.loss[0], one.loss.shape), rtol=1e-4)


def test_curves_count_what_was_found(x, masks, two_families):
    targets = labels_of(linear, x)
    records, found = attack.curves(linear, x, masks, targets, attack.Options(10, 1, 5, 3), budgets=BUDGETS)
    assert list(found) == ["gradient", "random", "evolution"]
    assert records[0] == {"search": "none", "correct": 7, "count": 7, "accuracy": 100}
    assert [record["budget"] for record in records if record["search"] == "gradient"] == list(BUDGETS)
    assert [record["tried"] for record in records if record["search"] == "random"] == [1, 2, 3, 4, 5]
    assert [record["generation"] for record in records if record["search"] == "evolution"] == [1, 2, 3]
    for name, one in found.items():
        assert [r["correct"] for r in records if r["search"] == name] == one.right.sum(axis=1).tolist()
    assert records[1]["correct"] == 7  # no budget
    every = np.logical_and.reduce([one.right[-1] for one in found.values()])
    assert records[-1] == {
        "search": "any",
        "correct": every.sum(),
        "count": 7,
        "accuracy": pytest.approx(100 * every.mean()),
    }


def test_random_backgrounds_are_of_all_families_by_turns(two_families):
    drawn = attack.random_backgrounds(5, size=8, channels=3, seed=0)
    assert drawn.shape == (5, 8, 8, 3)
    every = families.draw(("plain", "ramp"), 3, size=8, channels=3, seed=0)
    order = [int(np.flatnonzero((every == one).all(axis=(1, 2, 3)))[0]) for one in drawn]
    assert len(set(order)) == 5
    assert order != sorted(order)


def test_a_numpy_predictor_is_searched_as_a_black_box_alone(x, masks):
    targets = labels_of(linear, x)
    records, found = attack.curves(only_numpy, x, masks, targets, attack.Options(restarts=0, random=0, generations=2))
    assert list(found) == ["evolution"]
    traced, _ = attack.curves(linear, x, masks, targets, attack.Options(restarts=0, random=0, generations=2))
    assert records == traced
    with pytest.raises(ValueError, match="projected gradient needs a predict that JAX can differentiate"):
        attack.curves(only_numpy, x, masks, targets, attack.Options(restarts=1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((7, 8, 8))}, r"images are \(7, 8, 8\); expected \(N, S, S, C\)"),
        ({"x": np.full((7, 8, 8, 1), 255.0)}, r"images from 255.0 to 255.0; expected uint8, or floats in \[0, 1\]"),
        ({"masks": np.zeros((7, 8, 8))}, r"masks are \(7, 8, 8\); expected \(7, 8, 8, 1\), of 0 and 1 alone"),
        ({"masks": np.full((7, 8, 8, 1), 0.5)}, "of 0 and 1 alone"),
        ({"targets": np.zeros(6, int)}, "targets for 6 images; expected 7"),
        ({"options": attack.Options(steps=0)}, "steps is 0; expected at least 1"),
        ({"options": attack.Options(random=-1)}, "random is -1; expected at least 0"),
        ({"options": attack.Options(10, 0, 0, 0)}, "restarts, random and generations are all 0"),
        ({"budgets": (0.2, 0.1)}, r"budgets are \(0.2, 0.1\); expected increasing numbers from 0 to 1"),
        ({"budgets": (0, 2)}, r"budgets are \(0, 2\)"),
    ],
)
def test_what_does_not_fit_is_refused(x, masks, change, message):
    own = {"x": x, "masks": masks, "targets": np.zeros(7, int), **change}
    with pytest.raises(ValueError, match=message):
        attack.curves(linear, **own)


def test_the_table_has_the_last_of_each_search():
    def record(search, accuracy, **how_far):
        return {"row": "ours", "search": search, "correct": 0, "count": 1, "accuracy": accuracy, **how_far}

    records = [
        record("none", 99.0),
        record("gradient", 99.0, budget=0),
        record("gradient", 50.0, budget=0.3),
        record("gradient", 20.0, budget=0.4),
        record("random", 90.0, tried=1),
        record("random", 80.0, tried=2),
        record("random", 70.04, tried=3),
        record("any", 0.0),
    ]
    assert attack_report.table(records) == [
        ["Accuracy (%)", "As they are", "Within 0.3", "Within 0.4", "Worst of 1", "Worst of 3", "Any search"],
        ["ours", "99.0", "50.0", "20.0", "90.0", "70.0", "0.0"],
    ]


def test_the_picture_of_the_worst_says_what_is_mistaken(x):
    figure = attack_report.worst_figure(
        x[:2], {"random": x[2:4]}, ["a", "b"], {"none": ["a", "b"], "random": ["a", "a"]}
    )
    axes = np.array(figure.axes).reshape(2, 2)
    assert [one.get_xlabel() for one in axes.flat] == ["a", "b", "a", "a"]
    colours = [one.xaxis.label.get_color() for one in axes.flat]
    assert colours[0] == colours[1] == colours[2] != colours[3]
    np.testing.assert_array_equal(np.asarray(axes[1, 0].images[0].get_array()), x[2, ..., 0])


@pytest.fixture(scope="module")
def workdir(module_config, tmp_path_factory):
    """A vanilla workdir that smoothed its labels."""
    config = changed(module_config, method="vanilla", schedule=("f:1",), label_smoothing=0.9)
    return write_workdir(config, tmp_path_factory.mktemp("run") / "vanilla")


def test_smoothed_labels_are_for_training_alone(workdir, tmp_path, monkeypatch, two_families):
    losses, measure = [], search.measure

    def spy(predict, x, targets, task):
        logits = jnp.array([[0.0, 9.0]])
        losses.append(float(task.loss(logits, jnp.array([1]))[0]))
        return measure(predict, x, targets, task)

    monkeypatch.setattr(search, "measure", spy)
    options = attack.Options(steps=1, restarts=1, random=1, generations=1)
    attack.write(scoring.load([workdir]), tmp_path, count=1, halo=0, options=options)
    assert losses == pytest.approx(len(losses) * [np.log1p(np.exp(-9))], abs=1e-5)  # a sure answer costs nothing
    assert losses


def test_a_workdir_is_attacked_from_the_command_line(workdir, tmp_path):
    flags = ("--random=0", "--generations=2", "--steps=1", "--restarts=1", "--count=100", "--halo=1")
    flags += ("--budgets=1", "--budgets=0", "--budgets=0.1")
    result = call_door("bginv_jax.attack", f"--workdir={workdir}", f"--output={tmp_path}", *flags)
    assert result.returncode == 0, result.stderr
    records = [json.loads(line) for line in (tmp_path / "attack.jsonl").read_text().splitlines()]
    assert [record["search"] for record in records] == ["none", *3 * ["gradient"], *2 * ["evolution"], "any"]
    assert [record["budget"] for record in records[1:4]] == [0, 0.1, 1]
    assert {record["count"] for record in records} == {21}
    assert {(record["row"], record["method"], record["seed"]) for record in records} == {("Vanilla CNN", "vanilla", 0)}
    runs = scoring.load([workdir])
    trained, test = runs[0].seeds[0], runs[0].dataset.test
    logits = trained.method.predict(trained.networks, test.images / np.float32(255))
    assert records[0]["correct"] == records[1]["correct"] == (logits.argmax(axis=1) == test.targets).sum()
    assert (tmp_path / "attack.md").read_text().startswith("| Accuracy (%) | As they are | Within 0.1 |")
    assert "the first 21 test images, 1 pixels around the object left as they are" in result.stdout
    for name in ("attack.png", "worst.png"):
        assert io.imread(tmp_path / name).std() > 10
    options = attack.Options(generations=1)
    with pytest.raises(ValueError, match="a --workdir is given twice; expected each once"):
        attack.write(runs * 2, tmp_path / "out", count=1, halo=0, options=options)
    for name in ("count", "halo"):
        with pytest.raises(ValueError, match=f"{name} is -1; expected at least"):
            attack.write(runs, tmp_path / "out", **{"count": 1, "halo": 0, name: -1}, options=options)
    with pytest.raises(ValueError, match="halo is 600; expected at most 16, the side of the images"):
        attack.write(runs, tmp_path / "out", count=1, halo=600, options=options)
    assert not (tmp_path / "out").exists()
