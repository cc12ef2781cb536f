"""Every test image is scored once on every background; the data may have moved, changed, or be another set."""

import logging

import numpy as np
import pytest

import bginv_jax
from bginv_jax import config as configs
from bginv_jax.backgrounds.patterns import BACKGROUNDS, compose_test
from bginv_jax.data import sources
from bginv_jax.errors import InputError
from bginv_jax.evaluation import scoring
from tests.conftest import changed, write_idx, write_workdir


@pytest.fixture
def trained(tiny_config, tmp_path):
    """A vanilla workdir, on an idx folder."""
    tiny_config.method, tiny_config.schedule, tiny_config.steps = "vanilla", ("f:1",), 1
    return write_workdir(tiny_config, tmp_path / "run")


@pytest.mark.parametrize("source", [None, "mnist_5k"])
@pytest.mark.parametrize("trained_on", ["idx:digits", "tfds:mnist"])
def test_parts_of_one_source_are_not_asked_of_another(source, trained_on):
    data = configs.default_config().data
    data.update({"source": trained_on, "train_split": "train[:10%]", "tests": ("field",)})
    told = scoring._data_fields(data, source=source, folder=None, tests=None, masks=None)
    kept = (source, trained_on) == (None, "tfds:mnist")
    assert told.train_split == ("train[:10%]" if kept else "train")
    assert told.tests == (("field",) if source is None else ())
    assert data.train_split == "train[:10%]"


def test_data_that_moved_are_found_by_either_flag_and_keep_their_name(trained, tiny_folder, caplog):
    (before,) = scoring.load([trained])
    moved = tiny_folder.rename(tiny_folder.with_name("moved"))
    with pytest.raises(InputError, match="is missing; .*; --source and --dir name the place where the data are now"):
        scoring.load([trained])
    (after,) = scoring.load([trained], source=f"idx:{moved}")
    assert caplog.text == ""
    assert after.dataset.description == before.dataset.description
    assert after.dataset.name == "idx:tiny"


def test_the_same_data_under_two_names_have_one_in_the_records(trained, tiny_config, tiny_folder, tmp_path):
    other = tiny_folder.with_name("other")
    other.mkdir()
    for path in tiny_folder.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    tiny_config.data.source = f"idx:{other}"
    write_workdir(tiny_config, tmp_path / "second")
    runs = scoring.load([trained, tmp_path / "second"])
    assert runs[0].dataset is runs[1].dataset
    assert scoring.load([tmp_path / "second"])[0].dataset.name == "idx:other"


def test_other_data_are_scored_under_their_own_name_with_a_warning(trained, tiny_folder, caplog):
    other = tiny_folder.with_name("other")
    other.mkdir()
    for path in tiny_folder.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    write_idx(other / "t10k-images-idx3-ubyte", np.ones((21, 12, 12)))
    (run,) = scoring.load([trained], source=f"idx:{other}")
    assert run.dataset.name == "idx:other"
    assert "the images or labels of idx:other are not those that it was trained on" in caplog.text
    write_idx(tiny_folder / "t10k-images-idx3-ubyte", np.ones((21, 12, 12)))
    with caplog.at_level(logging.WARNING):
        scoring.load([trained])
    assert "the images or labels of idx:tiny have changed since it was trained" in caplog.text


@pytest.fixture(scope="module")
def workdir(module_config, tmp_path_factory):
    """A proposal's workdir of seeds 0 and 4."""
    return write_workdir(changed(module_config, seeds=(0, 4)), tmp_path_factory.mktemp("run") / "proposal")


def test_every_image_is_scored_once_on_each_background_with_each_seed(workdir):
    (run,) = scoring.load([workdir])
    test = run.dataset.test
    records = scoring.score(run)
    order = ["none", "stripes", "board", "border", "circles", "clock", "random"]
    assert [(record["seed"], record["background"]) for record in records] == [(s, b) for s in (0, 4) for b in order]
    assert list(BACKGROUNDS) == order
    for record in records:
        predict = bginv_jax.load_predictor(workdir, seed=record["seed"])
        right = predict(compose_test(test.images, record["background"])).argmax(axis=1) == test.targets
        assert record == {
            "dataset": "idx:tiny",
            "method": "proposal",
            "seed": record["seed"],
            "steps": 9,
            "background": record["background"],
            "correct": int(right.sum()),
            "count": 21,
            "accuracy": pytest.approx(100 * right.mean()),
        }
    assert len({record["correct"] for record in records}) > 2


def test_random_backgrounds_are_swept_with_the_first_seed(workdir):
    (run,) = scoring.load([workdir])
    rates = scoring.sweep(run)
    expected = [0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09]
    expected += [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]
    assert [record["rate"] for record in rates] == expected
    black = bginv_jax.load_predictor(workdir)(run.dataset.test.images).argmax(axis=1)
    assert rates[0]["correct"] == (black == run.dataset.test.targets).sum()
    assert all(record["count"] == 21 and record["seed"] == 0 for record in rates)


def test_data_sets_are_read_once_and_must_fit(workdir, monkeypatch):
    loaded = []
    load = sources.load
    monkeypatch.setattr(sources, "load", lambda config: loaded.append(config) or load(config))
    runs = scoring.load([workdir] * 3)
    assert len(loaded) == 1
    assert runs[0].dataset is runs[2].dataset
    with pytest.raises(InputError, match=r"data set mnist_5k: images of \(28, 28, 1\); expected \(12, 12, 1\)"):
        scoring.load([workdir], source="mnist_5k")


def test_masks_are_compared_with_the_objects(workdir):
    (run,) = scoring.load([workdir])
    x = run.dataset.test.images
    for seed, overlap in zip((0, 4), scoring.mask_overlaps(run), strict=True):
        masks = bginv_jax.load_mask_generator(workdir, seed=seed)(x) > 0.5
        shares = [(m & t).sum() / (m | t).sum() for m, t in zip(masks, x > 0, strict=True)]
        assert overlap == pytest.approx(100 * np.mean(shares))
