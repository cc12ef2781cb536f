"""A training from its first step to its last, killed and continued, with every switch; its networks are small.

Everything but the networks is as a user has it; the real ones train in tests/test_doors.py and test_old_workdirs.py.
"""

import json
import os
import shutil

import jax
import numpy as np
import pytest
from flax import linen as nn
from jax import numpy as jnp
from skimage import io

from bginv_jax import load_predictor
from bginv_jax.data import sources
from bginv_jax.errors import InputError
from bginv_jax.methods import attention, proposal
from bginv_jax.networks import classifiers, generators
from bginv_jax.training import background_strips, checkpoints, ownership, progress, wiring
from bginv_jax.training.loop import train
from tests.conftest import changed, same_bits
from tests.training.flips import flip


class _Linear(nn.Module):
    """f, in the place of a convolutional one."""

    classes: int

    @nn.compact
    def __call__(self, x, *, truncated=False):
        maps = nn.relu(nn.Conv(2, (4, 4), strides=4)(x))
        return maps if truncated else nn.Dense(self.classes)(maps.reshape(len(x), -1))


class _Local(nn.Module):
    """f_l."""

    classes: int

    @nn.compact
    def __call__(self, crops, pooled):
        return nn.Dense(self.classes)(jnp.concatenate([crops.mean(axis=(1, 2)), pooled], axis=-1))


class _Mask(nn.Module):
    """f_m, one pixel at a time."""

    @nn.compact
    def __call__(self, x):
        return nn.sigmoid(nn.Dense(1)(x))


class _Painter(nn.Module):
    """f_b, of few pixels made large."""

    upsamplings: int
    width: int = 1

    @nn.compact
    def __call__(self, z):
        painted = nn.sigmoid(nn.Dense(z.shape[-1])(z))
        return painted.repeat(2**self.upsamplings, axis=1).repeat(2**self.upsamplings, axis=2)


@pytest.fixture(scope="module", autouse=True)
def _small_networks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(classifiers.CLASSIFIERS, "cnn", _Linear)
        patch.setattr(attention, "LocalClassifier", _Local)
        patch.setattr(proposal, "MaskGenerator", lambda width: _Mask())
        patch.setattr(generators, "BackgroundGenerator", _Painter)
        yield


@pytest.fixture(scope="module")
def share_programs():
    """(patch): from then on all runs of one config take the same compiled steps, which are traced once."""
    make_step, programs = wiring.Run.make_step, {}

    def make_once(run, phase, feed):
        if (str(run.config), phase) not in programs:
            programs[str(run.config), phase] = make_step(run, phase, feed)
        return programs[str(run.config), phase]

    return lambda patch: patch.setattr(wiring.Run, "make_step", make_once)


@pytest.fixture(scope="module")
def finished(module_config, tmp_path_factory, share_programs):
    """The workdir of one run of the tiny proposal, and its last state."""
    workdir = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        share_programs(patch)
        return workdir, train(module_config, workdir)


def _lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_a_run_takes_every_step_and_reports_every_phase(finished):
    workdir, state = finished
    assert state.step == 9
    phases = [(2, "f"), (3, "f"), (4, "f_m"), (6, "f_m"), (8, "f+f_b"), (9, "f+f_b")]
    assert [(line["step"], line["phase"]) for line in _lines(workdir)] == phases
    assert sorted(path.name for path in (workdir / "checkpoints").iterdir()) == ["8", "9"]
    assert list(background_strips.read(workdir)) == [6, 8, 9]  # before f_b's first step, and after


class _KilledError(Exception):
    pass


def _die_after(config, workdir, stop):
    """The process of a run dies after a step."""
    save = checkpoints.save

    def save_and_die(manager, train_state, *rest, **options):
        if train_state.step > stop:
            raise _KilledError
        save(manager, train_state, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "save", save_and_die)
        with pytest.raises(_KilledError):
            train(config, workdir)


@pytest.mark.parametrize("stop", [1, 5, 7])
def test_a_killed_run_continues_bit_for_bit(finished, module_config, tmp_path, monkeypatch, share_programs, stop):
    """The process dies after step `stop`: in phase 1 before any checkpoint, in phase 2, in phase 3."""
    share_programs(monkeypatch)
    _die_after(module_config, tmp_path, stop)
    kept = stop // 2 * 2
    with checkpoints.open_manager(tmp_path) as manager:
        assert manager.latest_step() == (kept or None)
    assert same_bits(train(module_config, tmp_path), finished[1])
    steps = [line["step"] for line in _lines(tmp_path)]
    assert steps == sorted(set(steps))
    assert steps[-1] == 9


def test_a_killed_run_of_muon_continues_bit_for_bit(finished, module_config, tmp_path, monkeypatch, share_programs):
    share_programs(monkeypatch)
    config = module_config.copy_and_resolve_references()
    config.muon = ("f", "f_b")
    whole = train(config, tmp_path / "whole")
    assert not same_bits(whole.params, finished[1].params)
    _die_after(config, tmp_path / "killed", 7)
    assert same_bits(train(config, tmp_path / "killed"), whole)


