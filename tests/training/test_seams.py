"""The smallest second user of each seam: a network, a task and a method that somebody registers in one place."""

import dataclasses
import json
import runpy
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from bginv_jax import load_predictor
from bginv_jax.backgrounds.patterns import BACKGROUNDS, compose_test
from bginv_jax.data import sources
from bginv_jax.evaluation import figures, page, results, scoring, table1, unseen
from bginv_jax.methods.contract import Layout, Recipe
from bginv_jax.methods.registry import METHODS
from bginv_jax.methods.vanilla import make_vanilla
from bginv_jax.networks.contract import flax_network, stateless
from bginv_jax.tasks.contract import Task
from bginv_jax.tasks.registry import TASKS
from bginv_jax.training import checkpoints, loop
from bginv_jax.training.feed import BatchPlan
from bginv_jax.training.state import init_state, make_optimizers
from tests.training import registered
from tests.training.toys import Linear, assert_same_bits, images, make_setup, resident, take

pytestmark = pytest.mark.usefixtures("registry")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def normalised(registry, tmp_path_factory):
    """Workdirs of the normalised network by seeds: of seed 0, and of 0 and 1 together; and their final states."""
    runs = {}
    for seeds in ((), (0, 1)):
        workdir = tmp_path_factory.mktemp("normalised")
        runs[seeds] = workdir, loop.train(registered.config(classifier="normalised", seeds=seeds), workdir)
    return runs


def _statistics(state):
    return state.statistics["f"]["batch_stats"]["BatchNorm_0"]


def test_statistics_move_and_a_resumed_run_has_the_same_bits(normalised, tmp_path):
    workdir, final = normalised[()]
    assert float(jnp.abs(_statistics(final)["mean"]).max()) > 0.01
    shutil.copytree(workdir, tmp_path / "killed")
    shutil.rmtree(tmp_path / "killed" / "checkpoints" / "6")
    config = registered.config(classifier="normalised")
    assert_same_bits(loop.train(config, tmp_path / "killed"), final)


def test_prediction_takes_the_running_averages_that_were_saved(normalised):
    for seeds, (workdir, final) in normalised.items():
        for i, seed in enumerate(seeds or (0,)):
            own = jax.tree.map(lambda leaf, i=i: leaf[i], final.networks()) if seeds else final.networks()
            x = images(5, seed=9)[0]
            expected = registered.Normalised(3).apply(own["f"], x.astype(np.float32) / 255, train=False)
            np.testing.assert_allclose(load_predictor(workdir, seed=seed)(x), expected, rtol=1e-5, atol=1e-5)


def test_seeds_together_have_the_statistics_of_each_alone(normalised):
    (_, alone), (_, together) = normalised[()], normalised[(0, 1)]
    for name, value in _statistics(alone).items():
        np.testing.assert_allclose(_statistics(together)[name][0], value, rtol=1e-4, atol=1e-6)
        assert (_statistics(together)[name][1] != value).any()


class MeanNormalised(nn.Module):
    """The mean of an image, normalised, times a weight for each of three classes."""

    @nn.compact
    def __call__(self, x, *, train):
        mean = x.mean(axis=(1, 2, 3))[:, None]
        return nn.Dense(3)(nn.BatchNorm(use_running_average=not train, momentum=0.9)(mean))


def test_running_averages_are_means_over_devices_and_slices():
    """Of a layer that normalises the image's mean: after one step a tenth of each part's mean and variance."""
    setup = make_setup()
    method = make_vanilla(flax_network(MeanNormalised(), (16, 16, 1)), setup.method.task)
    optimizers = make_optimizers((), {"f": 0.0})
    setup = setup._replace(method=method, optimizers=optimizers, initial=init_state(0, method.init, optimizers))
    plan = BatchPlan(Layout(16), 2, 2)
    feed = resident(setup, plan)
    state, _ = take(setup, feed, ("f",), plan, augmentation={})
    order = np.asarray(feed.arrays(setup.initial.key, 0, 1).order)[:16]
    parts = np.stack([plan.positions(device) for device in range(2)]).reshape(4, 4)
    means = setup.data.images[order[parts]].mean(axis=(2, 3, 4)) / 255
    np.testing.assert_allclose(_statistics(state)["mean"], 0.1 * means.mean(), rtol=1e-4)
    np.testing.assert_allclose(_statistics(state)["var"], 0.9 + 0.1 * means.var(axis=1).mean(), rtol=1e-5)


@pytest.fixture(scope="module")
def regression(registry, tmp_path_factory):
    """(workdir, run, records) of a run on floats."""
    workdir = tmp_path_factory.mktemp("regression")
    loop.train(registered.config(data__source="floats", task="regression"), workdir)
    (run,) = scoring.load([workdir])
    return workdir, run, scoring.score(run)


