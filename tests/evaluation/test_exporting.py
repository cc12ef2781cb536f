"""An export is used without this package: the same logits from its programs, and from its weights alone."""

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np
import pytest
from jax import export

import bginv_jax
from bginv_jax import files
from bginv_jax.data import sources
from bginv_jax.data.dataset import Description
from bginv_jax.errors import InputError
from bginv_jax.evaluation import exporting
from bginv_jax.evaluation.predictors import load_trained
from bginv_jax.methods.registry import make_method
from bginv_jax.networks.classifiers import CLASSIFIERS, ON_PIXELS
from tests.conftest import changed, write_workdir

# Runs the card's code where this package is out of reach, then f by NumPy from the weights and the JSON.
STRANGER = """
import sys


class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("bginv_jax", "flax", "orbax", "ml_collections"):
            raise ImportError(name)


sys.meta_path.insert(0, Refuse())
for code in open("card.py", encoding="utf-8").read().split("# next"):
    exec(code)
images = np.load("images.npy")


def conv3x3_relu_pool(x, kernel, bias):
    n, height, width, _ = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y = sum(padded[:, i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3)) + bias
    return np.maximum(y, 0).reshape(n, height // 2, 2, width // 2, 2, -1).max(axis=(2, 4))


def numpy_logits(x):
    pad = model["padding"]
    x = np.pad(x, ((0, 0), (pad["top"], pad["bottom"]), (pad["left"], pad["right"]), (0, 0)))
    of = lambda layer: (weights[f"f/params/{layer}/kernel"], weights[f"f/params/{layer}/bias"])
    blocks = sum(name.startswith("f/params/Conv3x3_") and name.endswith("/kernel") for name in weights)
    for i in range(blocks):
        x = conv3x3_relu_pool(x, *of(f"Conv3x3_{i}"))
    kernel, bias = of("Dense_0")
    hidden = np.maximum(x.reshape(len(x), -1) @ kernel + bias, 0)
    kernel, bias = of("Dense_1")
    return hidden @ kernel + bias


assert not any(name.partition(".")[0] == "bginv_jax" for name in sys.modules)
try:
    import bginv_jax
except ImportError:
    pass
else:
    raise AssertionError("the package is in reach")
of_three = [np.asarray(predict(images[i : i + 3])) for i in range(0, len(images), 3)]
np.savez("found.npz", predict=np.asarray(predict(images)), of_three=np.concatenate(of_three),
    mask=np.asarray(load("mask.jax_export")(images)), numpy=numpy_logits(images), card=outputs)
"""


@pytest.fixture(scope="module")
def workdir(module_config, tmp_path_factory):
    return write_workdir(changed(module_config, seeds=(0, 4)), tmp_path_factory.mktemp("run") / "proposal")


@pytest.fixture(scope="module")
def folder(workdir, tmp_path_factory):
    """The export of seed 4."""
    folder = tmp_path_factory.mktemp("export")
    assert exporting.write(workdir, folder, seed=4) == list(exporting.FILES)
    return folder


@pytest.fixture(scope="module")
def images(module_config):
    """(21, 12, 12, 1) float32."""
    return sources.load(module_config.data).test.images[:, 2:-2, 2:-2] / np.float32(255)


