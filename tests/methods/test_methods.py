"""The objectives against values worked out by hand, with networks small enough to do so."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from bginv_jax.config import default_config
from bginv_jax.methods import registry
from bginv_jax.methods.attention import make_attention
from bginv_jax.methods.contract import Batch
from bginv_jax.methods.proposal import make_proposal
from bginv_jax.methods.tasks import CLASSIFICATION, Task, classification
from bginv_jax.methods.vanilla import make_vanilla
from bginv_jax.networks.contract import BackgroundSource, Network

MASK = ConfigDict(
    {"binarize": "none", "area": 0.2, "area_weight": 3.0, "variation_weight": 0.5, "halo": 0, "erosion": 0}
)
BACKGROUND = ConfigDict({"brightness_weight": 2.0, "move": False, "ink_share": 0.0, "ink_contrast": 0.25})

# f is a weight times the mean of the image, f_m is one value everywhere, f_b likewise: all scalars.
F = Network(lambda key: jnp.float32(2), lambda w, x: w * x.mean(axis=(1, 2, 3)))
F_M = Network(lambda key: jnp.float32(0.5), lambda w, x: jnp.broadcast_to(w, (*x.shape[:3], 1)))
F_B = BackgroundSource(
    lambda key: jnp.float32(0.75), lambda key: jnp.ones((2, 2, 1)), lambda w, z: jnp.broadcast_to(w, z.shape)
)
SQUARES = Task(lambda outputs, targets: (outputs - targets) ** 2, lambda outputs, targets: outputs > targets)
KEYS = jax.random.split(jax.random.key(0), 2)
X = jnp.stack([jnp.full((2, 2, 1), 0.4), jnp.full((2, 2, 1), 0.8)])
Y = jnp.array([1.0, 2.0])
HALF = jnp.tile(jnp.array([[1.0, 0.0], [1.0, 0.0]]).reshape(1, 2, 2, 1), (2, 1, 1, 1))


def _proposal():
    method = make_proposal(F, F_M, F_B, SQUARES, mask=MASK, background=BACKGROUND)
    return method, method.init(jax.random.key(0))


def _gradients(method, params, batch, active):
    return jax.grad(lambda p: method.objective(KEYS, p, batch, active)[0])(params)


def test_vanilla_is_the_mean_loss_of_f():
    method = make_vanilla(F, SQUARES)
    loss, metrics = method.objective(KEYS, {"f": jnp.float32(2)}, Batch(X, None, Y, 0), ("f",))
    assert loss == pytest.approx((0.2**2 + 0.4**2) / 2)
    assert metrics["accuracy"] == 0
    np.testing.assert_allclose(method.predict({"f": jnp.float32(2)}, X), [0.8, 1.6], rtol=1e-6)


def test_classification_loss_and_score():
    logits, labels = jnp.array([[0.0, jnp.log(3.0)], [2.0, 0.0]]), jnp.array([0, 0])
    np.testing.assert_allclose(CLASSIFICATION.loss(logits, labels), [np.log(4), np.log1p(np.exp(-2))], rtol=1e-6)
    assert CLASSIFICATION.score(logits, labels).tolist() == [False, True]


def test_smoothed_labels_by_hand():
    logits = jnp.array([[0.0, jnp.log(3.0), 0.0]])  # probabilities 0.2, 0.6, 0.2
    expected = -(0.9 + 0.1 / 3) * np.log(0.2) - 0.1 / 3 * (np.log(0.6) + np.log(0.2))
    task = classification(0.1)
    np.testing.assert_allclose(task.loss(logits, jnp.array([0])), [expected], rtol=1e-6)
    assert task.score(logits, jnp.array([1])).tolist() == [True]


def test_mask_phase_by_hand():
    method, params = _proposal()
    loss, metrics = method.objective(KEYS, params, Batch(X, None, Y, 0), ("f_m",))
    masked = ((2 * 0.5 * 0.4 - 1) ** 2 + (2 * 0.5 * 0.8 - 2) ** 2) / 2
    assert metrics["mask_loss"] == pytest.approx(masked)
    assert metrics["mask_area"] == 0.5
    assert metrics["mask_contrast"] == 0
    assert loss == pytest.approx(masked + 3.0 * (0.5 - 0.2))  # a flat mask has no variation
    gradients = _gradients(method, params, Batch(X, None, Y, 0), ("f_m",))
    by_hand = 2 * ((0.4 - 1) * 0.8 + (0.8 - 2) * 1.6) / 2 + 3.0
    assert gradients["f_m"] == pytest.approx(by_hand)
    assert gradients["f"] == 0  # the mask learns from f, f does not learn from the mask
    assert gradients["f_b"] == 0


def test_what_f_m_hides_is_filled():
    method, params = _proposal()
    fill = jnp.full((2, 2, 1), 0.6)
    _, metrics = method.objective(KEYS, params, Batch(X, None, Y, 0, fill=fill), ("f_m",))
    assert metrics["mask_loss"] == pytest.approx(((2 * 0.5 - 1) ** 2 + (2 * 0.7 - 2) ** 2) / 2)


def test_mask_below_its_area_costs_nothing_more():
    method, params = _proposal()
    params["f_m"] = jnp.float32(0.1)
    loss, metrics = method.objective(KEYS, params, Batch(X, None, Y, 0), ("f_m",))
    assert loss == pytest.approx(float(metrics["mask_loss"]))


def test_mask_variation_by_hand():
    variegated = Network(lambda key: jnp.float32(1), lambda w, x: w * HALF)
    method = make_proposal(F, variegated, F_B, SQUARES, mask=MASK, background=BACKGROUND)
    params = method.init(jax.random.key(0))
    loss, metrics = method.objective(KEYS, params, Batch(X, None, Y, 0), ("f_m",))
    assert loss == pytest.approx(float(metrics["mask_loss"]) + 3.0 * 0.3 + 0.5 * (2 / 4))


def test_adversarial_phase_by_hand():
    method, params = _proposal()
    batch = Batch(X, HALF, Y, 1)  # the first image stays plain
    value, metrics = method.objective(KEYS, params, batch, ("f", "f_b"))
    composed = (0.8 + 0.75) / 2
    loss = ((2 * 0.4 - 1) ** 2 + (2 * composed - 2) ** 2) / 2
    assert metrics["loss"] == pytest.approx(loss)
    assert value == pytest.approx(loss - 2.0 * 0.25)  # f_b pays for a background brighter than 0.5
    gradients = _gradients(method, params, batch, ("f", "f_b"))
    assert gradients["f"] == pytest.approx((2 * (0.8 - 1) * 0.4 + 2 * (2 * composed - 2) * composed) / 2)
    assert gradients["f_b"] == pytest.approx(2 * (2 * composed - 2) * 2 * 0.5 / 2 - 2.0)
    assert gradients["f_m"] == 0


def test_backgrounds_of_three_channels_may_be_bright():
    x, m = jnp.tile(X, (1, 1, 1, 3)), HALF
    source = F_B._replace(draw=lambda key: jnp.ones((2, 2, 3)))
    method = make_proposal(F, F_M, source, SQUARES, mask=MASK, background=BACKGROUND)
    value, metrics = method.objective(KEYS, method.init(jax.random.key(0)), Batch(x, m, Y, 0), ("f", "f_b"))
    assert value == metrics["loss"]


def test_joint_step_is_the_sum_and_composites_send_the_mask_no_gradient():
    method, params = _proposal()
    batch = Batch(X, None, Y, 0)
    joint, metrics = method.objective(KEYS, params, batch, ("f", "f_m", "f_b"))
    mask_alone, _ = method.objective(KEYS, params, batch, ("f_m",))
    frozen = Batch(X, jnp.full((2, 2, 2, 1), 0.5), Y, 0)
    adversarial, _ = method.objective(KEYS, params, frozen, ("f", "f_b"))
    assert joint == pytest.approx(float(mask_alone + adversarial))
    assert metrics.keys() == {"loss", "accuracy", "mask_loss", "mask_area", "mask_contrast"}
    both = _gradients(method, params, batch, ("f", "f_m", "f_b"))
    assert both["f_m"] == _gradients(method, params, batch, ("f_m",))["f_m"]
    assert both["f"] == _gradients(method, params, frozen, ("f", "f_b"))["f"]
    assert both["f_b"] == _gradients(method, params, frozen, ("f", "f_b"))["f_b"]


def test_halo_grows_each_mask_by_its_own_radius():
    mask = ConfigDict(MASK.to_dict() | {"halo": 3})
    shape = (64, 9, 9, 1)
    point = jnp.zeros(shape).at[:, 4, 4].set(1.0)
    source = BackgroundSource(lambda key: {}, lambda key: jnp.ones(shape[1:]), lambda params, z: z)
    seen = Network(lambda key: {}, lambda params, x: (x == 0).sum(axis=(1, 2, 3)).astype(jnp.float32))
    task = Task(lambda outputs, targets: outputs, lambda outputs, targets: jnp.isin(outputs, targets[0]))
    method = make_proposal(seen, F_M, source, task, mask=mask, background=BACKGROUND)
    kept = jnp.tile(jnp.array([1, 5, 13, 29]), (64, 1))  # pixels of disks of radius 0 to 3
    keys = jax.random.split(jax.random.key(1), 64)
    _, metrics = method.objective(keys, method.init(keys[0]), Batch(jnp.zeros(shape), point, kept, 0), ("f", "f_b"))
    assert metrics["accuracy"] == 1
    assert 10 < metrics["loss"] < 14  # (1 + 5 + 13 + 29) / 4 = 12


def test_nonzero_masks_need_no_network():
    config = default_config()
    config.mask.kind = "nonzero"
    method = registry.make_method(config, {"size": 16, "shape": [12, 12, 3], "class_names": ["a", "b"]})
    x = jnp.zeros((1, 16, 16, 3)).at[0, 3, 4, 2].set(0.1)
    masks = method.predict_mask({"f_m": {}}, x)
    assert masks.shape == (1, 16, 16, 1)
    assert masks.sum() == 1
    assert masks[0, 3, 4, 0] == 1


def test_pictures_stand_behind_the_first_objects_and_f_b_paints_the_rest():
    method, params = _proposal()
    behind = jnp.full((1, 2, 2, 1), 0.1)
    _, metrics = method.objective(KEYS, params, Batch(X, HALF, Y, 0, behind), ("f", "f_b"))
    pictured, painted = (0.4 + 0.1) / 2, (0.8 + 0.75) / 2
    assert metrics["loss"] == pytest.approx(((2 * pictured - 1) ** 2 + (2 * painted - 2) ** 2) / 2)
    gradients = _gradients(method, params, Batch(X[:1], HALF[:1], Y[:1], 0, behind), ("f",))
    assert gradients["f_b"] == 0


def _inked(share, backgrounds, count):
    """The mean loss and the score of composites where outputs are the means of images, and targets are given."""
    source = BackgroundSource(lambda key: {}, lambda key: jnp.ones((2, 2, 1)), lambda params, z: backgrounds)
    seen = Network(lambda key: {}, lambda params, x: x.mean(axis=(1, 2, 3)))
    close = Task(lambda outputs, targets: outputs, lambda outputs, targets: jnp.abs(outputs - targets) < 1e-6)
    settings = ConfigDict(BACKGROUND.to_dict() | {"brightness_weight": 0.0, "ink_share": share})
    method = make_proposal(seen, F_M, source, close, mask=MASK, background=settings)
    keys, white = jax.random.split(jax.random.key(1), count), jnp.ones((count, 2, 2, 1))
    masks = jnp.tile(HALF[:1], (count, 1, 1, 1))

    def measure(targets):
        batch = Batch(white, masks, targets, 0)
        return method.objective(keys, method.init(keys[0]), batch, ("f", "f_b"))[1]

    return measure


def test_the_ink_of_an_object_is_the_background_before():
    """Backgrounds are 0, 0.5 and 1; half of each image is ink, of the texture 1, 0 and 0.5 in turn."""
    backgrounds = jnp.array([0.0, 0.5, 1.0]).reshape(3, 1, 1, 1) * jnp.ones((1, 2, 2, 1))
    ink = jnp.array([1.0, 0.0, 0.375])  # 1 of [0.25, 1]; 0 of [0, 0.25] and [0.75, 1]; half of [0, 0.75]
    measures = _inked(1.0, backgrounds, 3)((ink + jnp.array([0.0, 0.5, 1.0])) / 2)
    assert measures["accuracy"] == 1


def test_a_share_of_the_composites_is_inked():
    backgrounds = jnp.zeros((400, 2, 2, 1))  # ink is 0.25, and a composite's mean 0.125; 0.5 without ink
    inked, whole = (float(_inked(0.25, backgrounds, 400)(jnp.full(400, mean))["accuracy"]) for mean in (0.125, 0.5))
    assert inked + whole == 1
    assert 0.18 < inked < 0.32
    assert _inked(0.0, backgrounds, 400)(jnp.full(400, 0.5))["accuracy"] == 1


def test_ink_changes_no_other_draw():
    """Backgrounds are the same, noise and moves."""
    shape = (16, 9, 9, 1)
    point = jnp.zeros(shape).at[:, 4, 4].set(1.0)
    source = BackgroundSource(lambda key: {}, lambda key: jax.random.uniform(key, shape[1:]), lambda params, z: z)
    outputs = Network(lambda key: {}, lambda params, x: x[:, :2, :2].mean(axis=(1, 2, 3)))  # where no object is
    found = []
    for share in (0.0, 1.0):
        settings = ConfigDict(BACKGROUND.to_dict() | {"move": True, "ink_share": share})
        task = Task(lambda outputs, targets: outputs, lambda outputs, targets: outputs)
        mask = ConfigDict(MASK.to_dict() | {"halo": 2})
        method = make_proposal(outputs, F_M, source, task, mask=mask, background=settings)
        keys = jax.random.split(jax.random.key(1), 16)
        found.append(method.objective(keys, {"f": {}, "f_b": {}}, Batch(point, point, point, 0), ("f", "f_b"))[0])
    assert found[0] == found[1]


def _attention():
    """f sums to w times the mean; its maps are the image; f_l adds its weight, the crop's mean and the maps' mean."""
    f_l = Network(lambda key: jnp.float32(0.5), lambda w, pair: w + pair[0].mean(axis=(1, 2, 3)) + pair[1].sum(axis=-1))
    return make_attention(F, lambda params, x: x, f_l, SQUARES, threshold=0.7)


def test_attention_by_hand():
    method = _attention()
    params = method.init(jax.random.key(0))
    x = jnp.zeros((2, 4, 4, 1)).at[0, 1:3, 2:4].set(1.0)  # one image with an object, one with nothing to look at
    batch = Batch(x, None, jnp.array([1.0, 1.0]), 0)
    heat, boxes = method.attend(params, x)
    assert boxes.tolist() == [[1, 2, 3, 4], [0, 0, 4, 4]]
    assert heat[0].sum() == 4
    np.testing.assert_allclose(method.predict(params, x), [0.5 + 1.0 + 0.25, 0.5])
    loss, metrics = method.objective(KEYS, params, batch, ("f_l",))
    assert loss == pytest.approx((0.75**2 + 0.5**2) / 2)
    assert metrics["loss"] == loss
    alone, _ = method.objective(KEYS, params, batch, ("f",))
    assert alone == pytest.approx(((2 * 0.25 - 1) ** 2 + 1) / 2)
    joint, _ = method.objective(KEYS, params, batch, ("f", "f_l"))
    assert joint == pytest.approx(float(loss + alone))


def test_the_global_network_does_not_learn_from_the_local_one():
    scaled = Network(lambda key: jnp.float32(2), lambda w, x: w * x.mean(axis=(1, 2, 3)))
    f_l = Network(lambda key: jnp.float32(0.5), lambda w, pair: w * pair[1].sum(axis=-1))
    method = make_attention(scaled, lambda params, x: params * x, f_l, SQUARES, threshold=0.7)
    gradients = _gradients(method, method.init(jax.random.key(0)), Batch(X, None, Y, 0), ("f_l",))
    assert gradients["f"] == 0
    assert gradients["f_l"] != 0
