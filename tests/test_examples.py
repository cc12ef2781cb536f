"""The examples run, and do what they say."""

import importlib.util
import inspect
from pathlib import Path

import numpy as np

import bginv_jax

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
