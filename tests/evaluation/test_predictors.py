"""A predictor in other people's programs: whatever images, settings, copies and processes they have."""

import concurrent.futures
import copy
import multiprocessing
import pickle
import subprocess
import sys
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest
from jax import export
from jax import numpy as jnp

import bginv_jax
from bginv_jax.data import sources
from bginv_jax.errors import InputError
from bginv_jax.evaluation import predictors
from bginv_jax.training import checkpoints
from bginv_jax.training.loop import train
from tests.conftest import changed, door, write_workdir
from tests.xla_flags import QUICK


@pytest.fixture(scope="module")
def workdir(module_config, tmp_path_factory):
    """A proposal's workdir."""
    return write_workdir(module_config, tmp_path_factory.mktemp("run") / "proposal")


@pytest.fixture(scope="module")
def predict(workdir):
    return bginv_jax.load_predictor(workdir)


@pytest.fixture(scope="module")
def padded(module_config):
    """The 21 test images, as the networks see them."""
    return sources.load(module_config.data).test.images


@pytest.fixture(scope="module")
def images(padded):
    """(21, 12, 12, 1) uint8, as they are."""
    return padded[:, 2:-2, 2:-2]


@pytest.fixture(scope="module")
def logits(predict, images):
    return predict(images)


def test_logits_are_those_of_f(workdir, logits, padded):
    trained = predictors.load_trained(workdir)
    expected = jax.jit(trained.method.predict)(trained.networks, padded / np.float32(255))
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-6)
    assert logits.shape == (21, 3)
    assert logits.dtype == np.float32
    assert len({tuple(row) for row in logits.tolist()}) > 10


def test_a_trained_workdir_started_again_predicts_from_other_views(module_config, images, logits, tmp_path):
    workdir = write_workdir(module_config, tmp_path / "viewed")
    train(changed(module_config, classifier_views=(1.25,)), workdir)
    wider = bginv_jax.load_predictor(workdir)(images)
    assert not np.allclose(wider, logits)
    train(changed(module_config, classifier_views=(1.0, 1.25)), workdir)
    np.testing.assert_allclose(bginv_jax.load_predictor(workdir)(images), (logits + wider) / 2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 20])
def test_any_number_of_images_is_taken(predict, images, logits, count):
    np.testing.assert_array_equal(predict(images[:count]), logits[:count])
    assert predict(images[:count]).dtype == np.float32


@pytest.mark.parametrize(
    "change",
    [
        list,
        lambda x: list(jnp.asarray(x)),
        lambda x: (x / 255).tolist(),
        np.asfortranarray,
        lambda x: x.repeat(2, axis=0)[::2],
        lambda x: np.ascontiguousarray(x[:, ::-1])[:, ::-1],
        lambda x: np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0))),
        jnp.asarray,
        lambda x: x / np.float32(255),
        lambda x: x / np.float64(255),
        lambda x: (x / 255).astype(">f4"),
        lambda x: (x / 255).astype(np.float16),
        lambda x: (x / 255).astype(ml_dtypes.bfloat16),
        lambda x: jnp.asarray(x / 255, jnp.bfloat16),
        lambda x: np.where(x > 0, 1, -1e-60),
    ],
)
def test_all_kinds_of_arrays_are_taken(predict, images, logits, change):
    """Pixels are 0 or 1, which every type holds."""
    given = change(images)
    before = np.array(given)
    found = predict(given)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, logits, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(np.asarray(given), before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x: x[..., 0],
            r"images are \(21, 12, 12\); expected \(N, 12, 12, 1\), such as images\[..., np.newaxis\]",
        ),
        (lambda x: x[0], r"images are \(12, 12, 1\); expected .*, such as images\[np.newaxis\] for a single image"),
        (lambda x: x[:, :11], r"images are \(21, 11, 12, 1\); expected \(N, 12, 12, 1\)$"),
        (lambda x: x.repeat(3, axis=-1), r"images are \(21, 12, 12, 3\); expected \(N, 12, 12, 1\)$"),
        (lambda x: [], r"images are \(0,\); expected \(N, 12, 12, 1\)"),
        (lambda x: [x[0], x[1, :5]], r"images are no array: .*; expected \(N, 12, 12, 1\)"),
        (lambda x: None, "images are object; expected uint8, or floats"),
        (lambda x: x > 0, "images are bool; expected uint8, or floats"),
        (lambda x: x.astype(np.int32), "images are int32; expected uint8, or floats"),
        (lambda x: x.astype(np.complex64), "images are complex64; expected uint8, or floats"),
        (lambda x: x.astype(np.float32), r"images from 0.0 to 255.0; expected uint8, or floats in \[0, 1\]"),
        (lambda x: x / 255 - 1, r"images from -1.0 to 0.0; expected uint8, or floats in \[0, 1\]"),
        (lambda x: np.where(x, np.nan, 0.5), r"images hold NaN; expected uint8, or floats in \[0, 1\]"),
        (lambda x: np.where(x, np.inf, 0.5), r"images from 0.5 to inf; expected uint8, or floats in \[0, 1\]"),
    ],
)
def test_other_images_are_refused_in_one_line(predict, images, change, message):
    with pytest.raises(InputError, match=f"^{message}") as caught:
        predict(change(images))
    assert "\n" not in str(caught.value)