def test_floats_are_trained_and_scored_by_their_mean_absolute_error(regression):
    workdir, run, records = regression
    assert [record["background"] for record in records] == list(BACKGROUNDS)
    predict, test = load_predictor(workdir), run.dataset.test
    for record in records:
        assert not record["larger_is_better"]
        assert record.keys() - {"measure", "larger_is_better"} == {
            *("dataset", "method", "seed", "steps", "background", "count", "mean_absolute_error")
        }
        x = compose_test(test.images, record["background"])
        expected = np.abs(predict(x)[:, 0].astype(np.float64) - test.targets).mean()
        assert isinstance(record["mean_absolute_error"], float)
        assert record["mean_absolute_error"] == pytest.approx(expected, rel=1e-5)
        assert record["mean_absolute_error"] != int(record["mean_absolute_error"])
        assert record["count"] == 21
    assert registered.lines(workdir)[-1].keys() >= {"loss", "mean_absolute_error"}


def test_tables_pages_and_figures_show_the_error(regression, tmp_path):
    _, run, _ = regression
    records = results.write([run], tmp_path, html=tmp_path / "page.html")
    head, row = table1.table(records)
    assert head[0] == "Mean absolute error"
    assert row[1] == f"{records[0]['mean_absolute_error']:.3g}"
    assert table1.reproduced(records) == ""  # the poster has accuracies
    written = (tmp_path / "page.html").read_text()
    assert "Mean absolute error of the test images on the backgrounds" in written
    assert "ccuracy" not in written
    assert [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()] == records


def test_the_worst_of_errors_is_the_largest(regression, caplog):
    _, run, _ = regression
    settings = unseen.vary(unseen.draw([next(iter(unseen.families.FAMILIES))], 2, None, size=16, channels=1, seed=0))
    records = unseen.score(run, settings)
    errors = [record["mean_absolute_error"] for record in records]
    assert errors[2] >= max(errors[:2])  # each image's worst
    cells = unseen.table(records)
    assert cells[0][0] == "Mean absolute error"
    assert cells[1] == ["all", f"{np.mean(errors[:2]):.3g}", f"{max(errors[:2]):.3g}"]


def _pose(larger_is_better=False):
    """Place and brightness of an object: the place moves with the image, the brightness stays."""

    def distances(outputs, targets):
        return jnp.linalg.norm(outputs[:, :2] - targets["place"], axis=-1)

    def move(targets, moves):
        place = jnp.linalg.solve(moves.matrix, (targets["place"] - moves.offset)[..., None])[..., 0]
        return {**targets, "place": place}

    measures = {"distance": distances}
    if larger_is_better:
        measures = {"closeness": lambda outputs, targets: -distances(outputs, targets)}
    return Task(
        3,
        loss=lambda outputs, targets: distances(outputs, targets) ** 2 + (outputs[:, 2] - targets["brightness"]) ** 2,
        measures=lambda outputs, targets: {name: measure(outputs, targets) for name, measure in measures.items()},
        shown=next(iter(measures)),
        larger_is_better=larger_is_better,
        move=move,
        describe=lambda outputs: [f"at {row:.0f}, {column:.0f}" for row, column, _ in outputs],
    )


@pytest.mark.parametrize("moves", [True, False])
def test_targets_move_with_their_images(moves):
    """A network that finds the object's centre is never far from targets that move, and is from those that stay."""

    def centre(params, x):
        pixels = jnp.arange(16.0) - 7.5
        weights = x[..., 0] / x.sum(axis=(1, 2, 3))[:, None, None]
        return jnp.stack([weights.sum(axis=2) @ pixels, weights.sum(axis=1) @ pixels, 0 * x[:, 0, 0, 0]], axis=1)

    setup = make_setup()
    task = _pose() if moves else dataclasses.replace(_pose(), move=lambda targets, _: targets)
    method = make_vanilla(stateless(lambda key: {}, centre), task)
    drawn = setup.data.images
    data = setup.data._replace(targets=registered.place_and_brightness(drawn), masks=None)
    optimizers = make_optimizers((), {"f": 1e-3})
    setup = setup._replace(
        method=method, optimizers=optimizers, initial=init_state(0, method.init, optimizers), data=data
    )
    plan = BatchPlan(Layout(16), 2, 2)
    augmentation = {"rotation": 90.0, "shift": 0.05}
    _, (metrics,) = take(setup, resident(setup, plan), ("f",), plan, augmentation=augmentation)
    assert metrics["distance"] < 0.3 if moves else metrics["distance"] > 1


