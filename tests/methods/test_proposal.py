"""The proposal's objective against values worked out by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.config import default_config
from bginv_jax.data.dataset import Description
from bginv_jax.errors import InputError
from bginv_jax.images.compose import Variation
from bginv_jax.methods import registry
from bginv_jax.methods.contract import Layout
from bginv_jax.methods.masking import MaskOptions
from bginv_jax.methods.proposal import make_proposal
from bginv_jax.networks.contract import flax_network
from bginv_jax.networks.generators import MaskGenerator
from bginv_jax.tasks.contract import Task
from tests.methods.toys import (
    F_B,
    F_M,
    HALF,
    KEYS,
    SQUARES,
    F,
    X,
    batch,
    fixed,
    gradients,
    noted,
    objective,
    scalar,
    source,
)

MASK = MaskOptions(binarize="none", area=0.2, area_weight=3.0, variation_weight=0.5)


def _method(f=F, f_m=F_M, f_b=F_B, task=SQUARES, *, variation=None, brightness_weight=2.0):
    variation = Variation() if variation is None else variation
    return make_proposal(f, f_m, f_b, task, mask=MASK, variation=variation, brightness_weight=brightness_weight)


def _proposal():
    method = _method()
    return method, method.init(jax.random.key(0))


def _outputs_as_loss(measure):
    """A task whose loss is what the network gives."""
    return Task(1, loss=lambda outputs, targets: outputs, measures=measure, shown="close")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"active": "f_b"}, "active is 'f_b'; expected a tuple of some of f, f_m, f_b"),
        ({"active": ("f", "g")}, r"active is \('f', 'g'\); expected a tuple of some of f, f_m, f_b"),
        ({"keys": jax.random.key(0)}, r"keys are \(\); expected one for each of 2 images, jax.random.split\(key, N\)"),
        ({"masks": None}, "the batch has no masks; expected Method.ready_masks"),
        ({"layout": (0, 2)}, r"the batch's layout is \(0, 2\); expected a Layout of 2 images"),
        ({"layout": Layout(kept=1)}, "the batch's layout is Layout.*; expected a Layout of 2 images"),
        (
            {"active": ("f_m",), "border_weight": 1.0},
            "the batch has no likeness; with a border_weight expected images.b",
        ),
    ],
)
def test_what_does_not_fit_together_is_said(change, message):
    """As a loop of one's own may have it."""
    change = dict(change)
    mask = MASK._replace(border_weight=change.pop("border_weight", 0.0))
    method = make_proposal(F, F_M, F_B, SQUARES, mask=mask, variation=Variation())
    active, keys = change.pop("active", ("f", "f_b")), change.pop("keys", KEYS)
    given = dataclasses.replace(batch(masks=HALF), **change)
    with pytest.raises(InputError, match=message):
        method.objective(keys, method.init(jax.random.key(0)), given, active)


def test_raw_keys_are_keys():
    method, networks = _proposal()
    raw = jax.random.split(jax.random.PRNGKey(0), 2)
    loss, _ = objective(method, networks, batch(masks=HALF), ("f", "f_b"), keys=raw)
    assert loss == objective(method, networks, batch(masks=HALF), ("f", "f_b"))[0]
    with pytest.raises(InputError, match=r"keys are \(2,\); expected one for each of 2 images"):
        objective(method, networks, batch(masks=HALF), ("f", "f_b"), keys=raw[0])


def test_mask_phase_by_hand():
    method, networks = _proposal()
    loss, metrics = objective(method, networks, batch(), ("f_m",))
    masked = ((2 * 0.5 * 0.4 - 1) ** 2 + (2 * 0.5 * 0.8 - 2) ** 2) / 2
    assert metrics["mask_loss"] == pytest.approx(masked)
    assert metrics["mask_area"] == 0.5
    assert metrics["mask_contrast"] == 0
    assert loss == pytest.approx(masked + 3.0 * (0.5 - 0.2))  # a flat mask has no variation
    slopes = gradients(method, networks, batch(), ("f_m",))
    by_hand = 2 * ((0.4 - 1) * 0.8 + (0.8 - 2) * 1.6) / 2 + 3.0
    assert slopes["f_m"] == pytest.approx(by_hand)
    assert slopes["f"] == 0  # the mask learns from f, f does not learn from the mask
    assert slopes["f_b"] == 0


