"""The families of random backgrounds: what each draws, how they are split, and that none is a test pattern."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.backgrounds import development, families, shapes
from bginv_jax.backgrounds import patterns as backgrounds


@pytest.mark.parametrize("name", families.FAMILIES)
def test_a_family_fills_its_range_and_varies(name):
    drawn = families.draw([name], 24, size=32, seed=3)
    assert drawn.shape == (24, 32, 32, 1)
    assert drawn.dtype == np.float32
    assert np.isfinite(drawn).all()
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert drawn.max() > 0.6
    assert len({one.tobytes() for one in drawn}) == 24
    varied = drawn.std(axis=(1, 2, 3)) > 0.01  # of two random greys one in twelve pairs is closer than that
    assert varied.mean() == 0 if name == "plain" else varied.mean() > 0.7


def test_development_and_report_share_nothing():
    assert [*families.DEVELOPMENT, *families.REPORT] == list(families.FAMILIES)[:22]  # whatever is added
    assert not set(families.DEVELOPMENT) & set(families.REPORT)
    assert sorted(families.DEVELOPMENT) == sorted(name for fold in families.FOLDS for name in fold)
    assert len(families.DEVELOPMENT) == 12
    assert len(families.REPORT) == 10


def test_no_draw_for_training_looks_like_a_test_pattern():
    """The closest of 1,200 draws shares less than 70 % of its variance with any pattern, however it is moved."""
    drawn = families.draw(families.DEVELOPMENT, 100, size=32, seed=0)[..., 0]
    drawn = drawn - drawn.mean(axis=(1, 2), keepdims=True)
    drawn /= np.maximum(np.linalg.norm(drawn, axis=(1, 2), keepdims=True), 1e-6)
    for name, draw in backgrounds.BACKGROUNDS.items():
        pattern = draw(32) - draw(32).mean()
        pattern /= max(np.linalg.norm(pattern), 1e-6)
        correlation = np.fft.ifft2(np.fft.fft2(drawn) * np.conj(np.fft.fft2(pattern))).real  # at every shift
        assert np.abs(correlation).max() ** 2 < 0.7, name


def test_draws_follow_from_family_and_seed_alone():
    alone = families.draw(["cells"], 3, size=32, seed=5)
    np.testing.assert_array_equal(families.draw(["plain", "cells"], 3, size=32, seed=5)[3:], alone)
    np.testing.assert_array_equal(families.draw(["cells"], 45, size=32, seed=5)[:3], alone)
    assert not np.array_equal(families.draw(["cells"], 3, size=32, seed=6), alone)


def test_colours_lie_between_two():
    drawn = families.draw(["ramp"], 2, size=16, channels=3, seed=0)
    assert drawn.shape == (2, 16, 16, 3)
    for picture in drawn.reshape(2, -1, 3):
        values = np.linalg.svd(picture - picture.mean(axis=0), compute_uv=False)
        assert values[1] < 1e-4 * values[0]  # a line in the space of colours


def test_a_stroke_of_the_pen_is_where_its_points_are_and_as_wide_as_it_says():
    level = jnp.array([[0.5, 0.1, 0.5, 0.5, 0.5, 0.9, 0.0]])  # rows 16, from column 0 to 32: half a pixel wide
    ink = shapes.pen(level, 32)
    np.testing.assert_allclose(ink.sum(axis=0)[2:-2], 0.5, atol=1e-4)  # two rows, each 0.5 from the middle, 0.25 each
    wide = shapes.pen(level.at[0, 6].set(1.0), 32)
    np.testing.assert_allclose(wide.sum(axis=0)[4:-4], 4.0, atol=1e-4)
    both = shapes.pen(jnp.concatenate([level, level.at[:, ::2].add(0.2)]), 32)
    assert float(both.sum()) > 1.5 * float(ink.sum())


def test_a_larger_size_shows_the_same_picture():
    small, large = (np.asarray(development.cells(jax.random.key(0), size)) for size in (32, 64))
    assert np.mean(np.abs(large.reshape(32, 2, 32, 2).mean(axis=(1, 3)) - small) < 0.05) > 0.75