@pytest.mark.parametrize("larger_is_better", [False, True])
def test_a_task_of_its_own_runs_from_config_to_tables_and_figures(registry, tmp_path, larger_is_better):
    """Of the proposal, without networks but f: what the figures show of its composites is a text."""
    registry.setitem(TASKS, "pose", lambda config, description: _pose(larger_is_better))
    fields = {"mask__kind": "nonzero", "background__kind": "noise", "method": "proposal", "schedule": ("f+f_b:1",)}
    config = registered.config(data__source="pose", task="pose", steps=2, **fields)
    loop.train(config, tmp_path / "run")
    (run,) = scoring.load([tmp_path / "run"])
    records, shown = scoring.score(run), "closeness" if larger_is_better else "distance"
    predicted = load_predictor(tmp_path / "run")(run.dataset.test.images)
    expected = np.linalg.norm(predicted[:, :2] - run.dataset.test.targets["place"], axis=1).mean()
    assert abs(records[0][shown]) == pytest.approx(expected, rel=1e-4)
    assert table1.table(records)[0][0] == shown.capitalize()
    table1.picture(records, tmp_path / "table1.png")
    assert figures.write(run, records, tmp_path)[0] == "figure3.png"
    settings = unseen.vary(unseen.draw([next(iter(unseen.families.FAMILIES))], 2, None, size=16, channels=1, seed=0))
    found = unseen.score(run, settings)
    values = [record[shown] for record in found]
    worst = min if larger_is_better else max
    assert worst(values) == values[2]
    assert unseen.table(found)[1][2] == f"{worst(values[:2]):.3g}"


@pytest.fixture(scope="module")
def mine(registry, tmp_path_factory):
    """The run of a method that is one function, with a network of a name of its own."""

    def make(config, description, task):
        network = flax_network(Linear(task.outputs), description.input_shape)
        vanilla = make_vanilla(network, task)

        def objective(keys, networks, batch, active):
            value, (metrics, changed) = vanilla.objective(keys, {"f": networks["g"]}, batch, ("f",))
            return value, (metrics, {"g": changed["f"]})

        return dataclasses.replace(
            vanilla,
            init=lambda key: {"g": network.init(key)},
            objective=objective,
            predict=lambda networks, x: network.apply(networks["g"], x)[0],
        )

    registry.setitem(METHODS, "mine", Recipe(("g",), make))
    workdir = tmp_path_factory.mktemp("mine")
    loop.train(registered.config(method="mine", schedule=("g:1",)), workdir)
    loop.train(registered.config(), tmp_path_factory.getbasetemp() / "vanilla")
    return scoring.load([workdir, tmp_path_factory.getbasetemp() / "vanilla"])


def test_a_method_of_its_own_stands_in_the_table_without_a_row_of_the_poster(mine, tmp_path, capsys):
    records = results.write(mine, tmp_path, html=tmp_path / "page.html")
    titles = [line.title for line in table1.lines(records)]
    assert titles == [
        "Vanilla CNN, toy (21 images, 1 seed)",
        "Vanilla CNN, poster (MNIST)",
        "mine, toy (21 images, 1 seed)",
    ]
    assert table1.reproduced(records).startswith("Vanilla CNN, ours less the poster's")
    assert "mine" not in table1.reproduced(records)
    assert "mine, toy (21 images, 1 seed)" in (tmp_path / "page.html").read_text()
    assert page.render(mine, records, []).count("<h3>") == 2
    printed = capsys.readouterr().out
    assert "g 2.00" in printed  # epochs
    assert all(100 * record["correct"] / record["count"] == record["accuracy"] for record in records)
    assert printed.count("figure1.png") == 1  # of the first of the two that would have one


def test_recipes_have_the_rows_that_they_have_files_for(mine):
    make_configs = runpy.run_path(str(ROOT / "experiments" / "table1.py"))["make_configs"]
    assert list(make_configs("mnist", [0], None, 1.0)) == ["vanilla", "attention", "proposal"]
    with pytest.raises(ValueError, match="--recipe is 'nothing'; allowed: breakout, catch, fashion"):
        make_configs("nothing", [0], None, 1.0)


def test_a_predictor_does_not_depend_on_optimiser_and_schedule(normalised, tmp_path):
    """Of a run whose saved config asks for another tree of optimisers than the one that was saved."""
    workdir, final = normalised[()]
    config = registered.config(classifier="normalised", weight_decay=0.5, schedule=("f:1", "f:2"))
    config.rate.decay = "constant"
    description = sources.load(config.data).description
    with checkpoints.open_manager(tmp_path, kept=1) as manager:
        checkpoints.save(manager, final, config, description, {})
    x = images(4, seed=5)[0]
    np.testing.assert_array_equal(load_predictor(tmp_path)(x), load_predictor(workdir)(x))
