"""The classifiers by name, and a Flax module of the user's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.config import default_config, validate
from bginv_jax.data.description import Description
from bginv_jax.errors import InputError
from bginv_jax.methods.contract import Batch, Layout
from bginv_jax.methods.registry import make_method
from bginv_jax.networks.classifiers import CLASSIFIERS, has_maps, is_classifier, make_classifier
from bginv_jax.networks.contract import flax_network
from bginv_jax.networks.generators import MaskGenerator
from bginv_jax.networks.unet import UNet

SOURCE = """
import jax.numpy as jnp
from flax import linen as nn

class Small(nn.Module):
    classes: int

    @nn.compact
    def __call__(self, x, *, truncated=False):
        return x if truncated else nn.Dense(self.classes)(x.mean(axis=(1, 2)))

class Wide(Small):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2 * self.classes)(x.mean(axis=(1, 2)))

class Lost(nn.Module):
    pass

class Torn(Small):
    def __call__(self, x):
        raise RuntimeError("no such size\\nat all")

class Told(Small):
    def __call__(self, x, training):
        return x

class Bare(nn.Module):
    classes: int

class Pair(Small):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.classes)(x.mean(axis=(1, 2))), x

class Whole(Small):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.classes)(x.mean(axis=(1, 2))).astype(jnp.int32)

class One(Small):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.classes)(x.reshape(1, -1))

class Half(Small):
    @nn.compact
    def __call__(self, x, *, train, truncated=False):
        return x if truncated else nn.Dense(self.classes, dtype=jnp.bfloat16)(x.mean(axis=(1, 2)))

class Failing(Small):
    def __post_init__(self):
        raise RuntimeError("not today")

number = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_networks.py").write_text(SOURCE)
    (tmp_path / "own_broken.py").write_text("import a_package_that_is_not_there\n")
    (tmp_path / "own_leaving.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "own_half.py").write_text("class Half(\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("cnn", True),
        ("resnet50_group", True),
        ("package.module:Class", True),
        ("resnet51", False),
        ("package.module", False),
        ("module:", False),
        (":Class", False),
        ("a..b:Class", False),
        ("a b:Class", False),
        ("a:B:C", False),
        ("a:B\n", False),
        ("", False),
    ],
)
def test_a_name_or_a_class_in_a_module(name, valid):
    assert is_classifier(name) == valid


@pytest.mark.usefixtures("own")
def test_the_users_own_module_is_made():
    module = make_classifier("own_networks:Small", 4, shape=(16, 16, 3))
    x = jnp.ones((2, 16, 16, 3))
    assert module.init_with_output(jax.random.key(0), x)[0].shape == (2, 4)
    assert has_maps(module)
    assert not has_maps(make_classifier("own_networks:Wide", 4))


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_missing:Small", r"own_missing cannot be imported \(ModuleNotFoundError: No module named 'own_missing'\)"),
        ("own_broken:Small", r"own_broken cannot be imported \(ModuleNotFoundError: .*a_package_that_is_not_there"),
        ("own_half:Half", r"own_half cannot be imported \(SyntaxError: "),
        ("own_networks:Tall", r"own_networks has no Flax module Tall; expected a class of flax.linen.Module"),
        ("own_networks:number", r"own_networks has no Flax module number; expected"),
        (
            "own_networks:Lost",
            r"Lost\(4\) cannot be made \(.*\); expected a module that takes the number of outputs as",
        ),
        (
            "own_networks:Torn",
            r"which fails on two images of \(16, 16, 3\) \(RuntimeError: no such size\); expected __call_",
        ),
        (
            "own_networks:Told",
            r"which fails on two images of .*TypeError: .*training.*; expected __call__\(x\) or __call_",
        ),
        ("own_networks:One", r"which fails on two images of .*ScopeParamShapeError"),
        ("own_networks:Bare", r"which fails on two images of .*; expected __call__\(x\) or __call__\(x, \*, train\), "),
        ("own_networks:Pair", r"which gives \[\(\(2, 4\), 'float32'\), .*\]; expected an array of floats \(2, 4\)"),
        ("own_networks:Whole", r"which gives \[\(\(2, 4\), 'int32'\)\]; expected an array of floats \(2, 4\)"),
        ("own_networks:Failing", r"Failing\(4\) cannot be made \(not today\); expected a module that takes the number"),
        ("own_leaving:Small", r"own_leaving cannot be imported \(SystemExit: 3\)"),
        ("own_networks:Wide", r"which gives \(2, 8\) for two images of \(16, 16, 3\); expected \(2, 4\)"),
    ],
)
def test_what_is_wrong_with_it_is_said(name, message):
    with pytest.raises(InputError, match=f"^config.classifier is '{name}'.*{message}"):
        make_classifier(name, 4, shape=(16, 16, 3))


