"""A workdir of an earlier version predicts, resumes and is scored as that version did it.

tests/data/old_workdir holds w2.tar.xz, written at commit b052ff3, before the package had rooms: a proposal with vgg,
masks where the image is not black, black backgrounds and families, smoothed labels and decaying weights, stopped after
step 2 of 6 on the folder that `write_tiny_folder` writes, which had another name. logits2.npy is what that version
predicted with it for the 21 test images, logits6.npy what it predicted after going on to step 6.
"""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from jax import numpy as jnp
from skimage import io

import bginv_jax
from bginv_jax.data import sources
from bginv_jax.errors import InputError
from bginv_jax.evaluation import predictors
from bginv_jax.images import masks
from bginv_jax.training.loop import train
from tests.conftest import call_door, make_tiny_config, write_idx, write_tiny_folder

KEPT = Path(__file__).parent / "data" / "old_workdir"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_folder(tmp_path_factory.mktemp("data") / "moved")


@pytest.fixture(scope="module")
def images(folder):
    return sources.load(make_tiny_config(folder).data).test.images


def _unpack(where):
    with tarfile.open(KEPT / "w2.tar.xz") as archive:
        archive.extractall(where, filter="data")
    return where / "w2"


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return _unpack(tmp_path_factory.mktemp("old"))


def test_it_predicts_the_same(workdir, images):
    expected = np.load(KEPT / "logits2.npy")
    np.testing.assert_allclose(bginv_jax.load_predictor(workdir)(images), expected, atol=1e-5)
    apply, variables = bginv_jax.load_pure(workdir)
    np.testing.assert_allclose(apply(variables, images), expected, atol=1e-5)
    np.testing.assert_array_equal(bginv_jax.load_mask_generator(workdir)(images), images > 0)


@pytest.fixture
def _masks_of_then(monkeypatch):
    """Where config.mask has both halo and erosion, that version dilated each mask before it eroded it."""

    def grow(m, radius, *, least, most):
        dilated = masks.dilate(m, jnp.abs(radius), largest=most)
        return 1 - masks.dilate(1 - dilated, jnp.abs(radius), largest=-least)

    monkeypatch.setattr(masks, "grow", grow)


@pytest.mark.usefixtures("_masks_of_then")
def test_it_is_resumed_on_data_that_have_moved(folder, images, tmp_path):
    workdir = _unpack(tmp_path)
    config = predictors.load_trained(workdir).config
    config.data.source = f"idx:{folder}"
    state = train(config, workdir)
    assert state.step == 6
    np.testing.assert_allclose(bginv_jax.load_predictor(workdir)(images), np.load(KEPT / "logits6.npy"), atol=1e-4)
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["phase"]) for line in lines] == [(2, "f"), (4, "f+f_b"), (6, "f+f_b")]
    assert predictors.load_trained(workdir).config.data.source == config.data.source


def test_it_is_not_resumed_on_other_data(folder, tmp_path):
    workdir = _unpack(tmp_path)
    config = predictors.load_trained(workdir).config
    other = write_tiny_folder(tmp_path / "other")
    write_idx(other / "t10k-images-idx3-ubyte", np.ones((21, 12, 12)))
    config.data.source = f"idx:{other}"
    with pytest.raises(InputError, match="whose images or labels are not those that the run in this workdir"):
        train(config, workdir)
    assert [path.name for path in (workdir / "checkpoints").iterdir()] == ["2"]


def test_it_is_scored_where_the_data_are_now(workdir, folder, tmp_path):
    result = call_door("bginv_jax.evaluate", f"--workdir={workdir}", f"--source=idx:{folder}", f"--output={tmp_path}")
    assert result.returncode == 0, result.stderr
    assert "trained for 2 of 6 steps" in result.stderr
    records = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    right = np.load(KEPT / "logits2.npy").argmax(axis=1) == np.arange(21) % 3
    assert records[0] == {
        "dataset": "idx:digits",  # as it was called in training
        "method": "proposal",
        "seed": 0,
        "steps": 2,
        "background": "none",
        "correct": right.sum(),
        "count": 21,
        "accuracy": pytest.approx(100 * right.mean()),
    }
    assert len(records) == 7
    assert "IoU of masks and objects 100.0 %" in result.stdout
    assert io.imread(tmp_path / "figure3.png").std() > 10
