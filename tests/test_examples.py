"""The examples run, and do what they say."""

import dataclasses
import importlib.util
import inspect
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from flax import linen as nn
from sklearn.datasets import load_digits

import bginv_jax
from bginv_jax.data.sources import SOURCES
from bginv_jax.tasks.registry import TASKS
from tests.conftest import call_door

EXAMPLES = Path(__file__).parents[1] / "examples"


def _load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_loop_of_ones_own_learns_to_ignore_backgrounds():
    """f alone falls to chance before the poster's test backgrounds; with f_m and f_b it reads bars before all."""
    alone, masked, *painted = _load("own_loop").main(steps=120, batch_size=16)
    unseen = [name for name in bginv_jax.BACKGROUNDS if name != "none"]
    before, after = (np.mean([right[name] for name in unseen]) for right in (alone, painted[-1]))
    assert alone["none"] > 0.9
    assert painted[-1]["none"] > 0.9
    assert after > before + 0.2
    assert alone == masked  # f is held still while f_m learns


def test_a_loop_of_ones_own_keeps_the_averages_of_its_network(monkeypatch):
    loop, stored = _load("own_loop"), []

    class Normalised(nn.Module):
        @nn.compact
        def __call__(self, x, *, train):
            x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x + 3)
            return nn.Dense(3)(x.reshape(x.shape[0], -1))

    def make(*networks, **options):
        method = bginv_jax.make_proposal(*networks, **options)

        def predict(variables, images):
            stored.append(float(variables["f"]["batch_stats"]["BatchNorm_0"]["mean"][0]))
            return method.predict(variables, images)

        return dataclasses.replace(method, predict=predict)

    names = {name: getattr(bginv_jax, name) for name in bginv_jax.__all__}
    monkeypatch.setattr(loop, "MyNetwork", Normalised)
    monkeypatch.setattr(loop, "bi", SimpleNamespace(**names | {"make_proposal": make}))
    loop.main(steps=60, batch_size=16)
    assert stored[0] == pytest.approx(3 * (1 - 0.9**10), rel=0.1)  # after ten steps; the images are nearly black
    assert stored[-1] == pytest.approx(3, rel=0.3)


def test_public_names_are_there_documented_and_imported_only_when_asked_for():
    in_order = sorted(set(bginv_jax.__all__), key=lambda name: (not name.isupper(), name))  # constants first, as ruff
    assert in_order == bginv_jax.__all__
    assert set(bginv_jax.__all__) <= set(dir(bginv_jax))
    for name in bginv_jax.__all__:
        value = getattr(bginv_jax, name)
        assert f"`{name}`" in bginv_jax.__doc__
        assert inspect.getdoc(value) if not isinstance(value, dict) else value


@pytest.fixture
def submit(tmp_path):
    """Runs submit.slurm as a job whose srun notes what it should run and ends with `status`; returns it and notes."""
    for tool, then in (("srun", 'exit "$STATUS"'), ("scontrol", "")):
        program = tmp_path / tool
        program.write_text(f'#!/bin/sh\nfor word in {tool} "$@"; do echo "$word" >> "$NOTES"; done\n{then}\n')
        program.chmod(0o755)

    def run(*flags, status=0, **job):
        notes = tmp_path / "notes"
        notes.write_text("")
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "STATUS": str(status), "NOTES": str(notes)}
        job = {"SLURM_JOB_ID": "77", "SLURM_NTASKS": "1"} | job
        command = [shutil.which("bash"), EXAMPLES / "submit.slurm", *flags]
        ended = subprocess.run(command, env=environment | job, capture_output=True, text=True)
        return ended, notes.read_text().splitlines()

    return run


_SUBMITTED = ("--config=experiments/mnist_5k_vanilla.py", "--workdir=/shared/a run")
_SIXTEEN = {"SLURM_NTASKS": "16", "SLURM_NTASKS_PER_NODE": "8", "SLURM_GPUS_ON_NODE": "8"}


