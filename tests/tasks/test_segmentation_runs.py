"""Segmentation from config to table: every phase of the rows' configs, and a workdir scored, told and loaded."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bginv_jax
from bginv_jax import config as configs
from bginv_jax import config_files
from bginv_jax.data import sources
from bginv_jax.errors import InputError
from bginv_jax.evaluation import predictors, results, scoring
from bginv_jax.evaluation.answers import Answers
from bginv_jax.training import wiring
from bginv_jax.training.feed import Resident
from bginv_jax.training.step import train_step
from tests.conftest import ROOT, write_tiny_folder, write_workdir

EXPERIMENT = ROOT / "experiments" / "segmentation.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_folder(tmp_path_factory.mktemp("data") / "tiny")


def _config(row, folder):
    config = config_files.load(f"{EXPERIMENT}:{row}")
    config.data.source, config.batch_size = f"idx:{folder}", 8
    return config


@pytest.mark.parametrize("row", ["vanilla", "proposal", "copy_paste"])
def test_every_phase_of_a_row_takes_a_step(row, folder):
    """Traced, not compiled: networks, masks and targets of pixels fit each other in all phases."""
    config = _config(row, folder)
    configs.validate(config)
    dataset = sources.load(config.data)
    run = wiring.wire(config, dataset)
    train, state = dataset.train, run.shapes()
    assert train.targets.shape == (19, 32, 32)  # 48 bars
    for phase in run.phases:
        masks = np.zeros((19, 32, 32, 1), np.uint8) if run.method.takes_masks(phase.networks) else None
        data = Resident(train.images, train.targets, masks, run.pictures, jnp.arange(19))
        step = functools.partial(train_step, learning=run.learning(phase))
        after, metrics, _ = jax.eval_shape(step, state, data, jnp.int32(0))
        assert jax.tree.map(jnp.shape, after.params) == jax.tree.map(jnp.shape, state.params)
        assert ("pixel_accuracy" in metrics) == ("f" in phase.networks)
        assert ("mask_loss" in metrics) == ("f_m" in phase.networks)
    assert (run.method.predict_mask is None) == (row == "vanilla")


def test_there_are_three_rows():
    with pytest.raises(InputError, match="the row is 'attention'; allowed: proposal, vanilla, copy_paste"):
        config_files.load(f"{EXPERIMENT}:attention")


def test_a_workdir_has_its_tables_figures_and_predictions(folder, tmp_path, capsys):
    config = _config("vanilla", folder)
    workdir = write_workdir(config, tmp_path / "vanilla")
    (run,) = scoring.load([workdir])
    records = results.write([run], tmp_path / "out")
    printed = capsys.readouterr().out
    for heading in ("Mean IoU (%)", "Mean IoU of objects (%)", "Boundary F (%)"):
        assert heading in printed
    assert printed.count("All background") == 3
    assert (tmp_path / "out" / "predictions.png").is_file()
    test = run.dataset.test
    outputs = bginv_jax.load_predictor(workdir)(test.images)
    assert outputs.shape == (8, 32, 32, 4)  # 21 bars
    found = outputs.argmax(axis=-1)
    shares = [
        ((found == label) & (test.targets == label)).sum() / union
        for label in range(4)
        if (union := ((found == label) | (test.targets == label)).sum())
    ]
    assert records[0]["background"] == "none"
    assert records[0]["mean_IoU"] == pytest.approx(100 * np.mean(shares), abs=0.5)
    told = Answers.of(predictors.load_trained(workdir))
    assert told.csv_head() == "file,share_background,share_0,share_1,share_2\n"
