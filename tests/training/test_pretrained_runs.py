"""A run that starts from somebody's weights: what trains of them, and how it goes on when they are gone."""

import shutil

import jax
import numpy as np
import pytest
import safetensors.numpy

import bginv_jax
from bginv_jax.data import sources
from bginv_jax.errors import InputError
from bginv_jax.evaluation import predictors
from bginv_jax.images.pixels import as_float
from bginv_jax.networks import classifiers
from bginv_jax.networks.efficientnet import Convolved
from bginv_jax.networks.staged import Staged, batch_norm, same_margins
from bginv_jax.training import loop, wiring
from tests.conftest import changed, same_bits
from tests.training import registered

pytestmark = pytest.mark.usefixtures("registry", "tiny_classifier")


def _tiny(classes, *, frozen=0, fixed=False):
    """A classifier of three stages, each of which halves the side."""
    stages = [Convolved(4, 3, 2, same_margins, batch_norm(1e-3, 0.9), parent=None) for _ in range(3)]
    return Staged(classes, tuple(stages), frozen=frozen, fixed=fixed)


@pytest.fixture(scope="module")
def tiny_classifier():
    staged = classifiers.StagedClassifier(_tiny, 3, (lambda module: module.replace("/", "."),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(classifiers.STAGED, "tiny", staged)
        patch.setitem(classifiers.CLASSIFIERS, "tiny", _tiny)
        yield


def _write_weights(path, seed=0):
    """Every tensor of the tiny classifier but its head, by the names of PyTorch."""
    random, tensors = np.random.RandomState(seed), {}
    for i in range(3):
        tensors[f"stages_{i}.conv.weight"] = random.randn(4, 4 if i else 3, 3, 3)
        for name in ("weight", "bias", "running_mean", "running_var"):
            tensors[f"stages_{i}.bn.{name}"] = random.uniform(0.5, 1.5, 4)
    safetensors.numpy.save_file({name: value.astype(np.float32) for name, value in tensors.items()}, path)
    return str(path)


@pytest.fixture(scope="module")
def trained(registry, tiny_classifier, tmp_path_factory):
    """The config, the workdir and the final state of a run with two frozen stages under AdamW."""
    folder = tmp_path_factory.mktemp("pretrained")
    weights = _write_weights(folder / "weights.safetensors")
    config = registered.config(
        classifier="tiny", classifier_weights=weights, classifier_frozen=2, weight_decay=0.1, seeds=(0, 1)
    )
    return config, folder / "run", loop.train(config, folder / "run")


def _start(config):
    return wiring.wire(config, sources.load(config.data)).init()


def test_a_run_starts_from_the_weights_with_a_head_of_each_seeds_own(trained):
    config, _, _ = trained
    start = _start(config)
    f, statistics = start.params["f"], start.statistics["f"]["batch_stats"]
    tensors = safetensors.numpy.load_file(config.classifier_weights)
    for seed in (0, 1):
        kernel = f["stages_1"]["conv"]["kernel"][seed]
        np.testing.assert_array_equal(kernel, tensors["stages_1.conv.weight"].transpose(2, 3, 1, 0))
        np.testing.assert_array_equal(f["stages_2"]["bn"]["scale"][seed], tensors["stages_2.bn.weight"])
        np.testing.assert_array_equal(statistics["stages_0"]["bn"]["var"][seed], tensors["stages_0.bn.running_var"])
    assert (f["head"]["kernel"][0] != f["head"]["kernel"][1]).all()


def test_fixed_averages_stay_and_f_predicts_with_the_average_of_its_weights(trained, tmp_path):
    config = changed(trained[0], classifier_frozen=0, classifier_averages="fixed", classifier_average=0.5, seeds=())
    start, final = _start(config), loop.train(config, tmp_path)
    assert same_bits(start.params["f"], start.statistics["f"]["average"]["weights"])  # of the weights that were put in
    assert same_bits(start.statistics["f"]["batch_stats"], final.statistics["f"]["batch_stats"])
    weights, average = final.params["f"], final.statistics["f"]["average"]["weights"]
    assert not same_bits(weights["head"], average["head"])
    run = wiring.wire(config, sources.load(config.data))
    images = run.dataset.test.images[:3]
    f = classifiers.make_classifier("tiny", len(run.dataset.class_names), fixed=True)
    expected = f.apply({"params": average, "batch_stats": final.statistics["f"]["batch_stats"]}, as_float(images))
    np.testing.assert_allclose(bginv_jax.load_predictor(tmp_path)(images), expected, atol=1e-5)


def test_frozen_stages_keep_every_bit_and_the_others_train(trained):
    config, _, final = trained
    start = _start(config)
    for before, after in (
        (start.params["f"], final.params["f"]),
        (start.statistics["f"]["batch_stats"], final.statistics["f"]["batch_stats"]),
    ):
        moved = {name for name in before if not same_bits(before[name], after[name])}
        assert moved == before.keys() - {"stages_0", "stages_1"}
    # Adam keeps nothing of what it does not change.
    kernels = {leaf.shape for leaf in jax.tree.leaves(final.opt_state["f"]) if leaf.ndim == 5}
    assert kernels == {(2, 3, 3, 4, 4)}


def test_predictors_need_no_weights_and_a_resumed_run_neither(trained, tmp_path):
    config, workdir, final = trained
    shutil.copytree(workdir, tmp_path / "killed")
    last = max((tmp_path / "killed" / "checkpoints").iterdir(), key=lambda path: int(path.name))
    shutil.rmtree(last)
    gone = changed(config, classifier_weights=str(tmp_path / "gone.safetensors"))
    resumed = loop.train(gone, tmp_path / "killed")
    assert same_bits(resumed, final)
    one, other = (predictors.load_trained(folder).description.weights for folder in (workdir, tmp_path / "killed"))
    assert one == other != ""
    with pytest.raises(InputError, match="classifier_weights is '.*gone.safetensors', which is not there"):
        loop.train(gone, tmp_path / "new")


def test_other_weights_are_refused_by_their_content(trained, tmp_path):
    config, workdir, _ = trained
    moved = shutil.copy(config.classifier_weights, tmp_path / "moved.safetensors")
    loop.train(changed(config, classifier_weights=str(moved)), workdir)
    other = _write_weights(tmp_path / "other.safetensors", seed=1)
    with pytest.raises(InputError, match=f"config.classifier_weights is '{other}', which is not what the run in"):
        loop.train(changed(config, classifier_weights=other), workdir)
    with pytest.raises(
        InputError, match="config.classifier_frozen is 0, but the run in this workdir was started with 2"
    ):
        loop.train(changed(config, classifier_weights="", classifier_frozen=0), workdir)


def test_weights_that_do_not_fit_are_named_with_their_field(trained, tmp_path):
    config, _, _ = trained
    safetensors.numpy.save_file(
        {"stages_0.conv.weight": np.zeros((4, 3, 5, 5), np.float32)}, tmp_path / "a.safetensors"
    )
    config = changed(config, classifier_weights=str(tmp_path / "a.safetensors"))
    with pytest.raises(InputError, match=r"^config.classifier_weights is '.*', for classifier tiny: 15 tensors do not"):
        _start(config)


def test_a_network_that_normalises_takes_its_devices_share_at_once(trained, monkeypatch):
    """Slices of a share would each normalise by a few images."""
    monkeypatch.setattr(wiring, "_CACHE_PIXELS", 1)
    config = changed(trained[0], batch_size=32, classifier_frozen=0, classifier_weights="")
    data = sources.load(config.data)
    plans = {name: wiring.wire(changed(config, classifier=name), data).plan for name in ("tiny", "linear")}
    assert (plans["tiny"].devices, plans["tiny"].slices) == (8, 1)
    assert (plans["linear"].devices, plans["linear"].slices) == (8, 4)