def test_a_tracer_is_told_of_load_pure(predict, images):
    with pytest.raises(InputError, match="images are traced by JAX; .* load_pure"):
        jax.jit(predict)(images)


def test_a_call_in_a_function_that_is_traced_is_told_of_load_pure(predict, images):
    with pytest.raises(InputError, match="called while JAX traces; expected a call outside, or the function of load_p"):
        jax.jit(lambda: predict(images))()
    assert predict(images).shape == (21, 3)


def test_masks_have_the_native_size(workdir, images, padded):
    generate = bginv_jax.load_mask_generator(workdir)
    masks = generate(images)
    assert masks.shape == (21, 12, 12, 1)
    assert masks.dtype == np.float32
    assert 0 <= masks.min() < masks.max() <= 1
    assert generate(images[:0]).shape == (0, 12, 12, 1)
    assert generate(padded).shape == (21, 16, 16, 1)
    np.testing.assert_array_equal(generate(padded)[:, 2:-2, 2:-2], masks)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(generate))(images), masks)


def test_a_method_without_masks_and_a_folder_without_checkpoints_are_named(module_config, workdir, tmp_path):
    config = changed(module_config, method="vanilla", schedule=("f:1",))
    write_workdir(config, tmp_path / "vanilla")
    with pytest.raises(InputError, match="was trained with method vanilla, which has no masks"):
        bginv_jax.load_mask_generator(tmp_path / "vanilla")
    for load in (bginv_jax.load_predictor, bginv_jax.load_mask_generator, bginv_jax.load_pure):
        with pytest.raises(InputError, match="nowhere holds no checkpoint; expected a folder that bginv_jax.train"):
            load(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_workdir_is_named_in_many_ways(workdir, images, logits, monkeypatch):
    monkeypatch.setenv("HOME", str(workdir.parent))
    monkeypatch.chdir(workdir / "checkpoints")
    for name in (
        str(workdir),
        f"{workdir}/",
        f"{workdir}/checkpoints",
        f"{workdir}/checkpoints/",
        workdir / "checkpoints",
        f"~/{workdir.name}",
        f"~/{workdir.name}/checkpoints/",
        "..",
        ".",
    ):
        assert predictors.find_workdir(name) == workdir
    np.testing.assert_array_equal(bginv_jax.load_predictor(f"~/{workdir.name}/checkpoints/")(images[:2]), logits[:2])
    np.testing.assert_array_equal(bginv_jax.load_predictor(".")(images[:2]), logits[:2])


def test_a_checkpoint_that_a_training_takes_away_is_looked_for_again(workdir, images, logits, monkeypatch):
    real, steps = checkpoints.restore_networks, iter(["7", "8"])
    newer = [Path(workdir) / "checkpoints" / step for step in ("7", "8")]

    def restore(manager, shapes):  # what was listed is gone, and a newer one there
        if (step := next(steps, None)) is None:
            return real(manager, shapes)
        (Path(workdir) / "checkpoints" / step).mkdir()
        raise (FileNotFoundError if step == "7" else InputError)("gone")

    monkeypatch.setattr(checkpoints, "restore_networks", restore)
    np.testing.assert_array_equal(bginv_jax.load_predictor(workdir)(images), logits)
    for folder in newer:
        folder.rmdir()
    monkeypatch.setattr(checkpoints, "restore_networks", lambda *_: (_ for _ in ()).throw(InputError("damaged")))
    with pytest.raises(InputError, match="^damaged$"):  # where nobody trains it is told at once
        bginv_jax.load_predictor(workdir)


def test_each_seed_has_its_own_predictor(module_config, workdir, tmp_path, images, logits):
    write_workdir(changed(module_config, seeds=(0, 4)), tmp_path)
    first, same, other = (bginv_jax.load_predictor(tmp_path, seed=seed)(images) for seed in (None, 0, 4))
    np.testing.assert_array_equal(first, same)
    np.testing.assert_allclose(first, logits, rtol=1e-5, atol=1e-6)
    assert np.abs(first - other).max() > 0.05
    with pytest.raises(InputError, match="seed is 1; workdir .* has 0, 4"):
        bginv_jax.load_predictor(tmp_path, seed=1)


def test_settings_of_the_program_change_nothing(workdir, images, logits):
    with (
        jax.enable_x64(True),
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
        jax.default_prng_impl("rbg"),
    ):
        found = bginv_jax.load_predictor(workdir)(images / np.float64(255))
        masks = bginv_jax.load_mask_generator(workdir)(images)
        drawn = bginv_jax.families.draw(["ramp"], 2, size=16, seed=0)
        assert jnp.zeros(1).dtype == jnp.float64  # as the program has it
    assert found.dtype == masks.dtype == drawn.dtype == np.float32
    np.testing.assert_array_equal(found, logits)
    np.testing.assert_array_equal(drawn, bginv_jax.families.draw(["ramp"], 2, size=16, seed=0))


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_predict_the_same_and_can_be_copied(predict, images, logits, make):
    np.testing.assert_array_equal(make(make(predict))(images), logits)


def test_a_copy_outlives_its_workdir(module_config, tmp_path, images, logits):
    write_workdir(module_config, tmp_path / "run")
    kept = pickle.dumps(bginv_jax.load_predictor(tmp_path / "run"))
    (tmp_path / "run").rename(tmp_path / "moved")
    np.testing.assert_allclose(pickle.loads(kept)(images), logits, rtol=1e-6)


def test_a_spawned_process_predicts_the_same(predict, images, logits, monkeypatch):
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    monkeypatch.setenv("XLA_FLAGS", QUICK)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (found,) = pool.map_async(predict, [images], chunksize=1).get(timeout=120)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, logits, rtol=1e-4, atol=1e-5)


