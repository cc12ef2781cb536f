"""The searches against answers worked out by hand."""

import dataclasses

import jax
import numpy as np
import pytest

from bginv_jax.evaluation import black_box, search, white_box
from bginv_jax.tasks.classification import CLASSIFICATION
from tests.evaluation.foolable import BUDGETS, COUNT, SIZE, WEIGHTS, bent, labels_of, linear

LOSS_ALONE = dataclasses.replace(CLASSIFICATION, margin=None)


def worst_linear(x, masks, targets, budget):
    """Every pixel of the background moves against its weight, or with it, as far as it may."""
    against = np.where(targets == 1, -1, 1)[:, None, None, None] * np.sign(WEIGHTS)
    return np.where(masks > 0, x, np.clip(x + budget * against, 0, 1))


@pytest.mark.parametrize("budget", BUDGETS[1:])
def test_the_worst_background_of_a_linear_predictor_is_found(x, masks, budget):
    targets = labels_of(linear, x)
    expected = worst_linear(x, masks, targets, budget)
    found = white_box.projected_gradient(linear, x, masks, targets, budgets=(budget,), steps=10, restarts=1)
    np.testing.assert_allclose(found.images, expected, atol=1e-6)
    np.testing.assert_array_equal(found.right[0], labels_of(linear, expected) == targets)
    margin = np.asarray(linear(expected))[:, 1] * np.where(targets == 1, 1, -1)
    np.testing.assert_allclose(found.loss[0], np.log1p(np.exp(-margin)), rtol=1e-4)


def test_accuracy_over_the_budget_is_that_of_the_closed_form(x, masks):
    targets = labels_of(linear, x)
    targets[0] = 1 - targets[0]  # mistaken as it is
    found = white_box.projected_gradient(linear, x, masks, targets, budgets=BUDGETS, steps=10)
    expected = [labels_of(linear, worst_linear(x, masks, targets, budget)) == targets for budget in BUDGETS]
    np.testing.assert_array_equal(found.right, expected)
    assert found.right[0].tolist() == [False] + [True] * 6
    assert found.right.sum(axis=1)[-1] < 3
    np.testing.assert_array_equal(found.images[0], x[0])
    first = found.right.argmin(axis=0)  # the smallest budget that was enough
    for i in np.flatnonzero(~found.right[-1]):
        assert np.abs(found.images[i] - x[i]).max() == pytest.approx(BUDGETS[first[i]], abs=1e-6) or first[i] == 5


def test_projected_gradient_stays_within_budget_range_and_mask_and_never_gets_better(x, masks):
    targets = labels_of(bent, x)
    for budget in (0.1, 0.4):
        found = white_box.projected_gradient(bent, x, masks, targets, budgets=(budget,), steps=5)
        assert 0 <= found.images.min() <= found.images.max() <= 1
        assert 0.9 * budget < np.abs(found.images - x).max() <= budget + 1e-6
        kept = np.broadcast_to(masks > 0, x.shape)
        np.testing.assert_array_equal(found.images[kept], x[kept])
    found = white_box.projected_gradient(bent, x, masks, targets, budgets=BUDGETS, steps=5)
    assert (np.diff(found.right.astype(int), axis=0) <= 0).all()
    still = found.right[1:]
    assert (found.loss[1:] >= found.loss[:-1])[still].all()
    assert found.right[0].all()
    assert not found.right[-1].all()
    np.testing.assert_array_equal(labels_of(bent, found.images) == targets, found.right[-1])


def test_margins_are_climbed_where_the_loss_is_flat(x, masks):
    """Logits so far apart that the cross-entropy is 0 in float32, and so is its gradient, until they have swapped."""

    def sure(x):
        return 1e4 * linear(x)

    targets = labels_of(sure, x)
    expected = worst_linear(x, masks, targets, 0.3)
    options = {"budgets": (0.3,), "steps": 10, "restarts": 1}
    blind = white_box.projected_gradient(sure, x, masks, targets, task=LOSS_ALONE, **options)
    assert blind.right[0].all()
    found = white_box.projected_gradient(sure, x, masks, targets, **options)
    np.testing.assert_array_equal(found.right[0], labels_of(sure, expected) == targets)
    assert not found.right[0].all()


def test_restarts_only_add(x, masks):
    targets = labels_of(bent, x)
    options = {"budgets": (0.02,), "steps": 2, "task": LOSS_ALONE}
    one, three = (white_box.projected_gradient(bent, x, masks, targets, restarts=n, **options) for n in (1, 3))
    assert (three.right <= one.right).all()
    assert (three.loss >= one.loss)[three.right].all()
    assert (three.loss > one.loss)[three.right].any()