@pytest.fixture(scope="module")
def found(folder, images):
    """What a process finds that cannot import this package."""
    np.save(folder / "images.npy", images)
    code = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(code) == 2
    (folder / "card.py").write_text("# next\n".join(code), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"XLA_FLAGS": "--xla_backend_optimization_level=0", "JAX_NUM_CPU_DEVICES": "1"}
    result = subprocess.run(
        [sys.executable, "-c", STRANGER], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return np.load(folder / "found.npz")


def test_the_programs_give_the_same_without_the_package(workdir, images, found):
    logits = bginv_jax.load_predictor(workdir, seed=4)(images)
    np.testing.assert_allclose(found["predict"], logits, atol=1e-5)
    np.testing.assert_allclose(found["of_three"], logits, atol=1e-5)
    np.testing.assert_allclose(found["mask"], bginv_jax.load_mask_generator(workdir, seed=4)(images), atol=1e-5)
    assert found["card"].shape == (2, 3)
    assert np.abs(logits - bginv_jax.load_predictor(workdir, seed=0)(images)).max() > 0.01


def test_the_weights_and_the_json_give_the_same_logits(workdir, images, found):
    logits = bginv_jax.load_predictor(workdir, seed=4)(images)
    np.testing.assert_allclose(found["numpy"], logits, atol=1e-5)


def test_the_json_has_what_others_need(folder, workdir, module_config):
    model = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert model["classes"] == ["0", "1", "2"]
    assert model["input"]["shape"] == [12, 12, 1]
    assert model["padding"]["size"] == 16
    assert (model["method"], model["seed"], model["steps"]) == ("proposal", 4, 9)
    assert model["config"]["augment.rotation"] == 10.0
    assert model["origin"] == load_trained(workdir).origin
    assert model["data"]["sha256"] == load_trained(workdir).description.sha256
    for name in exporting.FILES[:3]:
        assert model["files"][name]["sha256"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()


def test_the_card_has_every_background_the_worst_first(folder):
    records = json.loads((folder / "model.json").read_text(encoding="utf-8"))["scores"]["records"]
    assert [record["seed"] for record in records] == [4] * 7
    text = (folder / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| ([\d.]+) \| 21 \|$", text, re.MULTILINE)
    assert sorted(name for name, _ in rows) == ["board", "border", "circles", "clock", "none", "random", "stripes"]
    accuracies = {record["background"]: f"{record['accuracy']:.1f}" for record in records}
    assert dict(rows) == accuracies
    values = [float(value) for _, value in rows]
    assert values == sorted(values)


@pytest.mark.parametrize("name", [name for name in CLASSIFIERS if name not in ON_PIXELS])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_classifier_takes_a_batch_of_any_size_on_both_platforms(module_config, name, channels):
    config = changed(module_config, classifier=name)
    _check_program(config, channels, "predict", "10")


@pytest.mark.parametrize(
    ("fields", "part", "output"),
    [
        ({"method": "attention", "schedule": ("f:1",)}, "predict", "10"),
        ({"method": "vanilla", "schedule": ("f:1",)}, "predict", "10"),
        ({}, "predict_mask", "28,28,1"),
        ({"mask": {"size": 16}}, "predict_mask", "28,28,1"),
        ({"mask": {"kind": "nonzero"}, "schedule": ("f:1", "f+f_b:1")}, "predict_mask", "28,28,1"),
    ],
)
def test_every_method_does(module_config, fields, part, output):
    _check_program(changed(module_config, **fields), 3, part, output)


def _check_program(config, channels, part, output):
    """Lowers a method's program, which compiles nothing."""
    description = Description("x", (28, 28, channels), 32, tuple("0123456789"), 1, 1, "")
    method = make_method(config, description)
    networks = jax.tree.map(
        lambda leaf: np.zeros(leaf.shape, leaf.dtype), jax.eval_shape(method.init, jax.random.key(0))
    )
    program = exporting.to_program(getattr(method, part), networks, description, cropped=part == "predict_mask")
    loaded = export.deserialize(bytearray(program))
    avals = [f"{aval.dtype}{','.join(map(str, aval.shape))}" for aval in (*loaded.in_avals, *loaded.out_avals)]
    assert avals == [f"float32batch,28,28,{channels}", f"float32batch,{output}"]
    assert loaded.platforms == ("cpu", "cuda")


def test_without_the_data_the_scores_are_those_of_evaluate_or_none(module_config, tmp_path, caplog):
    module_config = changed(module_config, method="vanilla", schedule=("f:1",))
    module_config.data.source = f"idx:{tmp_path}/gone"
    good = sources.load(changed(module_config, data={"source": "mnist_5k"}).data)  # any data set that is there
    workdir = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "load", lambda config: good)
        write_workdir(module_config, workdir)
    trained = load_trained(workdir)
    options = {"source": None, "folder": None}
    records, how = exporting.find_scores(workdir, trained, **options, score=True)
    assert records == []
    assert "train-images-idx3-ubyte is missing" in how
    assert "not scored: " in caplog.text
    assert exporting.find_scores(workdir, trained, **options, score=False) == ([], "scoring was not asked for")
    mine = {"dataset": "mnist_5k", "method": "vanilla", "seed": 0, "background": "none", "count": 3, "accuracy": 5.0}
    lines = [mine, mine | {"seed": 1}, mine | {"method": "proposal"}, mine | {"dataset": "other"}]
    (workdir / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    records, how = exporting.find_scores(workdir, trained, **options, score=True)
    assert records == [mine]
    assert "results.jsonl" in how
    (workdir / "results.jsonl").write_text("".join(json.dumps(mine | {"steps": n}) + "\n" for n in (3, trained.steps)))
    records, _ = exporting.find_scores(workdir, trained, **options, score=True)
    assert records == [mine | {"steps": trained.steps}]  # the others are of the network as it was before
    assert f"1 records are no scores of step {trained.steps}, and passed over" in caplog.text
    with pytest.raises(InputError, match="nowhere/train-images-idx3-ubyte is missing"):
        exporting.find_scores(workdir, trained, source="idx:/nowhere", folder=None, score=True)


@pytest.mark.parametrize("name", exporting.FILES)
def test_files_that_no_export_wrote_stay(workdir, folder, tmp_path, name):
    (tmp_path / name).write_text('{"format": "mine"}', encoding="utf-8")
    with pytest.raises(InputError, match=f"whose {name} no export wrote; expected another folder"):
        exporting.write(workdir, tmp_path, score=False)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (folder / "README.md").exists()
    exporting._check_own(folder)  # one export over another


def test_where_some_file_cannot_be_written_none_is_replaced(workdir, folder, tmp_path, monkeypatch):
    def full(path, content, real=Path.write_bytes):
        if path.name == exporting.WEIGHTS:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, content)

    shutil.copytree(folder, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left on device: '.*/out'"):
        exporting.write(workdir, tmp_path / "out", score=False)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_an_export_that_was_cut_short_is_made_again(workdir, tmp_path, monkeypatch):
    moved = []

    def replace(source, target, real=os.replace):
        moved.append(Path(target).name)
        if len(moved) == 3:
            raise OSError(errno.EIO, "Input/output error")
        real(source, target)

    monkeypatch.setattr(exporting.os, "replace", replace)
    with pytest.raises(OSError, match="Input/output error"):
        exporting.write(workdir, tmp_path, score=False)
    assert moved[0] == exporting.MODEL
    names = exporting.write(workdir, tmp_path, score=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


class CountingImages(nn.Module):
    """A network that asks how many images there are, which a program for any number cannot tell."""

    outputs: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.outputs)(x.reshape(len(x), -1))


def test_a_network_that_asks_for_the_number_of_images_is_named_before_scoring(module_config, tmp_path, monkeypatch):
    config = changed(module_config, method="vanilla", schedule=("f:1",), classifier=f"{__name__}:CountingImages")
    workdir = write_workdir(config, tmp_path / "run")
    monkeypatch.setattr(exporting, "find_scores", None)
    with pytest.raises(
        InputError, match=r"CountingImages cannot be exported for any number .* x.reshape\(x.shape\[0\]"
    ):
        exporting.write(workdir, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_of_another_method_do_not_stay(module_config, tmp_path):
    config = changed(module_config, method="vanilla", schedule=("f:1",))
    workdir = write_workdir(config, tmp_path / "run")
    exporting.write(workdir, tmp_path / "out", score=False)
    (tmp_path / "out" / exporting.MASK).write_bytes(b"old")
    names = exporting.write(workdir, tmp_path / "out", score=False)
    assert exporting.MASK not in names
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)
    assert "Not scored: scoring was not asked for" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_variables_are_named_by_their_path():
    flat = exporting.by_path({"f": {"params": {"Dense_0": {"kernel": np.ones((2, 3))}}, "batch_stats": {"mean": 1.0}}})
    assert {name: array.shape for name, array in flat.items()} == {
        "f/params/Dense_0/kernel": (2, 3),
        "f/batch_stats/mean": (),
    }


def test_records_that_say_no_score_are_passed_over(module_config, tmp_path):
    workdir = write_workdir(module_config, tmp_path / "run")
    trained = load_trained(workdir)
    sound = {
        "dataset": trained.description.name,
        "method": "proposal",
        "seed": 0,
        "background": "none",
        "accuracy": 5.0,
    }
    wrong = [{"accuracy": "5"}, {"accuracy": None}, {"measure": "x"}, {"measure": []}, {"accuracy": 1e999}, {"test": 3}]
    files.write_json_lines(workdir / "results.jsonl", [sound, *(sound | one for one in wrong)])
    records, _ = exporting.find_scores(workdir, trained, score=False)
    assert records == [sound]