def test_threads_may_call_one_predictor_at_once(workdir, images, logits):
    predict = bginv_jax.load_predictor(workdir)  # which has not compiled
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(predict, images[i : i + 5]) for i in range(12)]
        for i, call in enumerate(calls):
            np.testing.assert_array_equal(call.result(timeout=120), logits[i : i + 5])


FORKS = """
import multiprocessing, os, signal, sys
import numpy as np
import jax
{before}
images = np.zeros((1, 12, 12, 1), np.uint8)

def work(call):
    signal.alarm(60)  # a process that hangs is ended
    exec(call)

with multiprocessing.get_context("fork").Pool(1) as pool:
    for call in {calls!r}:
        try:
            pool.map_async(work, [call]).get(timeout=90)
            print("worked")
        except RuntimeError as error:
            print("refused:", error)
"""


@pytest.mark.parametrize(
    ("before", "calls", "expected"),
    [
        (
            "import bginv_jax\npredict = bginv_jax.load_predictor({w!r})\n"
            "apply, variables = bginv_jax.load_pure({w!r})",
            [
                "predict(images)",
                "apply(variables, images)",
                "bginv_jax.load_predictor({w!r})",
                "bginv_jax.families.draw(['ramp'], 1, size=16, seed=0)",
            ],
            "refused",
        ),
        ("import bginv_jax; jax.devices()", ["bginv_jax.families.draw(['ramp'], 1, size=16, seed=0)"], "refused"),
        ("jax.devices()", ["import bginv_jax; bginv_jax.load_predictor({w!r})"], "refused"),
        ("import bginv_jax", ["bginv_jax.load_predictor({w!r})(images)"], "worked"),
    ],
)
def test_a_forked_process_is_refused_before_jax_waits_for_ever(workdir, before, calls, expected):
    calls = [call.format(w=str(workdir)) for call in calls]
    command = door("")
    code = FORKS.format(before=before.format(w=str(workdir)), calls=calls)
    command["args"] = [sys.executable, "-W", "ignore", "-c", code]
    result = subprocess.run(**command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    answers = result.stdout.splitlines()
    assert len(answers) == len(calls)
    for answer in answers:
        assert answer.startswith(expected)
        assert ("multiprocessing.get_context('spawn')" in answer) == (expected == "refused")


@pytest.fixture(scope="module")
def pure(workdir):
    return bginv_jax.load_pure(workdir)


def test_the_pure_function_equals_the_predictor_under_any_settings(pure, images, padded, logits):
    apply, variables = pure
    for given in (images, padded, images / np.float64(255), jnp.asarray(images / 255, jnp.bfloat16), list(images)):
        found = apply(variables, given)
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, logits, rtol=1e-5, atol=1e-5)
    with jax.enable_x64(True):
        found = jax.jit(apply)(variables, jnp.asarray(images / 255))
        assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(12, 12, 1), (12, 12), (2, 12, 12), (2, 10, 10, 1), (2, 14, 14, 1), (2, 12, 12, 3)])
