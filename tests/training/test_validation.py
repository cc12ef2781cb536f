"""Scores of images that are held out, while a run trains: what they are of, and that they change nothing."""

import dataclasses
import signal

import jax
import numpy as np
import pytest

from bginv_jax import config as configs
from bginv_jax import load_predictor
from bginv_jax.backgrounds import families
from bginv_jax.backgrounds.patterns import BACKGROUNDS
from bginv_jax.backgrounds.settings import CONTRASTS, HALOS, Setting, set_before
from bginv_jax.data import sources
from bginv_jax.errors import InputError
from bginv_jax.evaluation import figures, panels, scoring
from bginv_jax.evaluation.predictors import load_seeds
from bginv_jax.images.pixels import as_float
from bginv_jax.methods import proposal
from bginv_jax.training import checkpoints, loop, wiring
from bginv_jax.training.stopping import StoppedError
from bginv_jax.training.validation import Validation
from tests.conftest import same_bits
from tests.training import registered, toys
from tests.training.registered import lines

pytestmark = pytest.mark.usefixtures("registry")


def _config(**changes):
    fields = {"evaluate_every": 2, "data__validation_share": 0.25, "batch_size": 12, "steps": 6}
    return registered.config(**{**fields, **changes})


def _scores(workdir):
    return [line for line in lines(workdir) if any(name.startswith("validation_") for name in line)]