def test_a_job_of_several_processes_trains_one_run(submit):
    ended, words = submit(*_SUBMITTED, **_SIXTEEN)
    assert ended.returncode == 0, ended.stderr
    module = words.index("bginv_jax.train")
    assert words[: module - 1] == ["srun", "--kill-on-bad-exit=1", "--label", ".venv/bin/python"]
    assert words[module + 1 :] == [*_SUBMITTED, "--distributed"]
    refused = call_door("bginv_jax.train", *words[module + 1 :], "--coordinator=a:1")  # all but the last are its flags
    assert refused.stderr.startswith("error: --coordinator is 'a:1' without --process_count")


def test_a_task_of_an_array_trains_its_seed_in_a_folder_of_its_own(submit):
    ended, words = submit(*_SUBMITTED, SLURM_ARRAY_TASK_ID="3")
    assert ended.returncode == 0, ended.stderr
    assert words[-3:] == [_SUBMITTED[0], "--workdir=/shared/a run/seed-3", "--config.seed=3"]


@pytest.mark.parametrize(("status", "requeued"), [(143, ["scontrol", "requeue", "77"]), (1, []), (2, []), (0, [])])
def test_a_job_that_its_scheduler_ends_is_queued_again(submit, status, requeued):
    ended, words = submit(*_SUBMITTED, status=status)
    assert ended.returncode == status
    assert words[words.index(_SUBMITTED[1]) + 1 :] == requeued


def test_gpus_that_no_process_would_take_are_refused(submit):
    ended, words = submit(*_SUBMITTED, **_SIXTEEN | {"SLURM_NTASKS_PER_NODE": "1"})
    assert (ended.returncode, words) == (2, [])
    assert ended.stderr == "error: 1 processes and 8 GPUs a node; expected --ntasks-per-node to be --gpus-per-node\n"


def test_slurm_signals_the_processes_in_time_for_a_checkpoint():
    text = (EXAMPLES / "submit.slurm").read_text()
    assert "\n#SBATCH --signal=TERM@60\n" in text
    assert "\n#SBATCH --requeue\n" in text
    assert subprocess.run(["bash", "-n", EXAMPLES / "submit.slurm"]).returncode == 0


def test_a_task_of_ones_own_goes_from_arrays_to_a_table(tmp_path, monkeypatch, capsys):
    for registry, name in ((SOURCES, "counts"), (TASKS, "counting")):
        monkeypatch.setitem(registry, name, None)  # what the example enters is taken out again
    own_task = _load("own_task")
    records = own_task.main(tmp_path, steps=9)
    table = capsys.readouterr().out
    assert table.count("The mean count") == 2  # a table for each measure
    assert "Count error" in table
    assert "Exactly right (%)" in table
    assert len(records) == 3 * len(bginv_jax.BACKGROUNDS)
    assert (tmp_path / "predictions.png").is_file()
    images, targets = own_task.my_arrays(load_digits().images[1200:], 500, seed=1)
    found = {(one["method"], one["background"]): one for one in records}
    for method in ("vanilla", "proposal"):
        counts = np.exp(bginv_jax.load_predictor(tmp_path / method)(images)[:, 0])
        assert found[method, "none"]["count_error"] == pytest.approx(np.abs(counts - targets).mean(), rel=1e-3)
        assert found[method, "none"]["exactly_right"] == pytest.approx(
            100 * (counts.round() == targets).mean(), abs=0.5
        )
    mean = own_task.my_arrays(load_digits().images[:1200], 2000, seed=0)[1].mean()
    assert found["The mean count", "random"]["count_error"] == pytest.approx(np.abs(mean - targets).mean(), rel=1e-4)


def test_the_loss_of_counts_is_least_where_they_are_right():
    loss = _load("own_task").my_loss
    found = np.asarray(loss(np.log(np.array([[2.0], [3.0], [4.0]])), np.full(3, 3.0)))
    np.testing.assert_allclose(found, [2 - 3 * np.log(2), 3 - 3 * np.log(3), 4 - 3 * np.log(4)], rtol=1e-5)
    assert found.argmin() == 1
