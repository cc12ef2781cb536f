"""The stand-ins for other domains, pixel by pixel, and the table that is drawn of them."""

import itertools
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bginv_jax import load_predictor
from bginv_jax.data import domains, sources
from bginv_jax.data.dataset import resize
from bginv_jax.evaluation import predictors
from bginv_jax.images.pixels import crop_to
from tests.conftest import write_workdir

TABLE = Path(__file__).parents[2] / "experiments" / "single_source_table.py"


def test_a_blend_is_the_absolute_difference_of_a_white_digit_and_a_crop():
    row, column = np.indices((9, 7))
    photograph = np.stack([20 * row, 30 * column, np.full((9, 7), 200)], axis=-1).astype(np.uint8)
    digits = np.zeros((40, 4, 4, 1), np.uint8)
    digits[:, 1, 2] = 255
    digits[:, 3, 3] = 100
    places = set()
    for blended in domains.blend(digits, [photograph], seed=0):
        assert blended.shape == (4, 4, 3)
        top, left = blended[0, 0, 0] // 20, blended[0, 0, 1] // 30  # each place tells where it is from
        crop = photograph[top : top + 4, left : left + 4].astype(int)
        expected = crop.copy()
        expected[1, 2] = 255 - crop[1, 2]
        expected[3, 3] = 255 - crop[3, 3]  # white, however grey it was
        np.testing.assert_array_equal(blended, expected)
        places.add((int(top), int(left)))
    assert {top for top, _ in places} == set(range(6))  # 0 to 9 - 4: the last row too
    assert {left for _, left in places} == set(range(4))


def test_a_blend_uses_all_photographs_and_follows_the_seed():
    photographs = [np.full((8, 8, 3), value, np.uint8) for value in (10, 20, 30)]
    digits = np.zeros((30, 4, 4, 3), np.uint8)
    blended = domains.blend(digits, photographs, seed=1)
    assert set(np.unique(blended)) == {10, 20, 30}
    np.testing.assert_array_equal(blended, domains.blend(digits, photographs, seed=1))
    assert (blended != domains.blend(digits, photographs, seed=2)).any()
    with pytest.raises(ValueError, match="a photograph has 8x3 pixels; expected at least 4x4"):
        domains.blend(digits, [*photographs, np.zeros((8, 3, 3), np.uint8)], seed=0)


def test_a_digit_fills_its_box_and_keeps_its_aspect():
    digits = np.zeros((4, 28, 28, 1), np.uint8)
    digits[0, 4:24, 3:13] = 200  # 20 high, 10 wide: 16 and 8
    digits[1, 10:14, 20:28] = 120  # 4 high, 8 wide: 8 and 16, at the edge
    digits[2, 5:21, 7:23] = np.arange(256).reshape(16, 16, 1).clip(1)  # 16x16 already
    boxes = domains.fill_box(digits)
    assert boxes.shape == (4, 16, 16, 1)
    expected = np.zeros((16, 16))
    expected[:, 4:12] = 200
    np.testing.assert_array_equal(boxes[0, ..., 0], expected)
    expected = np.zeros((16, 16))
    expected[4:12] = 120
    np.testing.assert_array_equal(boxes[1, ..., 0], expected)
    np.testing.assert_array_equal(boxes[2], digits[2, 5:21, 7:23])
    assert not boxes[3].any()


def test_soft_strokes_keep_their_ink_and_lose_their_edge():
    digits = np.zeros((1, 28, 28, 1), np.uint8)
    digits[0, 6:22, 12:14] = 255  # a stroke, 16 high: two columns of the box
    digits[0, 6, 6] = digits[0, 6, 21] = 1  # and the box is 16 wide
    (hard,), (soft,) = (domains.fill_box(digits, softness=softness) for softness in (0.0, 0.7))
    assert set(np.unique(hard)) == {0, 1, 255}
    weights = np.exp(-0.5 * (np.arange(-3, 4) / 0.7) ** 2)
    weights /= weights.sum()
    row = np.convolve((hard[8, :, 0] == 255) * 255.0, weights, "same")
    np.testing.assert_allclose(soft[8, :, 0], row, atol=1.5)
    assert abs(soft.mean() - hard.mean()) < 1


def test_a_stroke_is_drawn_again_with_a_pen_of_each_width():
    digits = np.zeros((3, 28, 28, 1), np.uint8)
    digits[0, 12:15, 4:24] = 255  # 3 pixels wide, around row 13
    digits[1, 4:24, 9:14] = 180  # 5 wide and grey, around column 11
    thin, own, wide = domains.redraw(digits, widths=(1, 3, 5))
    for drawn, width in ((thin, 1), (own, 3), (wide, 5)):
        assert drawn.shape == (3, 28, 28, 1)
        rows, columns = drawn[0, :, 8:20, 0] / 255, drawn[1, 8:20, :, 0] / 255  # away from the ends
        np.testing.assert_allclose(rows.sum(axis=0), width, atol=0.01)
        np.testing.assert_allclose(columns.sum(axis=1), width, atol=0.01)
        np.testing.assert_allclose((rows * np.arange(28)[:, None]).sum(axis=0) / rows.sum(axis=0), 13, atol=0.01)
        np.testing.assert_allclose((columns * np.arange(28)).sum(axis=1) / columns.sum(axis=1), 11, atol=0.01)
        assert not drawn[2].any()
    assert thin.max() > 200  # white, whatever grey it was
    assert wide.max() == 255


