"""The sizes of the poster's networks, and other image sizes and channels."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.config import default_config
from bginv_jax.data.dataset import Description
from bginv_jax.errors import InputError
from bginv_jax.methods import registry
from bginv_jax.networks import layers
from bginv_jax.networks.classifiers import CLASSIFIERS, ON_PIXELS, Classifier, LeNet, LocalClassifier
from bginv_jax.networks.generators import BackgroundGenerator, MaskGenerator, background_source


def _count(module, shape):
    variables = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, *shape)))
    return sum(leaf.size for leaf in jax.tree.leaves(variables))


def _init(module, seed, *inputs):
    """The variables of a module, as one program: operation by operation there are fifty to compile."""
    return jax.jit(module.init)(jax.random.key(seed), *inputs)


def test_parameter_counts_are_the_authors():
    assert _count(Classifier(10), (32, 32, 1)) == 356_234
    assert _count(MaskGenerator(), (32, 32, 1)) == 572_321
    assert _count(BackgroundGenerator(2), (4, 4, 1)) == 93_569


def test_the_local_network_is_the_authors():
    """Three convolutions to 128, 256 and 512 channels, and three dense layers on those 512 and f's 128."""
    variables = jax.eval_shape(
        LocalClassifier(10).init, jax.random.key(0), jnp.zeros((1, 32, 32, 1)), jnp.zeros((1, 128))
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == (
        (9 * 1 * 128 + 128)
        + (9 * 128 * 256 + 256)
        + (9 * 256 * 512 + 512)
        + (640 * 2048 + 2048)
        + (2048 * 256 + 256)
        + (256 * 10 + 10)
    )


def test_the_lenet_is_that_of_the_single_source_protocol():
    """Two 5x5 convolutions without margins, 32 -> 28 -> 14 -> 10 -> 5, and dense layers on 5 x 5 x 128 values."""
    assert _count(LeNet(10), (32, 32, 3)) == (
        (25 * 3 * 64 + 64) + (25 * 64 * 128 + 128) + (3200 * 1024 + 1024) + (1024 * 1024 + 1024) + (1024 * 10 + 10)
    )


def test_the_lenet_is_its_plain_layers():
    x = jax.random.uniform(jax.random.key(0), (2, 32, 32, 3))
    variables = _init(LeNet(10), 1, x)

    @jax.jit
    def plain(params, maps):
        for i in (0, 1):
            maps = layers.conv5x5_relu_pool_plain(maps, **params[f"Conv5x5_{i}"])
        hidden = maps.reshape(2, -1)
        for i in (0, 1):
            hidden = jax.nn.relu(hidden @ params[f"Dense_{i}"]["kernel"] + params[f"Dense_{i}"]["bias"])
        return hidden @ params["Dense_2"]["kernel"] + params["Dense_2"]["bias"]

    assert jnp.allclose(jax.jit(LeNet(10).apply)(variables, x), plain(variables["params"], x), atol=1e-5)


def test_truncated_f_ends_with_its_last_pooled_maps():
    f = Classifier(10)
    x = jax.random.uniform(jax.random.key(0), (2, 32, 32, 1))
    params = _init(f, 1, x)
    maps, logits = jax.jit(lambda params: (f.apply(params, x, truncated=True), f.apply(params, x)))(params)
    assert maps.shape == (2, 4, 4, 128)
    dense = [params["params"][f"Dense_{i}"] for i in (0, 1)]
    hidden = np.maximum(np.reshape(maps, (2, -1)) @ np.asarray(dense[0]["kernel"]) + dense[0]["bias"], 0)
    np.testing.assert_allclose(hidden @ np.asarray(dense[1]["kernel"]) + dense[1]["bias"], logits, atol=1e-5)


def test_the_vgg_convolves_twice_in_every_block_but_the_first():
    x = jax.random.uniform(jax.random.key(0), (2, 32, 32, 1))
    f = CLASSIFIERS["vgg"](10)
    params = _init(f, 1, x)["params"]
    convolved = [params[f"Conv3x3_{i}"]["kernel"].shape[2:] for i in range(5)]
    assert convolved == [(1, 32), (32, 64), (64, 64), (64, 128), (128, 128)]
    assert [params[f"Dense_{i}"]["kernel"].shape for i in (0, 1)] == [(2048, 32), (32, 10)]

    @jax.jit
    def plain(params, maps):
        for i, pooled in enumerate((True, False, True, False, True)):
            kernel, bias = params[f"Conv3x3_{i}"]["kernel"], params[f"Conv3x3_{i}"]["bias"]
            maps = jax.nn.relu(layers.conv3x3_plain(maps, kernel) + bias)
            maps = layers.max_pool2x2_plain(maps) if pooled else maps
        return maps

    truncated = jax.jit(functools.partial(f.apply, truncated=True))({"params": params}, x)
    assert jnp.allclose(truncated, plain(params, x), atol=1e-5)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [16, 32, 64, 96])