def test_what_f_m_hides_is_filled():
    method, networks = _proposal()
    _, metrics = objective(method, networks, batch(fill=jnp.full((2, 2, 1), 0.6)), ("f_m",))
    assert metrics["mask_loss"] == pytest.approx(((2 * 0.5 - 1) ** 2 + (2 * 0.7 - 2) ** 2) / 2)


def test_mask_below_its_area_costs_nothing_more():
    method, networks = _proposal()
    networks["f_m"] = {"params": jnp.float32(0.1)}
    loss, metrics = objective(method, networks, batch(), ("f_m",))
    assert loss == pytest.approx(float(metrics["mask_loss"]))


def test_mask_variation_by_hand():
    method = _method(f_m=scalar(1, lambda w, x: w * HALF))
    loss, metrics = objective(method, method.init(jax.random.key(0)), batch(), ("f_m",))
    assert loss == pytest.approx(float(metrics["mask_loss"]) + 3.0 * 0.3 + 0.5 * (2 / 4))


def test_a_mask_is_told_what_looks_like_the_border_by_cross_entropy():
    method = make_proposal(F, F_M, F_B, SQUARES, mask=MASK._replace(border_weight=4.0), variation=Variation())
    assert method.takes_likeness
    assert not _method().takes_likeness
    networks = method.init(jax.random.key(0))
    likeness = jnp.array([1.0, 0.5, 0.0, 0.0]).reshape(1, 2, 2, 1).repeat(2, axis=0)
    loss, metrics = objective(method, networks, batch(likeness=likeness), ("f_m",))
    assert loss == pytest.approx(float(metrics["mask_loss"]) + 3.0 * (0.5 - 0.2) + 4.0 * np.log(2), rel=1e-5)
    slope = gradients(method, networks, batch(likeness=likeness), ("f_m",))["f_m"]
    told = 4.0 * (2 + 0 - 2 - 2) / 4  # of -log(1 - m), of both, of -log(m) twice; m is a half
    assert float(slope) == pytest.approx(
        float(gradients(_method(), networks, batch(), ("f_m",))["f_m"]) + told, rel=1e-5
    )


@pytest.mark.parametrize(("value", "back"), [(0.0, -1), (1.0, 1)])
def test_a_mask_that_is_the_same_everywhere_is_drawn_back(value, back):
    """A sigmoid's slope there is nearly none, a cross-entropy's much."""
    saturated = scalar(30 * (2 * value - 1) / 2, lambda w, x: jnp.broadcast_to(jax.nn.sigmoid(w), (*x.shape[:3], 1)))
    likeness = jnp.tile(jnp.array([1.0, 0.0]).reshape(1, 2, 1, 1), (2, 1, 2, 1))
    slopes = []
    for weight in (0.0, 1.0):
        mask = MASK._replace(border_weight=weight, variation_weight=0.0)
        method = make_proposal(F, saturated, F_B, SQUARES, mask=mask, variation=Variation())
        networks = method.init(jax.random.key(0))
        slopes.append(float(gradients(method, networks, batch(likeness=likeness), ("f_m",))["f_m"]))
    assert abs(slopes[0]) < 1e-5
    assert slopes[1] * back > 0.05


def test_adversarial_phase_by_hand():
    method, networks = _proposal()
    first_kept = batch(masks=HALF, kept=1)
    value, metrics = objective(method, networks, first_kept, ("f", "f_b"))
    composed = (0.8 + 0.75) / 2
    loss = ((2 * 0.4 - 1) ** 2 + (2 * composed - 2) ** 2) / 2
    assert metrics["loss"] == pytest.approx(loss)
    assert value == pytest.approx(loss - 2.0 * 0.25)  # f_b pays for a background brighter than 0.5
    slopes = gradients(method, networks, first_kept, ("f", "f_b"))
    assert slopes["f"] == pytest.approx((2 * (0.8 - 1) * 0.4 + 2 * (2 * composed - 2) * composed) / 2)
    assert slopes["f_b"] == pytest.approx(2 * (2 * composed - 2) * 2 * 0.5 / 2 - 2.0)
    assert slopes["f_m"] == 0


