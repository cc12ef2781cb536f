"""The search for each image's worst background, by hand and against every corner of a small one."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.images.compose import Variation
from bginv_jax.methods.ascent import Ascent, ascend, draw_shares
from bginv_jax.methods.masking import MaskOptions
from bginv_jax.methods.proposal import make_proposal
from tests.methods.toys import F_B, F_M, HALF, KEYS, SQUARES, F, batch, fixed, gradients, objective, weights


def _keys(count):
    return jax.random.split(jax.random.key(3), count)


def _ascend(losses, x, composites, m, **ascent):
    return np.asarray(ascend(_keys(len(x)), losses, x, composites, m, Ascent(**ascent)))


def test_a_slope_is_followed_to_the_end_of_each_budget_outside_the_mask():
    x = jnp.full((500, 2, 2, 1), 0.5)
    m = jnp.zeros((500, 2, 2, 1)).at[:, 0, 0].set(1.0)
    signs = jnp.array([[1.0, 1.0], [-1.0, 1.0]])[None, :, :, None]
    worst = _ascend(lambda z: (signs * z).sum(axis=(1, 2, 3)), x, x, m, steps=3, budget=0.4)
    assert (worst[:, 0, 0] == 0.5).all()
    change = (worst - 0.5)[..., 0]
    np.testing.assert_allclose(change[:, 0, 1], -change[:, 1, 0], atol=1e-6)
    np.testing.assert_allclose(change[:, 0, 1], 0.4 * draw_shares(_keys(500)), atol=1e-6)


def test_half_of_the_images_have_the_whole_budget_and_the_others_an_even_share():
    shares = np.asarray(draw_shares(_keys(2000)))
    whole = shares == 1
    assert abs(whole.mean() - 0.5) < 0.04
    np.testing.assert_allclose(np.quantile(shares[~whole], (0.1, 0.5, 0.9)), (0.1, 0.5, 0.9), atol=0.05)


def test_a_search_starts_from_what_was_painted_within_the_budget_and_stays_in_range():
    x = jnp.full((100, 4, 4, 1), 0.1)
    painted = jax.random.uniform(jax.random.key(1), x.shape)
    flat = _ascend(lambda z: jnp.zeros(len(z)), x, painted, jnp.zeros_like(x), steps=2, budget=1.0)
    budgets = np.asarray(draw_shares(_keys(100)))[:, None, None, None]
    np.testing.assert_allclose(flat, np.clip(painted, np.maximum(0, 0.1 - budgets), 0.1 + budgets), atol=1e-6)
    black = _ascend(lambda z: -z.sum(axis=(1, 2, 3)), x, painted, jnp.zeros_like(x), steps=2, budget=1.0)
    np.testing.assert_allclose(black, np.broadcast_to(np.maximum(0, 0.1 - budgets), black.shape), atol=1e-6)


def test_a_search_finds_the_worst_of_all_corners_of_a_curved_loss():
    """Sixteen corners of four pixels; a product of two sums is worst where both have one sign."""
    x = jnp.full((20, 2, 2, 1), 0.5)

    def losses(z):
        row, column = z[:, 0].sum(axis=(1, 2)) - 1, z[:, 1].sum(axis=(1, 2)) - 1
        return row * column + 0.3 * row

    painted = jnp.full_like(x, 0.6)
    worst = _ascend(losses, x, painted, jnp.zeros_like(x), steps=8, budget=0.5)
    budgets = np.asarray(0.5 * draw_shares(_keys(20)))
    corners = np.array(list(itertools.product((-1, 1), repeat=4))).reshape(16, 2, 2, 1)
    for found, budget in zip(worst, budgets, strict=True):
        best = losses(jnp.asarray(0.5 + budget * corners)).max()
        assert losses(jnp.asarray(found)[None])[0] == pytest.approx(float(best), abs=1e-5)


def test_what_was_painted_has_the_gradient_of_where_the_search_ended():
    x, painted = jnp.full((8, 1, 2, 1), 0.5), jnp.full((8, 1, 2, 1), 0.5)
    m = jnp.zeros_like(x).at[:, :, 1].set(1.0)

    def total(b):
        composites = m * x + (1 - m) * b
        return (ascend(_keys(8), lambda z: z.sum(axis=(1, 2, 3)), x, composites, m, Ascent(4, 0.3)) ** 2).sum()

    slopes = np.asarray(jax.grad(total)(painted))
    ends = 0.5 + 0.3 * np.asarray(draw_shares(_keys(8)))
    np.testing.assert_allclose(slopes[:, 0, 0, 0], 2 * ends, rtol=1e-5)
    assert (slopes[:, 0, 1] == 0).all()


def _proposal(steps, f=F):
    ascent = Ascent(steps) if steps else None
    options = {"mask": MaskOptions(), "variation": Variation(), "brightness_weight": 0.0}
    return make_proposal(f, F_M, F_B, SQUARES, ascent=ascent, **options)


def test_only_painted_backgrounds_are_searched_and_the_loss_is_no_smaller():
    pictures = jnp.full((1, 2, 2, 1), 0.3)
    shares = {"kept": 0, "pictured": 1, "masks": HALF, "pictures": pictures}
    losses = {}
    for steps in (0, 4):
        method = _proposal(steps, fixed(lambda x: 2 * x.mean(axis=(1, 2, 3))))
        loss, _ = objective(method, method.init(jax.random.key(0)), batch(**shares), ("f", "f_b"))
        losses[steps] = 2 * float(loss)
    first = (2 * (0.4 + 0.3) / 2 - 1) ** 2  # before its picture, whatever is searched
    budget = float(draw_shares(jax.random.fold_in(KEYS[1], 7)[None])[0])
    low, high = max(0.0, 0.8 - budget), min(1.0, 0.8 + budget)
    start = min(max(0.75, low), high)
    assert losses[0] == pytest.approx(first + (0.8 + 0.75 - 2) ** 2, rel=1e-5)
    assert start >= low
    assert losses[4] == pytest.approx(first + (0.8 + low - 2) ** 2, rel=1e-5)  # darker is worse: 2 is the target


def test_f_b_has_the_slope_of_where_the_search_ended():
    """Of image i: (x + z - t)^2 / 2, z what was found; 0.5, as painted, has a slope where the budget allows it."""
    method = _proposal(3)
    networks = method.init(jax.random.key(0)) | weights(f_b=0.5)
    slopes = gradients(method, networks, batch(masks=HALF), ("f", "f_b"))
    of_b = of_f = 0.0
    for key, x, target in zip(KEYS, (0.4, 0.8), (1.0, 2.0), strict=True):
        budget = float(draw_shares(jax.random.fold_in(key, 7)[None])[0])
        low, high = max(0.0, x - budget), min(1.0, x + budget)
        worst = low if x + (low + high) / 2 < target else high
        of_b += (x + worst - target) * (low < 0.5 < high)
        of_f += (x + worst - target) * (x + worst) / 2
    assert of_b != 0
    assert slopes["f_b"] == pytest.approx(of_b, rel=1e-5)
    assert slopes["f"] == pytest.approx(of_f, rel=1e-5)
    assert slopes["f_m"] == 0