def test_outputs_follow_the_images(size, channels, classifier):
    shape = (size, size, channels)
    names, on_pixels = tuple("abcde"), classifier in ON_PIXELS
    kind = {"class_names": (), "pixel_classes": names} if on_pixels else {"class_names": names}
    description = Description("toy", shape, size, train_count=10, test_count=10, sha256="", **kind)
    x = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    config = default_config()
    config.classifier = classifier
    config.task = "segmentation" if on_pixels else "classification"
    method = registry.make_method(config, description)
    networks = jax.eval_shape(method.init, jax.random.key(0))
    assert jax.eval_shape(method.predict, networks, x).shape == ((2, size, size, 5) if on_pixels else (2, 5))
    assert jax.eval_shape(method.predict_mask, networks, x).shape == (2, size, size, 1)
    source = background_source("generated", shape, 2)

    def backgrounds(key):
        noise = jax.vmap(source.draw)(jax.random.split(key, 2))
        return source.apply(source.init(key), noise)[0]

    assert jax.eval_shape(backgrounds, jax.random.key(0)).shape == (2, *shape)


def test_outputs_lie_in_the_unit_interval():
    x = 50 * jax.random.normal(jax.random.key(0), (2, 16, 16, 3))
    for module, inputs in ((MaskGenerator(), x), (BackgroundGenerator(1), x[:, :4, :4])):
        outputs, _ = jax.jit(module.init_with_output)(jax.random.key(1), inputs)
        assert 0 <= outputs.min() <= outputs.max() <= 1


def test_background_kinds():
    key = jax.random.key(0)
    black = background_source("black", (32, 32, 3), 2)
    assert (black.apply(black.init(key), black.draw(key))[0] == 0).all()
    noise = background_source("noise", (32, 32, 3), 2)
    assert noise.init(key) == {"params": {}}
    assert noise.apply(noise.init(key), noise.draw(key))[0].mean() == pytest.approx(0.5, abs=0.02)
    generated = background_source("generated", (32, 32, 1), 2)
    assert generated.draw(key).shape == (4, 4, 4, 1)
    painted, _ = jax.jit(lambda key: generated.apply(generated.init(key), generated.draw(key)[None]))(key)
    tiles = painted[0].reshape(2, 16, 2, 16)
    assert jnp.abs(tiles[0, :, 0] - tiles[1, :, 1]).max() > 1e-3  # drawn independently
    with pytest.raises(InputError, match="backgrounds are 'painted'; allowed: generated, black, noise"):
        background_source("painted", (32, 32, 1), 2)
    with pytest.raises(ValueError, match="config.background.tiles is 3; allowed: 32 / tiles"):
        background_source("generated", (32, 32, 1), 3)


@pytest.mark.parametrize(("shape", "side"), [((18, 18, 1), 32), ((16, 32, 3), 32), ((50, 50, 3), 64)])
def test_a_mask_generator_says_what_it_takes(shape, side):
    with pytest.raises(
        InputError, match=rf"a U-Net is given images of {shape[0]}x{shape[1]}; .* here of {side}x{side}"
    ):
        MaskGenerator().init(jax.random.key(0), jnp.zeros((1, *shape)))