def test_pens_of_another_width_change_the_ink_and_not_the_place(mnist_5k):
    digits = crop_to(mnist_5k.test.images[::50], (28, 28))
    drawn = domains.redraw(digits, widths=domains.PEN_WIDTHS)
    ink = [pen.mean(axis=(1, 2, 3)) for pen in drawn]
    assert all((more > less).all() for less, more in itertools.pairwise(ink))
    assert (ink[1] < digits.mean(axis=(1, 2, 3))).mean() > 0.5
    assert (ink[2] > digits.mean(axis=(1, 2, 3))).mean() > 0.8
    thin = drawn[0] > 127
    assert (digits[thin] > 127).mean() > 0.95  # along the middle of the strokes


def test_domains_have_the_size_of_training(mnist_5k):
    digits = crop_to(mnist_5k.test.images[::50], (28, 28))
    plain = domains.make(digits, size=32)
    assert list(plain) == ["mnist", "usps", "pen_1", "pen_2", "pen_4", "pen_5"]
    for width, pen in zip(domains.PEN_WIDTHS, domains.redraw(digits, widths=domains.PEN_WIDTHS), strict=True):
        np.testing.assert_array_equal(plain[f"pen_{width}"], resize(pen, 32).repeat(3, axis=-1))
    grey = np.full((40, 50, 3), 77, np.uint8)
    made = domains.make(digits, size=32, photographs=[grey])
    for images in made.values():
        assert images.shape == (20, 32, 32, 3)
        assert images.dtype == np.uint8
    blended = np.where(digits > 0, np.uint8(255 - 77), np.uint8(77)).repeat(3, axis=-1)
    np.testing.assert_array_equal(made["mnist_m"], resize(blended, 32))  # at 28 pixels, then resized as all are
    ink = made["usps"][..., 0] > 64
    sides = np.maximum(ink.any(axis=2).sum(axis=1), ink.any(axis=1).sum(axis=1))
    assert sides.min() >= 30  # the box is full in one direction; MNIST's digits have 20 of 28 pixels
    assert (made["mnist"][..., 0] > 64).any(axis=2).sum(axis=1).max() < 26


def test_the_table_sets_stand_ins_beside_the_literature():
    table = runpy.run_path(str(TABLE))["table"]
    record = {"method": "proposal", "seed": 3, "stand_in": True, "accuracy": 81.26}
    others = [record | {"domain": "mnist", "accuracy": 99.0}, record | {"domain": "pen_1", "accuracy": 95.56}]
    cells = table({"runs/a": [record | {"domain": "mnist_m"}, *others]})
    assert cells == [
        ["Accuracy (%)", "MNIST", "MNIST-M stand-in", "USPS stand-in", *(f"A pen of {w} px" for w in (1, 2, 4, 5))],
        ["runs/a, proposal, seed 3", "99.0", "81.3", "-", "95.6", "-", "-", "-"],
        ["Pro-RandConv (Choi et al. 2023), real sets", "-", "82.3", "93.7", "-", "-", "-", "-"],
        ["MetaCNN (Wan et al. 2022), real sets", "-", "88.3", "89.6", "-", "-", "-", "-"],
    ]


def test_a_trained_lenet_is_scored_on_every_domain(tiny_config, tmp_path):
    tiny_config.method, tiny_config.classifier = "vanilla", "lenet"
    tiny_config.data.update({"image_size": 32, "channels": 3})
    tiny_config.schedule, tiny_config.steps = ("f:4",), 4
    write_workdir(tiny_config, tmp_path / "run")
    score = runpy.run_path(str(TABLE))["score"]
    records = score(tmp_path / "run", [np.zeros((32, 32, 3), np.uint8)])
    pens = [f"pen_{width}" for width in domains.PEN_WIDTHS]
    assert [record["domain"] for record in records] == ["mnist", "mnist_m", "usps", *pens]
    assert [record["stand_in"] for record in records] == [False, True, True, *[False] * len(domains.PEN_WIDTHS)]
    test = sources.load(tiny_config.data).test
    assert test.images.shape == (21, 32, 32, 3)
    right = load_predictor(tmp_path / "run")(test.images).argmax(axis=-1) == test.targets
    assert 0 < right.sum() < 21
    assert records[0]["correct"] == records[1]["correct"] == right.sum()  # a black photograph changes nothing
    for record in records:
        assert record["count"] == 21
        assert record["accuracy"] == 100 * record["correct"] / 21


def test_a_workdir_of_other_images_is_refused(monkeypatch):
    trained = SimpleNamespace(description=SimpleNamespace(shape=(28, 28, 1)))
    monkeypatch.setattr(predictors, "load_seeds", lambda workdir: [trained])
    with pytest.raises(ValueError, match=r"runs/a was trained on images \(28, 28, 1\); expected \(32, 32, 3\)"):
        runpy.run_path(str(TABLE))["score"]("runs/a", [])
