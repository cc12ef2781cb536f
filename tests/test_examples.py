"""The examples run, and do what they say."""

import importlib.util
import inspect
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import bginv_jax
from bginv_jax.data.sources import SOURCES
from bginv_jax.tasks.registry import TASKS

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


def test_public_names_are_there_documented_and_imported_only_when_asked_for():
    assert sorted(bginv_jax.__all__) == bginv_jax.__all__
    assert set(bginv_jax.__all__) <= set(dir(bginv_jax))
    for name in bginv_jax.__all__:
        value = getattr(bginv_jax, name)
        assert f"`{name}`" in bginv_jax.__doc__
        assert inspect.getdoc(value) if not isinstance(value, dict) else value


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
