"""Evaluation of a task whose outputs and targets are neither classes nor numbers: which pixels are bright.

Its measure is a value of whole sets, the intersection over union, and no mean over images.
"""

import dataclasses
import json
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax import config as configs
from bginv_jax.backgrounds.patterns import BACKGROUNDS
from bginv_jax.data.dataset import Dataset, Split
from bginv_jax.evaluation import page, predictions, records, results, scoring, table1, test_sets, unseen
from bginv_jax.evaluation.answers import Answers, Outcome
from bginv_jax.evaluation.predictors import Predictor, Trained
from bginv_jax.tasks.contract import Shown, Task, Trivial

SIZE, NATIVE = 16, 12


def _statistics(outputs, targets):
    found, true = np.asarray(outputs)[..., 0] > 0, np.asarray(targets)
    return {"both": (found & true).sum(axis=(1, 2)), "either": (found | true).sum(axis=(1, 2))}


def _record(values):
    share = values["both"].sum() / values["either"].sum()
    return {"count": len(values["both"]), "iou": 100 * float(share), "hit": float(values["hit"].mean())}


TASK = Task(
    1,
    loss=lambda outputs, targets: jnp.abs((outputs[..., 0] > 0) ^ targets).mean(axis=(1, 2)),
    measures=lambda outputs, targets: {"hit": ((outputs[..., 0] > 0) == targets).mean(axis=(1, 2))},
    shown="iou",
    unit="%",
    record=_record,
    statistics=_statistics,
    beside=(Shown("hit"),),
    on_pixels=True,
    columns=("bright", "dark"),
    numbers=lambda outputs: np.stack([(outputs > 0).sum(axis=(1, 2, 3)), (outputs <= 0).sum(axis=(1, 2, 3))], axis=1),
    describe=lambda outputs: [f"{(one > 0).sum()} pixels" for one in outputs],
    draw=lambda picture, output: 255 - picture,
    trivial=Trivial("All dark", lambda targets: -np.ones((SIZE, SIZE, 1), np.float32)),
)


def _brightness(networks, x):
    return x - networks["f"]


@pytest.fixture
def run(tmp_path):
    """Of two seeds: the first finds what is brighter than 0.5, the second what is brighter than 0.9."""
    images = np.zeros((6, SIZE, SIZE, 1), np.uint8)
    for i, image in enumerate(images):
        image[4 : 6 + i, 5:9] = 200
    split = Split(images, images[..., 0] > 0)
    dataset = Dataset("bars", split, split, (), (NATIVE, NATIVE, 1))
    config = configs.default_config()
    config.method, config.schedule = "vanilla", ("f:1",)
    method = SimpleNamespace(predict=_brightness, task=TASK, predict_mask=None, paint=None, attend=None)
    seeds = []
    for seed, threshold in ((0, 0.5), (1, 0.9)):
        own = config.copy_and_resolve_references()
        own.seed = seed
        seeds.append(Trained(method, {"f": jnp.float32(threshold)}, own, dataset.description, {}, config.steps))
    return scoring.TrainedRun(tmp_path / "bars", seeds, dataset)


def _shares(run, threshold):
    """The IoU on each background, percent, by hand."""
    test, found = run.dataset.test, []
    for name, draw in BACKGROUNDS.items():
        x = test.images[..., 0] / 255.0
        if name != "none":
            x = np.where(run.dataset.kept(test)[..., 0], x, draw(SIZE))
        bright = x > threshold
        found.append(100 * (bright & test.targets).sum() / (bright | test.targets).sum())
    return found


def test_a_set_is_scored_by_its_own_value_on_each_background(run, monkeypatch):
    whole = scoring.score(run)
    monkeypatch.setattr(scoring, "_TOGETHER", 1)
    assert scoring.score(run) == whole  # image by image it is the same, which no mean of shares would be
    np.testing.assert_allclose([one["iou"] for one in whole[:7]], _shares(run, 0.5), rtol=1e-6)
    assert whole[0] == {
        "dataset": "bars",
        "method": "vanilla",
        "seed": 0,
        "steps": run.seeds[0].steps,
        "background": "none",
        "count": 6,
        "iou": 100.0,
        "hit": 1.0,
        "measure": "iou",
        "unit": "%",
        "larger_is_better": True,
        "beside": [{"measure": "hit", "larger_is_better": True}],
    }