@pytest.mark.usefixtures("own")
def test_a_network_that_computes_in_bfloat16_gives_float32():
    network = flax_network(make_classifier("own_networks:Half", 4, shape=(16, 16, 3)), (16, 16, 3))
    outputs, _ = network.apply(network.init(jax.random.key(0)), jnp.ones((2, 16, 16, 3)), train=True)
    assert (outputs.shape, outputs.dtype) == ((2, 4), jnp.float32)


@pytest.mark.usefixtures("own")
def test_attention_takes_a_network_that_asks_whether_it_trains():
    config = default_config()
    config.method, config.classifier, config.schedule = "attention", "own_networks:Half", ("f:1", "f_l:1")
    validate(config)
    method = make_method(config, Description("x", (16, 16, 3), 16, ("a", "b"), train_count=1, test_count=1, sha256=""))
    networks, x = method.init(jax.random.key(0)), jnp.ones((2, 16, 16, 3))
    keys = jax.random.split(jax.random.key(1), 2)
    loss, _ = method.objective(keys, networks, Batch(x, jnp.array([0, 1]), Layout(kept=2)), ("f", "f_l"))
    assert np.isfinite(loss)
    assert method.predict(networks, x).shape == (2, 2)


def test_those_with_maps_are_told_from_those_without():
    assert [name for name in CLASSIFIERS if not has_maps(make_classifier(name, 2))] == ["lenet", "unet"]


@pytest.mark.usefixtures("own")
def test_outputs_lie_on_images_or_on_their_pixels():
    for name in ("cnn", "resnet18"):
        with pytest.raises(InputError, match=f"is '{name}'; allowed for a task of pixels: unet, or your own"):
            make_classifier(name, 4, shape=(16, 16, 3), on_pixels=True)
    with pytest.raises(InputError, match="is 'unet'; allowed for a task of images: cnn, vgg, lenet, .*, or your own"):
        make_classifier("unet", 4, shape=(16, 16, 3))
    with pytest.raises(InputError, match=r"which gives \(2, 4\) for two images of .*; expected \(2, 16, 16, 4\)"):
        make_classifier("own_networks:Small", 4, shape=(16, 16, 3), on_pixels=True)
    network = flax_network(make_classifier("unet", 4, shape=(16, 16, 3), on_pixels=True), (16, 16, 3))
    variables = jax.eval_shape(network.init, jax.random.key(0))
    x = jax.ShapeDtypeStruct((2, 16, 16, 3), jnp.float32)
    assert jax.eval_shape(network.apply, variables, x)[0].shape == (2, 16, 16, 4)


def test_the_mask_generator_is_a_u_net_of_one_output():
    x = jax.random.uniform(jax.random.key(1), (1, 16, 16, 1))
    f_m, f = flax_network(MaskGenerator(4), (16, 16, 1)), flax_network(UNet(1, width=4), (16, 16, 1))
    variables = f_m.init(jax.random.key(0))
    np.testing.assert_allclose(f_m.apply(variables, x)[0], jax.nn.sigmoid(f.apply(variables, x)[0]), rtol=1e-6)