def test_backgrounds_of_three_channels_may_be_bright():
    method = _method(f_b=F_B._replace(draw=lambda key: jnp.ones((2, 2, 3))))
    coloured = batch(jnp.tile(X, (1, 1, 1, 3)), masks=HALF)
    value, metrics = objective(method, method.init(jax.random.key(0)), coloured, ("f", "f_b"))
    assert value == metrics["loss"]


def test_what_f_b_paints_is_recoloured_and_pictures_are_not():
    """Grey 0.75 is inverted or not, and f_b ascends through the inversion."""
    method = make_proposal(F, F_M, F_B, SQUARES, mask=MASK, variation=Variation(), recoloured=True)
    networks = method.init(jax.random.key(0))
    seen = set()
    for seed in range(8):
        keys = jax.random.split(jax.random.key(seed), 2)
        halves = batch(masks=HALF, pictured=1, pictures=jnp.zeros((1, 2, 2, 1)))
        _, metrics = objective(method, networks, halves, ("f", "f_b"), keys)
        seen.add(round(2 * float(metrics["loss"]) - (2 * 0.4 / 2 - 1) ** 2, 4))
    assert seen == {round((2 * (0.8 + shade) / 2 - 2) ** 2, 4) for shade in (0.75, 0.25)}


def test_joint_step_is_the_sum_and_composites_send_the_mask_no_gradient():
    method, networks = _proposal()
    joint, metrics = objective(method, networks, batch(), ("f", "f_m", "f_b"))
    mask_alone, _ = objective(method, networks, batch(), ("f_m",))
    frozen = batch(masks=jnp.full((2, 2, 2, 1), 0.5))
    adversarial, _ = objective(method, networks, frozen, ("f", "f_b"))
    assert joint == pytest.approx(float(mask_alone + adversarial))
    assert metrics.keys() == {"loss", "above", "mask_loss", "mask_area", "mask_contrast"}
    both = gradients(method, networks, batch(), ("f", "f_m", "f_b"))
    adversarial_slopes = gradients(method, networks, frozen, ("f", "f_b"))
    assert both["f_m"] == gradients(method, networks, batch(), ("f_m",))["f_m"]
    assert both["f"] == adversarial_slopes["f"]
    assert both["f_b"] == adversarial_slopes["f_b"]


def test_pictures_stand_behind_the_first_objects_and_f_b_paints_the_rest():
    method, networks = _proposal()
    behind = jnp.full((1, 2, 2, 1), 0.1)
    _, metrics = objective(method, networks, batch(masks=HALF, pictured=1, pictures=behind), ("f", "f_b"))
    pictured, painted = (0.4 + 0.1) / 2, (0.8 + 0.75) / 2
    assert metrics["loss"] == pytest.approx(((2 * pictured - 1) ** 2 + (2 * painted - 2) ** 2) / 2)
    only = batch(X[:1], jnp.ones(1), masks=HALF[:1], pictured=1, pictures=behind)
    assert gradients(method, networks, only, ("f",))["f_b"] == 0


@pytest.mark.parametrize("active", [("f",), ("f_m",), ("f", "f_b"), ("f_b",), ("f", "f_m", "f_b")])
def test_networks_that_train_are_told_and_draw_apart(active):
    """f that f_m learns from, and f that f_b alone works against, are as in prediction; their variables stay."""
    seen = []
    networks = {name: noted(network, seen, name) for name, network in (("f", F), ("f_m", F_M), ("f_b", F_B))}
    painter = source(networks["f_b"], F_B.draw)
    method = _method(networks["f"], networks["f_m"], painter)
    keys = jax.random.split(jax.random.key(3), 2)
    _, (_, changed) = method.objective(keys, method.init(keys[0]), batch(masks=HALF), active)
    trained = [(name, key) for name, train, key in seen if train]
    assert sorted(name for name, _ in trained) == sorted(active)
    assert len({str(key) for _, key in trained}) == len(active)
    assert {name: int(variables["times"]) for name, variables in changed.items() if name in active} == dict.fromkeys(
        active, 1
    )
    assert all(variables["times"] == 0 for name, variables in changed.items() if name not in active)