def test_results_have_a_table_for_each_measure_who_looks_at_nothing_and_a_figure(run, tmp_path, capsys):
    found = results.write([run], tmp_path / "out", html=tmp_path / "page.html")
    folder = tmp_path / "out"
    first, second = (table1.table(shown) for shown in records.by_measure(found))
    assert first[0] == ["Iou (%)", *(name.capitalize() for name in BACKGROUNDS), "Worst"]
    assert second[0][0] == "Hit"
    worst = [min(_shares(run, threshold)[1:]) for threshold in (0.5, 0.9)]
    assert first[1][-1] == f"{np.mean(worst):.1f}±{np.std(worst, ddof=1):.1f}"
    assert first[2] == ["All dark, bars (6 images, 1 seed)", *["0.0"] * 8]
    assert capsys.readouterr().out.count("Worst") == 2
    assert (folder / "predictions.png").stat().st_size > 1000
    text = (folder / "table1.md").read_text()
    assert text.count("All dark") == 2
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert lines == found
    assert (tmp_path / "page.html").read_text().count("<table>") == 2


def test_classifiers_have_no_figure_of_predictions(run, tmp_path):
    one = run.seeds[0]
    task = dataclasses.replace(TASK, classes=("a",))
    method = SimpleNamespace(**{**vars(one.method), "task": task})
    assert predictions.write([run._replace(seeds=[one._replace(method=method)])], [], tmp_path) == []


def test_each_image_has_its_worst_setting_in_all_that_is_measured(run):
    """Which it is the loss tells, since the measure is none of one image; its pixels count for the whole set."""
    white, left = np.ones((SIZE, SIZE, 1), np.float32), np.zeros((SIZE, SIZE, 1), np.float32)
    left[:, :3] = 1
    settings = [unseen.Setting("a", left, 0, 1.0), unseen.Setting("a", white, 0, 1.0)]
    found = unseen.score(run._replace(seeds=run.seeds[:1]), settings)
    bars = run.dataset.test.targets.sum()
    assert found[0]["iou"] == pytest.approx(100 * bars / (bars + 6 * 3 * SIZE))
    assert found[1]["iou"] == pytest.approx(100 * bars / (6 * SIZE * SIZE))
    assert found[2]["iou"] == found[1]["iou"]
    cells = unseen.table(found)
    assert cells[0] == ["Iou (%)", "bars, mean", "bars, worst"]
    assert cells[1][2] == f"{found[1]['iou']:.1f}"


def test_predictions_of_pixels_are_cut_to_the_native_size_and_told_by_their_numbers(run):
    trained = run.seeds[0]
    predict = Predictor(trained)
    x = np.zeros((2, NATIVE, NATIVE, 1), np.uint8)
    x[1, :3, :3] = 255
    outputs = predict(x)
    assert outputs.shape == (2, NATIVE, NATIVE, 1)
    assert ((outputs > 0) == (x > 0)).all()
    answers = Answers.of(trained)
    assert answers.csv_head() == "file,bright,dark\n"
    outcome = Outcome("a.png", x[1], answers.values(outputs)[1])
    assert answers.csv_line(outcome) == "a.png,9,135\n"
    assert json.loads(answers.json_line(outcome))["outputs"] == {"bright": 9.0, "dark": 135.0}
    assert answers.captions(outcome.values) == ["9 pixels"]
    picture = answers.drawn(outcome.values)(np.full((2 * NATIVE, 2 * NATIVE, 3), 200, np.uint8))
    assert (picture == 55).all()


def test_pages_take_records_of_several_measures(run):
    found = scoring.score(run) + scoring.score_trivial(run)
    text = page.render([run], found, [])
    assert "Iou (%) of the test images" in text
    assert ">Hit<" in text


def test_further_test_sets_have_a_line_each(run):
    far = Split(run.dataset.test.images[:2], run.dataset.test.targets[:2] & False)  # nothing is there to find
    run = run._replace(dataset=dataclasses.replace(run.dataset, tests={"far": far}))
    assert test_sets.table(scoring.score(run)) == []
    assert test_sets.table([*scoring.score(run), *scoring.score_tests(run._replace(seeds=run.seeds[:1]))]) == [
        ["Test set", "Images", "Iou (%)"],
        ["Vanilla CNN, bars: test", "6", "50.0±70.7"],  # 100 and 0
        ["Vanilla CNN, bars: far", "2", "0.0"],
    ]