@pytest.mark.parametrize("name", ["gradient", "random", "evolution"])
def test_what_is_found_follows_from_the_seed_and_not_from_the_chunk(x, masks, name):
    targets = labels_of(bent, x)
    backgrounds = np.random.RandomState(2).rand(4, SIZE, SIZE, 1).astype(np.float32)

    def run(x, masks, targets, seed, chunk):
        if name == "gradient":
            return white_box.projected_gradient(
                bent, x, masks, targets, budgets=(0.02,), steps=2, restarts=3, seed=seed, task=LOSS_ALONE, chunk=chunk
            )
        if name == "random":
            return black_box.worst_of(bent, x, masks, targets, backgrounds, chunk=chunk)
        return black_box.evolve(bent, x, masks, targets, generations=3, children=2, seed=seed, chunk=chunk)

    whole = run(x, masks, targets, 0, 100)
    for other, count in ((run(x, masks, targets, 0, 4), COUNT), (run(x[:4], masks[:4], targets[:4], 0, 100), 4)):
        np.testing.assert_array_equal(other.right, whole.right[:, :count])
        np.testing.assert_allclose(other.loss, whole.loss[:, :count], rtol=1e-4)
        np.testing.assert_allclose(other.images, whole.images[:count], atol=1e-5)
    again, seeded = run(x, masks, targets, 0, 100), run(x, masks, targets, 1, 100)
    np.testing.assert_array_equal(again.images, whole.images)
    assert (seeded.images != whole.images).any() == (name != "random")


def test_worst_of_is_brute_force(x, masks):
    targets = labels_of(bent, x)
    backgrounds = np.random.RandomState(3).rand(9, SIZE, SIZE, 1).astype(np.float32) ** 3
    found = black_box.worst_of(bent, x, masks, targets, backgrounds, chunk=4)
    composed = np.stack([np.where(masks > 0, x, background) for background in backgrounds])
    logits = np.stack([np.asarray(bent(one)) for one in composed])
    loss = np.log(np.exp(logits).sum(axis=-1)) - logits[:, np.arange(COUNT), targets]
    right = logits.argmax(axis=-1) == targets
    assert 0 < right.sum() < right.size
    np.testing.assert_array_equal(found.right, np.logical_and.accumulate(right))
    rank = np.where(right, loss, 100 + loss)  # what is mistaken is worse than what is not
    np.testing.assert_array_equal(found.images, composed[rank.argmax(axis=0), np.arange(COUNT)])
    for k in range(9):
        best = rank[: k + 1].argmax(axis=0)
        np.testing.assert_allclose(found.loss[k], loss[best, np.arange(COUNT)], rtol=1e-4)


def test_a_mistake_is_worse_than_a_higher_loss_that_is_none():
    def predict(x):  # by the grey of the background: class 0 of 0.4, 0.3, 0.3, or class 1 of 0.45, 0.55, 0
        shares = np.where(x[:, 0, 0] < 0.5, [[0.4, 0.3, 0.3]], [[0.45, 0.55, 1e-6]])
        return np.log(shares).astype(np.float32)

    x, masks = np.full((1, 8, 8, 1), 0.5, np.float32), np.zeros((1, 8, 8, 1))
    greys = [np.full((8, 8, 1), grey, np.float32) for grey in (0.2, 0.8, 0.3)]
    found = black_box.worst_of(predict, x, masks, np.zeros(1, int), greys)
    assert found.right[:, 0].tolist() == [True, False, False]
    np.testing.assert_allclose(found.loss[:, 0], -np.log([0.4, 0.45, 0.45]), rtol=1e-4)
    np.testing.assert_allclose(found.images, 0.8)


@pytest.mark.parametrize("channels", [1, 3])
def test_evolution_gets_worse_within_the_background(channels):
    x = np.random.RandomState(0).rand(5, 16, 16, channels).astype(np.float32)
    masks = np.zeros((5, 16, 16, 1), bool)
    masks[:, 4:10, 4:10] = True
    weights = np.random.RandomState(1).randn(16, 16, channels).astype(np.float32)

    def predict(x):
        total = np.asarray(x * weights).sum(axis=(1, 2, 3))
        return np.stack([np.zeros(len(x), np.float32), total], axis=1)

    targets = labels_of(predict, x)
    found = black_box.evolve(predict, x, masks, targets, generations=8, children=4)
    assert found.right.shape == found.loss.shape == (8, 5)
    assert (np.diff(found.loss, axis=0) >= 0).all()  # of two classes, a mistake always has the higher loss
    assert (found.loss[-1] > found.loss[0]).all()
    assert (np.diff(found.right.astype(int), axis=0) <= 0).all()
    kept = np.broadcast_to(masks, x.shape)
    np.testing.assert_array_equal(found.images[kept], x[kept])
    assert 0 <= found.images.min() <= found.images.max() <= 1
    assert (found.images[:, 0].std(axis=-1).max() > 0.01) == (channels == 3)
    clean = search.clean(predict, found.images, masks, targets)
    np.testing.assert_array_equal(clean.right[0], found.right[-1])
    np.testing.assert_allclose(clean.loss[0], found.loss[-1], rtol=1e-5)


@pytest.mark.parametrize("name", ["projected_gradient", "evolve"])
def test_a_program_with_x64_finds_the_same(x, masks, name):
    targets = labels_of(bent, x)
    options = {"projected_gradient": {"budgets": (0.1,), "steps": 2, "restarts": 2}, "evolve": {"generations": 2}}
    search_for = {"projected_gradient": white_box.projected_gradient, "evolve": black_box.evolve}[name]
    expected = search_for(bent, x, masks, targets, **options[name])
    with jax.enable_x64(True):
        found = search_for(bent, x.astype(np.float64), masks, targets, **options[name])
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