def test_a_flipped_byte_in_the_newest_checkpoint_costs_its_steps_alone(
    finished, module_config, tmp_path, monkeypatch, caplog, share_programs
):
    share_programs(monkeypatch)
    workdir = shutil.copytree(finished[0], tmp_path / "run")
    data = max((workdir / "checkpoints" / "9" / "state" / "d").iterdir(), key=lambda path: path.stat().st_size)
    flip(data, data.stat().st_size // 2, 16)
    x = sources.load(module_config.data).test.images
    before = load_predictor(workdir)(x)
    assert caplog.text.count("checkpoint 9 of") == 1
    assert same_bits(train(module_config, workdir), finished[1])
    np.testing.assert_array_equal(load_predictor(workdir)(x), load_predictor(finished[0])(x))
    assert np.abs(before - load_predictor(workdir)(x)).max() > 0  # it was the one before


def test_a_second_training_in_a_workdir_is_refused_before_it_changes_anything(finished, module_config):
    def times():
        return {path: path.stat().st_mtime_ns for path in workdir.rglob("*") if path.is_file()}

    workdir = finished[0]
    with ownership.own(workdir):
        before = times()
        with pytest.raises(InputError, match=rf"another training writes: process {os.getpid()} on"):
            train(module_config, workdir)
        assert times() == before


def test_a_run_whose_workdir_is_taken_saves_no_more(module_config, tmp_path, monkeypatch, share_programs):
    share_programs(monkeypatch)
    record = progress.Progress.record

    def lose(report, step, *rest):
        record(report, step, *rest)
        if step == 3:
            (tmp_path / ownership.OWNER).unlink()

    monkeypatch.setattr(progress.Progress, "record", lose)
    with pytest.raises(FileNotFoundError, match="it is gone, and perhaps the workdir with it"):
        train(module_config, tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["2"]


def test_a_finished_run_trains_no_further(finished, module_config):
    workdir, state = finished
    assert same_bits(train(module_config, workdir), state)


def test_a_program_with_x64_trains_the_same(finished, module_config, tmp_path):
    with jax.enable_x64(True):
        state = train(module_config, tmp_path)
        assert jnp.zeros(1).dtype == jnp.float64  # as it was
    assert same_bits(state, finished[1])


def test_other_settings_of_jax_train_the_same(finished, module_config, tmp_path):
    with (
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
        jax.default_prng_impl("rbg"),
    ):
        state = train(module_config, tmp_path)
    assert same_bits(state, finished[1])


def test_another_config_on_the_same_workdir_is_refused(finished, module_config):
    with pytest.raises(ValueError, match=r"config.seed is 1, but the run in this workdir was started with 0"):
        train(changed(module_config, seed=1), finished[0])


def test_a_batch_larger_than_the_data_is_refused(module_config, tmp_path):
    with pytest.raises(ValueError, match="config.batch_size is 64; allowed: up to 48 images"):
        train(changed(module_config, batch_size=64), tmp_path)


@pytest.mark.parametrize("switch", ["noise", "nonzero", "joint", "attention", "photographs", "families"])
def test_the_other_switches_train(module_config, tmp_path, switch):
    config = changed(module_config, schedule=("f+f_b:1",))
    config.mask.kind = "nonzero"
    if switch == "attention":
        config.method, config.schedule = "attention", ("f+f_l:1", "f_l:1")
    if switch == "photographs":
        io.imsave(tmp_path / "wall.png", np.full((80, 90), 128, np.uint8), check_contrast=False)
        config.background.update({"kind": "black", "photographs": str(tmp_path), "pictured_share": 0.5})
    if switch == "families":
        config.background.update({"families": ("ramp", "plain"), "pictured_share": 0.25})
    if switch == "noise":
        config.background.kind = "noise"
    if switch == "nonzero":
        config.schedule, config.mask.binarize = ("f:1", "f+f_b:1"), "none"
    if switch == "joint":
        config.schedule, config.mask.kind, config.mask.binarize = ("f+f_m:1", "f+f_m+f_b:1"), "learned", "otsu"
    config.steps = len(config.schedule)
    final = train(config, tmp_path / "run")
    assert final.step == config.steps
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(final.params))


def test_several_seeds_are_trained_together_and_resumed(finished, module_config, tmp_path):
    workdir, state = finished
    config = changed(module_config, seeds=(0, 4))
    train(config, tmp_path)
    again = train(config, tmp_path)  # restores the stacked state and takes no step
    assert again.step == 9
    for a, b in zip(jax.tree.leaves(again.params), jax.tree.leaves(state.params), strict=True):
        # Adam divides by the gradient's own size, so a weight without a gradient moves by what rounding makes of it.
        assert np.linalg.norm(a[0] - b) <= 1e-4 * np.linalg.norm(b) + 1e-6
    lines, alone = _lines(tmp_path), _lines(workdir)
    assert [len(line["loss"]) for line in lines if "loss" in line] == [2] * 4
    assert lines[0]["loss"][0] == pytest.approx(alone[0]["loss"], rel=1e-4)
    assert lines[0]["loss"][0] != pytest.approx(lines[0]["loss"][1], rel=1e-4)
    x = sources.load(config.data).test.images
    first, own, other = (
        load_predictor(folder, seed=seed)(x) for folder, seed in ((tmp_path, None), (workdir, 0), (tmp_path, 4))
    )
    np.testing.assert_allclose(first, own, rtol=1e-2, atol=1e-3)
    assert np.abs(first - other).max() > 0.05