@pytest.fixture(scope="module")
def finished(registry, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished")
    return workdir, loop.train(_config(), workdir)


def test_scores_are_of_the_images_held_out_and_of_no_others(finished):
    workdir, _ = finished
    scores = _scores(workdir)
    assert [(one["step"], one["phase"]) for one in scores] == [(2, "f"), (4, "f"), (6, "f")]
    held = sources.load(_config().data).validation
    predict = load_predictor(workdir)
    hits = predict(held.images).argmax(axis=1) == held.targets
    assert scores[-1]["validation_accuracy"] == pytest.approx(100 * hits.mean())
    drawn = families.draw(families.DEVELOPMENT, 1, size=16, channels=1, seed=0)
    assert len(drawn) == 12
    settings = [Setting("", one, HALOS[i % 5], CONTRASTS[i % 4]) for i, one in enumerate(drawn)]
    on_each = [predict(x).argmax(axis=1) == held.targets for x in set_before(held.images, held.images > 0, settings)]
    assert scores[-1]["validation_development_accuracy"] == pytest.approx(100 * np.mean(on_each))


@pytest.mark.parametrize(
    ("task", "changes"),
    [
        ("rotation", {"data__targets": "angle"}),
        ("segmentation", {"data__targets": "canvas", "classifier": "unet"}),
    ],
)
def test_a_task_whose_value_is_of_whole_sets_is_scored(task, changes, tmp_path):
    config = _config(task=task, steps=2, **changes)
    loop.train(config, tmp_path)
    (found,) = _scores(tmp_path)
    (trained,) = load_seeds(tmp_path)
    task, held = trained.method.task, sources.load(config.data).validation
    outputs = trained.method.predict(trained.networks, as_float(held.images))
    expected = task.record(task.measure(np.asarray(outputs), held.targets))[task.shown]
    assert found[f"validation_{task.shown}"] == pytest.approx(expected, rel=1e-4)
    assert np.isfinite(found[f"validation_development_{task.shown}"])


def test_scoring_changes_no_bit_of_the_training(finished, tmp_path):
    state = loop.train(_config(evaluate_every=0), tmp_path)
    assert same_bits(state, finished[1])
    assert not _scores(tmp_path)


def test_the_test_set_and_its_backgrounds_have_no_part_in_it(tmp_path, monkeypatch):
    load = sources.load

    def without_test(config):
        dataset = load(config)
        dataset.description  # noqa: B018  # which is over the test set, too, and kept
        dataset.test.images.setflags(write=True)
        dataset.test.images[:] = 0
        dataset.test.targets[:] = 0
        return dataset

    loop.train(_config(), tmp_path / "whole")
    monkeypatch.setattr(sources, "load", without_test)
    loop.train(_config(), tmp_path / "blank")
    assert _scores(tmp_path / "whole") == _scores(tmp_path / "blank")
    assert not set(families.DEVELOPMENT) & {*BACKGROUNDS, *families.REPORT}


def test_several_seeds_have_a_score_each_and_a_stream_the_same(tmp_path):
    loop.train(_config(seeds=(0, 1)), tmp_path / "resident")
    loop.train(_config(seeds=(0, 1), data__stream="always"), tmp_path / "stream")
    assert [len(one["validation_accuracy"]) for one in _scores(tmp_path / "resident")] == [2, 2, 2]
    assert _scores(tmp_path / "resident") == _scores(tmp_path / "stream")


def test_a_regression_is_scored_by_its_error_and_the_best_has_the_least(tmp_path, monkeypatch):
    measures, save = [], checkpoints.save

    def save_and_note(*arguments, measure=None, **options):
        measures.append(measure)
        save(*arguments, measure=measure, **options)

    monkeypatch.setattr(checkpoints, "save", save_and_note)
    loop.train(_config(data__source="floats", task="regression", checkpoint_every=3), tmp_path)
    errors = [one["validation_development_mean_absolute_error"] for one in _scores(tmp_path)]
    assert errors[-1] > 0
    assert measures == [None, -errors[-1]]  # step 3 is not scored


def test_a_signal_skips_scores_and_the_run_that_continues_begins_with_them(finished, tmp_path, monkeypatch):
    objects = Validation._objects

    def objects_and_signal(validation, *rest):
        signal.raise_signal(signal.SIGTERM)
        return objects(validation, *rest)

    monkeypatch.setattr(Validation, "_objects", objects_and_signal)
    with pytest.raises(StoppedError, match="checkpoint 3 of"):
        loop.train(_config(evaluate_every=3), tmp_path, signals=True)
    assert not _scores(tmp_path)
    monkeypatch.undo()
    assert same_bits(loop.train(_config(evaluate_every=3), tmp_path), finished[1])
    assert [one["step"] for one in _scores(tmp_path)] == [3, 6]
    assert _scores(tmp_path)[-1] == _scores(finished[0])[-1]


def test_photographs_are_scored_before_backgrounds_once_f_m_knows_the_objects(monkeypatch):
    """Nobody marked them: until then as they are, and the best is not chosen among what cannot be compared."""
    monkeypatch.setattr(proposal, "MaskGenerator", lambda width: toys.Masks())
    config = registered.config(
        method="proposal", schedule=("f:1", "f_m:1", "f+f_b:1"), data__validation_share=0.25, background__kind="noise"
    )
    dataset = sources.load(config.data)
    run = wiring.wire(config, dataclasses.replace(dataset, by_class=True))
    networks = run.method.init(jax.random.key(0))
    validation = Validation(run)
    plain, masked = (validation.score([networks], phase) for phase in (run.phases[0], run.phases[2]))
    assert list(plain) == ["validation_accuracy"]
    assert list(masked) == ["validation_accuracy", "validation_development_accuracy"]
    assert validation.how_good(plain) is None
    assert validation.how_good(masked) == masked["validation_development_accuracy"][0]
    vanilla = wiring.wire(registered.config(data__validation_share=0.25), dataclasses.replace(dataset, by_class=True))
    alone = Validation(vanilla)
    scores = alone.score([networks], vanilla.phases[0])
    assert list(scores) == ["validation_accuracy"]
    assert alone.how_good(scores) == scores["validation_accuracy"][0]


def test_nothing_to_score_is_refused():
    with pytest.raises(
        InputError, match="config.evaluate_every is 3; allowed: 0 where config.data.validation_share is 0"
    ):
        configs.validate(_config(evaluate_every=3, data__validation_share=0.0))


def test_another_share_is_another_run(finished):
    with pytest.raises(InputError, match="expected the same data, or another --workdir"):
        loop.train(_config(data__validation_share=0.5), finished[0])
    assert loop.train(_config(evaluate_every=3), finished[0]).step == 6  # how often it is scored is no matter


def test_the_curve_is_drawn(finished, tmp_path):
    (run,) = scoring.load([finished[0]])
    assert "validation.png" in figures.write(run, scoring.score(run), tmp_path)
    records = [{"step": 2, "validation_accuracy": [90.0, 80.0]}, {"step": 4, "validation_accuracy": [91.0, 84.0]}]
    axes = panels.validation_figure(records, "accuracy").axes[0]
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[2, 85], [4, 87.5]])
    assert len(axes.lines) == 3