def test_the_pure_function_refuses_images_of_another_shape(pure, shape):
    apply, variables = pure
    for function in (apply, jax.jit(apply)):
        with pytest.raises(
            InputError, match=rf"images are \({', '.join(map(str, shape))}\); expected \(N, 12, 12, 1\)"
        ):
            function(variables, jnp.zeros(shape))


def test_the_pure_function_takes_no_images(pure, images):
    apply, variables = pure
    for function in (apply, jax.jit(apply)):
        assert function(variables, images[:0]).shape == (0, 3)
        assert function(variables, images[:0]).dtype == np.float32
    gradients = jax.jit(jax.grad(lambda variables: apply(variables, images[:0]).sum()))(variables)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradients))


def test_the_pure_function_is_exported_for_any_number_of_images(pure, images, logits):
    apply, variables = pure
    (batch,) = export.symbolic_shape("batch")
    shape = jax.ShapeDtypeStruct((batch, *images.shape[1:]), np.uint8)
    program = export.export(jax.jit(lambda images: apply(variables, images)))(shape)
    np.testing.assert_allclose(program.call(images), logits, atol=1e-5)


def test_the_pure_function_is_mapped(pure, images, logits):
    apply, variables = pure
    several = jax.jit(jax.vmap(apply, in_axes=(None, 0)))(variables, images[:20].reshape(4, 5, 12, 12, 1))
    np.testing.assert_allclose(several.reshape(20, 3), logits[:20], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("number", [0, 1])
def test_the_pure_function_is_differentiated_by_variables_and_images(pure, number):
    """Along its gradient the loss changes by the gradient's length."""
    apply, variables = pure
    x = np.random.RandomState(0).uniform(0.2, 0.8, (3, 12, 12, 1)).astype(np.float32)

    @jax.jit
    def loss(variables, x):
        return -jax.nn.log_softmax(apply(variables, x))[jnp.arange(3), jnp.arange(3)].mean()

    gradient = jax.jit(jax.grad(loss, argnums=number))(variables, x)
    primals = [variables, x]
    assert jax.tree.map(jnp.shape, gradient) == jax.tree.map(jnp.shape, primals[number])
    length = float(jnp.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(gradient))))
    assert 1e-3 < length < np.inf
    losses = []
    for t in (-1e-3, 1e-3):
        moved = jax.tree.map(lambda leaf, slope, t=t: leaf + t * slope / length, primals[number], gradient)
        losses.append(float(loss(*primals[:number], moved, *primals[number + 1 :])))
    assert (losses[1] - losses[0]) / 2e-3 == pytest.approx(length, rel=0.02)
    if number == 0:
        unused = [leaf for name in ("f_m", "f_b") for leaf in jax.tree.leaves(gradient[name])]
        assert unused
        assert not any(bool(leaf.any()) for leaf in unused)