def test_halo_grows_each_mask_by_its_own_radius():
    shape = (64, 9, 9, 1)
    point = jnp.zeros(shape).at[:, 4, 4].set(1.0)
    black = fixed(lambda x: (x == 0).sum(axis=(1, 2, 3)).astype(jnp.float32))
    task = _outputs_as_loss(lambda outputs, targets: {"close": jnp.isin(outputs, targets[0])})
    painter = source(fixed(lambda z: z), lambda key: jnp.ones(shape[1:]))
    method = _method(black, F_M, painter, task, variation=Variation(halo=3))
    kept = jnp.tile(jnp.array([1, 5, 13, 29]), (64, 1))  # pixels of disks of radius 0 to 3
    keys = jax.random.split(jax.random.key(1), 64)
    points = batch(jnp.zeros(shape), kept, masks=point)
    _, metrics = objective(method, method.init(keys[0]), points, ("f", "f_b"), keys)
    assert metrics["close"] == 1
    assert 10 < metrics["loss"] < 14  # (1 + 5 + 13 + 29) / 4 = 12


def test_targets_of_composites_are_of_what_their_masks_show():
    """Of an image that keeps its background they stay, and f_m learns from whole ones."""
    seen = dataclasses.replace(SQUARES, visible=lambda targets, masks: targets * masks.mean(axis=(1, 2, 3)))
    method, networks = _method(task=seen), _method().init(jax.random.key(0))
    _, metrics = objective(method, networks, batch(masks=HALF, kept=1), ("f", "f_b"))
    composed = (0.8 + 0.75) / 2
    assert metrics["loss"] == pytest.approx(((2 * 0.4 - 1) ** 2 + (2 * composed - 2 * 0.5) ** 2) / 2)
    _, joint = objective(method, networks, batch(), ("f", "f_m", "f_b"))
    _, alone = objective(_method(), networks, batch(), ("f_m",))
    assert joint["mask_loss"] == alone["mask_loss"]


def test_what_masks_show_is_what_is_left_after_they_grew():
    shape = (32, 9, 9, 1)
    black = fixed(lambda x: (x == 0).sum(axis=(1, 2, 3)).astype(jnp.float32))
    task = _outputs_as_loss(lambda outputs, targets: {"close": outputs == targets})
    task = dataclasses.replace(task, visible=lambda targets, masks: masks.sum(axis=(1, 2, 3)))
    painter = source(fixed(lambda z: z), lambda key: jnp.ones(shape[1:]))
    method = _method(black, F_M, painter, task, variation=Variation(halo=3))
    points = batch(jnp.zeros(shape), jnp.zeros(32), masks=jnp.zeros(shape).at[:, 4, 4].set(1.0))
    keys = jax.random.split(jax.random.key(1), 32)
    _, metrics = objective(method, method.init(keys[0]), points, ("f", "f_b"), keys)
    assert metrics["close"] == 1
    assert metrics["loss"] > 5


def test_nonzero_masks_need_no_network():
    config = default_config()
    config.mask.kind = "nonzero"
    method = registry.make_method(config, Description("toy", (12, 12, 3), 16, ("a", "b"), 4, 4, ""))
    x = jnp.zeros((1, 16, 16, 3)).at[0, 3, 4, 2].set(0.1)
    masks = method.predict_mask({"f_m": {"params": {}}}, x)
    assert masks.shape == (1, 16, 16, 1)
    assert masks.sum() == 1
    assert masks[0, 3, 4, 0] == 1


def _inked(share, backgrounds, count):
    """The metrics of composites where outputs are the means of images, and targets are given."""
    painter = source(fixed(lambda z: backgrounds), lambda key: jnp.ones((2, 2, 1)))
    close = _outputs_as_loss(lambda outputs, targets: {"close": jnp.abs(outputs - targets) < 1e-6})
    varied = Variation(ink_share=share, ink_contrast=0.25)
    f = fixed(lambda x: x.mean(axis=(1, 2, 3)))
    method = _method(f, F_M, painter, close, variation=varied, brightness_weight=0.0)
    keys, white = jax.random.split(jax.random.key(1), count), jnp.ones((count, 2, 2, 1))
    masks = jnp.tile(HALF[:1], (count, 1, 1, 1))

    @jax.jit
    def measure(targets):
        return objective(method, method.init(keys[0]), batch(white, targets, masks=masks), ("f", "f_b"), keys)[1]

    return measure


