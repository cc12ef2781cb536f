"""End to end on the tiny set: training, resuming, evaluating, predicting, and the command lines."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from skimage import io

import bginv_jax
from bginv_jax.backgrounds import families
from bginv_jax.data import sources
from bginv_jax.evaluation import results as evaluate
from bginv_jax.evaluation import scoring
from bginv_jax.images.pixels import pad_to
from bginv_jax.training import checkpoints
from bginv_jax.training import loop as train
from tests.training.test_checkpoints import _same_bits

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def shared_run():
    """One finished run of the tiny proposal that several tests read."""
    return {}


@pytest.fixture
def finished(shared_run, tiny_config, tmp_path_factory):
    if not shared_run:
        workdir = tmp_path_factory.mktemp("finished")
        shared_run.update(
            workdir=workdir, state=train.train(tiny_config, workdir), config=tiny_config.copy_and_resolve_references()
        )
    return shared_run


def test_a_run_takes_every_step_and_reports_every_phase(finished):
    assert finished["state"].step == 9
    lines = [json.loads(line) for line in (finished["workdir"] / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["phase"]) for line in lines] == [
        (2, "f"),
        (3, "f"),
        (4, "f_m"),
        (6, "f_m"),
        (8, "f+f_b"),
        (9, "f+f_b"),
    ]
    assert sorted(path.name for path in (finished["workdir"] / "checkpoints").iterdir()) == ["8", "9"]


class _Killed(Exception):
    pass


@pytest.mark.parametrize("stop", [1, 5, 7])
def test_a_killed_run_continues_bit_for_bit(finished, tmp_path, monkeypatch, stop):
    """The process dies after step `stop`: in phase 1 before any checkpoint, in phase 2, in phase 3."""
    config = finished["config"]
    save = checkpoints.save

    def save_and_die(manager, train_state, *rest):
        if train_state.step > stop:
            raise _Killed
        save(manager, train_state, *rest)

    monkeypatch.setattr(checkpoints, "save", save_and_die)
    with pytest.raises(_Killed):
        train.train(config, tmp_path)
    monkeypatch.setattr(checkpoints, "save", save)
    kept = stop // 2 * 2
    with checkpoints.open_manager(tmp_path) as manager:
        assert manager.latest_step() == (kept or None)
    resumed = train.train(config, tmp_path)
    assert _same_bits(resumed, finished["state"])
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines]
    assert steps == sorted(set(steps))
    assert steps[-1] == 9


def test_a_finished_run_trains_no_further(finished):
    again = train.train(finished["config"], finished["workdir"])
    assert _same_bits(again, finished["state"])


def test_another_config_on_the_same_workdir_is_refused(finished):
    config = finished["config"].copy_and_resolve_references()
    config.seed = 1
    with pytest.raises(ValueError, match=r"config.seed is 1, but the run in this workdir was started with 0"):
        train.train(config, finished["workdir"])


def test_a_batch_larger_than_the_data_is_refused(tiny_config, tmp_path):
    tiny_config.batch_size = 64
    with pytest.raises(ValueError, match="config.batch_size is 64; allowed: up to 48 images"):
        train.train(tiny_config, tmp_path)


def test_evaluation_scores_every_image_once_on_each_background(finished):
    (run,) = scoring.load([finished["workdir"]])
    dataset = run.dataset
    records = scoring.score(run)
    assert [record["background"] for record in records] == [
        "none",
        "stripes",
        "board",
        "border",
        "circles",
        "clock",
        "random",
    ]
    labels = dataset.test.targets
    logits = bginv_jax.load_predictor(finished["workdir"])(dataset.test.images)
    assert records[0] == {
        "dataset": dataset.name,
        "method": "proposal",
        "seed": 0,
        "background": "none",
        "correct": int((logits.argmax(axis=1) == labels).sum()),
        "count": 21,
        "accuracy": pytest.approx(100 * (logits.argmax(axis=1) == labels).mean()),
    }
    assert all(record["count"] == 21 for record in records)
    rates = scoring.sweep(run)
    assert [record["rate"] for record in rates] == [
        0,
        0.01,
        0.02,
        0.03,
        0.04,
        0.05,
        0.06,
        0.07,
        0.08,
        0.09,
        0.1,
        0.2,
        0.3,
        0.4,
        0.5,
        0.6,
        0.7,
        0.8,
        0.9,
        1,
    ]
    assert rates[0]["correct"] == records[0]["correct"]
    assert all(record["count"] == 21 for record in rates)


def test_data_sets_are_read_once_and_must_fit(finished, tiny_config, tmp_path, monkeypatch):
    loaded = []
    load = sources.load
    monkeypatch.setattr(sources, "load", lambda config: loaded.append(config) or load(config))
    runs = scoring.load([finished["workdir"]] * 3)
    assert len(loaded) == 1
    assert runs[0].dataset is runs[2].dataset
    with pytest.raises(ValueError, match=r"data set mnist_5k: images of \(28, 28, 1\); expected \(12, 12, 1\)"):
        scoring.load([finished["workdir"]], source="mnist_5k")


def test_predictors_take_any_number_and_both_types(finished):
    predict = bginv_jax.load_predictor(finished["workdir"])
    images = sources.load(finished["config"].data).test.images
    logits = predict(images)
    assert logits.shape == (21, 3)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(predict(images / np.float64(255)), logits, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(predict(images[:1]), logits[:1])
    np.testing.assert_array_equal(predict(np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))), logits)
    assert predict(images[:0]).shape == (0, 3)
    masks = bginv_jax.load_mask_generator(finished["workdir"])(images)
    assert masks.shape == (21, 12, 12, 1)
    assert 0 <= masks.min() < masks.max() <= 1
    for wrong, message in (
        (images[..., 0], r"images are \(21, 12, 12\); expected \(N, 12, 12, 1\)"),
        (images.astype(np.int32), "images are int32; expected uint8, or floats"),
        (images.astype(np.float32), r"images from 0.0 to 255.0; expected uint8, or floats in \[0, 1\]"),
    ):
        with pytest.raises(ValueError, match=message):
            predict(wrong)


def test_vanilla_has_no_masks_and_a_missing_workdir_is_named(tiny_config, tmp_path):
    tiny_config.method, tiny_config.schedule, tiny_config.steps = "vanilla", ("f:1",), 2
    train.train(tiny_config, tmp_path / "vanilla")
    with pytest.raises(ValueError, match="was trained with method vanilla, which has no masks"):
        bginv_jax.load_mask_generator(tmp_path / "vanilla")
    with pytest.raises(ValueError, match="nowhere holds no checkpoint; expected a folder that bginv_jax.train wrote"):
        bginv_jax.load_predictor(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("method", ["noise", "nonzero", "joint", "attention", "photographs", "families"])
def test_the_other_switches_train(tiny_config, tmp_path, method):
    if method == "attention":
        tiny_config.method, tiny_config.schedule = "attention", ("f:1", "f_l:1", "f+f_l:1")
    if method == "photographs":
        io.imsave(tmp_path / "wall.png", np.full((80, 90), 128, np.uint8), check_contrast=False)
        tiny_config.background.update({"kind": "black", "photographs": str(tmp_path), "pictured_share": 0.5})
    if method == "families":
        tiny_config.background.update({"families": ("strokes", "plain"), "pictured_share": 0.25})
    if method == "noise":
        tiny_config.background.kind = "noise"
    if method == "nonzero":
        tiny_config.mask.kind, tiny_config.schedule = "nonzero", ("f:1", "f+f_b:1")
        tiny_config.mask.binarize = "none"
    if method == "joint":
        tiny_config.schedule, tiny_config.mask.binarize = ("f:1", "f+f_m:1", "f+f_m+f_b:1"), "otsu"
    tiny_config.steps = 3
    final = train.train(tiny_config, tmp_path)
    assert final.step == 3
    assert all(bool(jax.numpy.isfinite(leaf).all()) for leaf in jax.tree.leaves(final.params))


def test_several_seeds_are_trained_together_resumed_and_scored_apart(finished, tmp_path):
    config = finished["config"].copy_and_resolve_references()
    config.seeds = (0, 4)
    train.train(config, tmp_path)
    again = train.train(config, tmp_path)  # restores the stacked state and takes no step
    assert again.step == 9
    for a, b in zip(jax.tree.leaves(again.params), jax.tree.leaves(finished["state"].params), strict=True):
        # Adam divides by the gradient's own size, so a weight without a gradient moves by what rounding makes of it.
        assert np.linalg.norm(a[0] - b) <= 1e-4 * np.linalg.norm(b) + 1e-6
    records = scoring.score(*scoring.load([tmp_path]))
    assert [record["seed"] for record in records] == [0] * 7 + [4] * 7
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    alone = [json.loads(line) for line in (finished["workdir"] / "metrics.jsonl").read_text().splitlines()]
    assert [len(line["loss"]) for line in lines if "loss" in line] == [2] * 4
    assert lines[0]["loss"][0] == pytest.approx(alone[0]["loss"], rel=1e-4)
    assert lines[0]["loss"][0] != pytest.approx(lines[0]["loss"][1], rel=1e-4)
    x = sources.load(config.data).test.images
    first, own, other = (
        bginv_jax.load_predictor(folder, seed=seed)(x)
        for folder, seed in ((tmp_path, None), (finished["workdir"], 0), (tmp_path, 4))
    )
    np.testing.assert_allclose(first, own, rtol=1e-2, atol=1e-3)
    assert np.abs(first - other).max() > 0.05
    with pytest.raises(ValueError, match="seed is 1; workdir .* has 0, 4"):
        bginv_jax.load_predictor(tmp_path, seed=1)


def _command(module, *flags, devices=2):
    """Arguments of subprocess that run a command line on so many CPU devices."""
    environment = {**os.environ, "XLA_FLAGS": "", "JAX_NUM_CPU_DEVICES": str(devices), "PYTHONPATH": str(ROOT)}
    return {"args": [sys.executable, "-m", f"bginv_jax.{module}", *flags], "cwd": ROOT, "env": environment}


def _run(module, *flags, devices=2):
    command = _command(module, *flags, devices=devices)
    return subprocess.run(**command, capture_output=True, text=True, timeout=300)


CONFIG = "--config=experiments/mnist_5k_proposal.py"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((CONFIG, "--config.batchsize=3"), "error: config.batchsize is unknown; did you mean batch_size?"),
        ((CONFIG, "--config.batch_size=many"), "error: config.batch_size is 'many'; allowed: an integer of at least 1"),
        ((CONFIG, "--config.mask.binarize=half"), "error: config.mask.binarize is 'half'; allowed: one of otsu"),
        ((CONFIG, "--config.data.source=idx:/nowhere"), "/nowhere/train-images-idx3-ubyte is missing"),
        (("--config=experiments/nothing.py",), "error: --config cannot be read"),
        (("--config=experiments/ablation.py:halo",), "ablation.py:halo is unknown; the variants are ours, "),
        ((CONFIG, "steps=3"), "unexpected argument 'steps=3'; flags are written --name=value"),
    ],
)
def test_wrong_flags_end_in_one_line(tmp_path, flags, message):
    result = _run("train", *flags, f"--workdir={tmp_path}")
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_help_lists_every_field():
    for module, words in (
        ("train", ("--config", "--workdir", "mask.area_weight", "allowed")),
        ("evaluate", ("--workdir",)),
    ):
        result = _run(module, "--help")
        assert all(word in result.stdout for word in words), result.stdout


def test_a_second_start_compiles_nothing(finished, tmp_path):
    flags = [
        "--config=experiments/mnist_5k_vanilla.py",
        f"--config.data.source={finished['config'].data.source}",
        "--config.batch_size=16",
        "--config.steps=4",
    ]
    misses = []
    for start in ("first", "second"):
        command = _command("train", *flags, f"--workdir={tmp_path / start}")
        del command["env"]["JAX_COMPILATION_CACHE_DIR"]
        command["env"] |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "JAX_DEBUG_LOG_MODULES": "jax._src.compiler"}
        result = subprocess.run(**command, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
        misses.append(result.stderr.count("PERSISTENT COMPILATION CACHE MISS"))
        assert "Persistent compilation cache hit" in result.stderr or start == "first"
    assert misses[0] > 0
    assert misses[1] == 0


def test_a_killed_process_continues_and_the_table_is_written(finished, tmp_path):
    """The real thing: SIGKILL while it trains, the same command again, then evaluate."""
    folder = finished["config"].data.source
    flags = [
        CONFIG,
        f"--config.data.source={folder}",
        "--config.batch_size=16",
        "--config.steps=40",
        "--config.checkpoint_every=2",
        "--config.log_every=1",
        f"--workdir={tmp_path / 'run'}",
    ]
    process = subprocess.Popen(**_command("train", *flags), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "checkpoints" / "4").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    result = _run("train", *flags)
    assert result.returncode == 0, result.stderr
    assert "continuing after step" in result.stderr
    assert "step 40/40" in result.stderr
    page = tmp_path / "new" / "page.html"
    result = _run("evaluate", f"--workdir={tmp_path / 'run'}", f"--html={page}", devices=1)  # fewer than trained it
    assert result.returncode == 0, result.stderr
    assert "Proposal, poster" in result.stdout
    records = [json.loads(line) for line in (tmp_path / "run" / "results.jsonl").read_text().splitlines()]
    assert len(records) == 7
    assert all(record["count"] == 21 for record in records)
    assert (tmp_path / "run" / "table1.md").read_text().startswith("| Accuracy (%) | None |")
    assert (tmp_path / "run" / "table1.png").stat().st_size > 10_000
    rates = [json.loads(line) for line in (tmp_path / "run" / "rates.jsonl").read_text().splitlines()]
    assert [record["count"] for record in rates] == [21] * 20
    text = page.read_text()
    assert text.count("data:image/png;base64,") == 3  # rates, figures 3 and 4
    assert "--config=experiments/mnist_5k_proposal.py" in text  # the command that trained it


def test_figures_are_drawn_into_the_workdir(finished):
    result = _run("figures", f"--workdir={finished['workdir']}")
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("figure3.png, figure4.png, figure4.gif\n")


def test_unseen_backgrounds_are_scored_in_the_workdir(finished, tmp_path):
    io.imsave(tmp_path / "sky.png", np.full((70, 70), 200, np.uint8), check_contrast=False)
    flags = (
        f"--workdir={finished['workdir']}",
        "--count=2",
        "--families=fold0",
        f"--photographs={tmp_path}",
        "--seeds=0",
    )
    result = _run("unseen", *flags, devices=1)
    assert result.returncode == 0, result.stderr
    records = [json.loads(line) for line in (finished["workdir"] / "unseen.jsonl").read_text().splitlines()]
    assert [record["family"] for record in records[::2]] == [*families.FOLDS[0], "photographs", "every"]
    assert all(record["count"] == 21 and record["correct"] >= records[-1]["correct"] for record in records)
    assert (finished["workdir"] / "unseen.md").read_text().startswith("| Accuracy (%) | ")
    result = _run("unseen", f"--workdir={finished['workdir']}", "--seeds=3", devices=1)
    assert result.stderr.strip().endswith(f"error: --seeds is 3; workdir {finished['workdir']} has 0")


def test_masks_are_compared_with_the_objects(finished):
    (run,) = scoring.load([finished["workdir"]])
    (overlap,) = scoring.mask_overlaps(run)
    x = pad_to(run.dataset.test.images, run.dataset.size)
    masks = bginv_jax.load_mask_generator(finished["workdir"])(x) > 0.5
    shares = [(m & t).sum() / (m | t).sum() for m, t in zip(masks, x > 0, strict=True)]
    assert overlap == pytest.approx(100 * np.mean(shares))


def test_the_same_run_twice_is_refused_before_it_is_scored(finished, tmp_path):
    runs = scoring.load([finished["workdir"]] * 2)
    with pytest.raises(ValueError, match="two of the workdirs hold idx:tiny, proposal, seed 0; expected each once"):
        evaluate.write(runs, tmp_path / "output")
    assert not (tmp_path / "output").exists()
