"""The attention baseline against values worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.config import default_config
from bginv_jax.data.dataset import Description
from bginv_jax.methods import registry
from bginv_jax.methods.attention import make_attention
from tests.methods.toys import SQUARES, F, batch, gradients, noted, objective, scalar

# f sums to w times the mean; its maps are the image; f_l adds its weight, the crop's mean and the maps' mean.
F_L = scalar(0.5, lambda w, pair: w + pair[0].mean(axis=(1, 2, 3)) + pair[1].sum(axis=-1))
LOOK = jnp.zeros((2, 4, 4, 1)).at[0, 1:3, 2:4].set(1.0)  # one image with an object, one with nothing to look at


def test_attention_by_hand():
    method = make_attention(F, lambda variables, x: x, F_L, SQUARES, threshold=0.7)
    networks = method.init(jax.random.key(0))
    heat, boxes = method.attend(networks, LOOK)
    assert boxes.tolist() == [[1, 2, 3, 4], [0, 0, 4, 4]]
    assert heat[0].sum() == 4
    np.testing.assert_allclose(method.predict(networks, LOOK), [0.5 + 1.0 + 0.25, 0.5])
    ones = batch(LOOK, jnp.ones(2))
    loss, metrics = objective(method, networks, ones, ("f_l",))
    assert loss == pytest.approx((0.75**2 + 0.5**2) / 2)
    assert metrics["loss"] == loss
    alone, _ = objective(method, networks, ones, ("f",))
    assert alone == pytest.approx(((2 * 0.25 - 1) ** 2 + 1) / 2)
    joint, _ = objective(method, networks, ones, ("f", "f_l"))
    assert joint == pytest.approx(float(loss + alone))


def test_the_global_network_does_not_learn_from_the_local_one():
    f_l = scalar(0.5, lambda w, pair: w * pair[1].sum(axis=-1))
    method = make_attention(F, lambda variables, x: variables["params"] * x, f_l, SQUARES, threshold=0.7)
    slopes = gradients(method, method.init(jax.random.key(0)), batch(LOOK), ("f_l",))
    assert slopes["f"] == 0
    assert slopes["f_l"] != 0


@pytest.mark.parametrize("active", [("f",), ("f_l",), ("f", "f_l")])
def test_networks_that_train_are_told_and_draw_apart(active):
    seen = []
    networks = {name: noted(network, seen, name) for name, network in (("f", F), ("f_l", F_L))}
    method = make_attention(networks["f"], lambda variables, x: x, networks["f_l"], SQUARES, threshold=0.7)
    keys = jax.random.split(jax.random.key(3), 2)
    _, (_, changed) = method.objective(keys, method.init(keys[0]), batch(LOOK, jnp.ones(2)), active)
    assert [(name, train) for name, train, _ in seen] == [(name, True) for name in active]
    assert len({str(key) for *_, key in seen} - {"None"}) == len(active)
    assert {name: int(variables["times"]) for name, variables in changed.items()} == dict.fromkeys(active, 1)


@pytest.mark.parametrize("side", [64, 112, 224])
def test_it_looks_into_the_maps_of_a_network_for_photographs(side):
    """While f trains, by its batch, f_l looks into f as it predicts; both losses and f's averages come back."""
    config = default_config()
    config.method, config.classifier = "attention", "resnet18"
    classes = ("a", "b", "c")
    description = Description("photographs", (side, side, 3), side, classes, 9, 9, "")
    method = registry.make_method(config, description)

    def step(key, x):
        networks = method.init(key)
        images = batch(x, jnp.zeros(2, jnp.int32))
        loss, (_, changed) = method.objective(jax.random.split(key, 2), networks, images, ("f", "f_l"))
        return networks, loss, changed, method.predict(networks, x), method.attend(networks, x)

    x = jnp.zeros((2, side, side, 3))
    networks, loss, changed, logits, (heat, boxes) = jax.eval_shape(step, jax.random.key(0), x)
    assert (loss.shape, logits.shape, boxes.shape) == ((), (2, 3), (2, 4))
    assert heat.shape == (2, -(-side // 32), -(-side // 32))
    assert networks["f_l"]["params"]["Dense_0"]["kernel"].shape == (512 + 512, 2048)
    assert jax.tree.structure(changed["f"]) == jax.tree.structure(networks["f"])