def test_the_ink_of_an_object_is_the_background_before():
    """Backgrounds are 0, 0.5 and 1; half of each image is ink, of the texture 1, 0 and 0.5 in turn."""
    backgrounds = jnp.array([0.0, 0.5, 1.0]).reshape(3, 1, 1, 1) * jnp.ones((1, 2, 2, 1))
    ink = jnp.array([1.0, 0.0, 0.375])  # 1 of [0.25, 1]; 0 of [0, 0.25] and [0.75, 1]; half of [0, 0.75]
    measures = _inked(1.0, backgrounds, 3)((ink + jnp.array([0.0, 0.5, 1.0])) / 2)
    assert measures["close"] == 1


def test_a_share_of_the_composites_is_inked():
    backgrounds = jnp.zeros((400, 2, 2, 1))  # ink is 0.25, and a composite's mean 0.125; 0.5 without ink
    quarter = _inked(0.25, backgrounds, 400)
    inked, whole = (float(quarter(jnp.full(400, mean))["close"]) for mean in (0.125, 0.5))
    assert inked + whole == 1
    assert 0.18 < inked < 0.32
    assert _inked(0.0, backgrounds, 400)(jnp.full(400, 0.5))["close"] == 1


def test_ink_changes_no_other_draw():
    """Backgrounds are the same, noise and moves."""
    shape = (16, 9, 9, 1)
    point = jnp.zeros(shape).at[:, 4, 4].set(1.0)
    painter = source(fixed(lambda z: z), lambda key: jax.random.uniform(key, shape[1:]))
    f = fixed(lambda x: x[:, :2, :2].mean(axis=(1, 2, 3)))  # where no object is
    task = _outputs_as_loss(lambda outputs, targets: {"close": outputs})
    keys = jax.random.split(jax.random.key(1), 16)
    values = []
    for share in (0.0, 1.0):
        method = _method(f, F_M, painter, task, variation=Variation(halo=2, move=True, ink_share=share))
        values.append(objective(method, method.init(keys[0]), batch(point, point, masks=point), ("f", "f_b"), keys)[0])
    np.testing.assert_array_equal(*values)


def test_f_m_may_look_at_a_smaller_image():
    """Its mask is that of the image resized to mask.size, resized back; the networks beside it see all of the image."""
    config = default_config()
    description = Description("photographs", (32, 32, 3), 32, ("a", "b"), 9, 9, "")
    whole = registry.make_method(config, description)
    config.mask.size = 16
    small = registry.make_method(config, description)
    f_m = jax.eval_shape(small.init, jax.random.key(0))["f_m"]
    assert jax.tree.map(jnp.shape, f_m) != jax.tree.map(jnp.shape, jax.eval_shape(whole.init, jax.random.key(0))["f_m"])
    x = jax.random.uniform(jax.random.key(1), (2, 32, 32, 3))
    network = flax_network(MaskGenerator(), (16, 16, 3))
    variables = jax.jit(network.init)(jax.random.key(2))
    # The image halved: bilinear, and blurred first, so each pixel is of four by four with weights 1, 3, 3, 1.
    weights = (
        jnp.zeros((16, 34))
        .at[jnp.arange(16)[:, None], 2 * jnp.arange(16)[:, None] + jnp.arange(4)]
        .set(jnp.array([1.0, 3.0, 3.0, 1.0]))[:, 1:33]
    )
    weights /= weights.sum(axis=1, keepdims=True)
    halved = jnp.einsum("ip,jq,npqc->nijc", weights, weights, x)
    masks, _ = jax.jit(network.apply)(variables, halved)
    expected = jax.image.resize(masks, (2, 32, 32, 1), "linear")
    np.testing.assert_allclose(jax.jit(small.predict_mask)({"f_m": variables}, x), expected, atol=1e-5)


def test_f_m_sees_no_larger_image_than_there_is():
    config = default_config()
    config.mask.size = 64
    description = Description("digits", (28, 28, 1), 32, ("a", "b"), 9, 9, "")
    with pytest.raises(InputError, match="config.mask.size is 64; allowed for digits: up to 32 pixels"):
        registry.make_method(config, description)
    config.mask.size = 32
    registry.make_method(config, description)
