"""f, which classifies, and f_l, which looks again at a crop, as Flax modules; and every f by name.

Images are NHWC float32 in [0, 1]. Every size follows from the input; nothing here knows of a data set.
The size of a batch may be symbolic, in exports: `x.shape[0]` is it, `len(x)` fails.
"""

import functools
import importlib
import inspect
import re
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from bginv_jax.errors import InputError, first_line
from bginv_jax.networks import efficientnet, residual
from bginv_jax.networks.contract import block_count, flax_network
from bginv_jax.networks.layers import Conv3x3, Conv5x5
from bginv_jax.networks.pretrained import Naming
from bginv_jax.networks.unet import UNet


class Classifier(nn.Module):
    """f: images (N, S, S, C) -> logits (N, classes). S must be a `padded_size`.

    Each block but the first convolves `convolutions` times before it pools: once in the authors' f, twice as in VGG
    (Simonyan and Zisserman 2015). `hidden` is the width of the dense layer, `width` that of the first block, which
    doubles from block to block. Truncated, as the attention baseline has it (the poster's G^T), it ends with the last
    pooled maps (N, s, s, K).
    """

    classes: int
    convolutions: int = 1
    hidden: int = 128
    width: int = 32

    @nn.compact
    def __call__(self, x: jax.Array, *, truncated: bool = False) -> jax.Array:
        for i in range(block_count(x.shape[1])):
            for _ in range(self.convolutions - 1 if i else 0):
                x = nn.relu(Conv3x3(self.width * 2**i)(x))
            x = Conv3x3(self.width * 2**i, relu_pool=True)(x)
        if truncated:
            return x
        x = x.reshape(x.shape[0], -1)
        x = nn.relu(nn.Dense(self.hidden, kernel_init=nn.initializers.glorot_uniform())(x))
        return nn.Dense(self.classes, kernel_init=nn.initializers.glorot_uniform())(x)


class LeNet(nn.Module):
    """f of the single-source protocol for digits, the ConvNet of Volpi et al. 2018: images -> logits (N, classes).

    Two 5x5 convolutions of whole neighbourhoods and three dense layers: 32x32 pixels become 14x14x64, 5x5x128, 1024,
    1024. Images are (N, S, S, C), S a `padded_size`.
    """

    classes: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for features in (64, 128):
            x = Conv5x5(features)(x)
        x = x.reshape(x.shape[0], -1)
        for features in (1024, 1024):
            x = nn.relu(nn.Dense(features, kernel_init=nn.initializers.glorot_uniform())(x))
        return nn.Dense(self.classes, kernel_init=nn.initializers.glorot_uniform())(x)


class StagedClassifier(NamedTuple):
    """A classifier whose first stages can be held still and that takes pretrained weights.

    make(classes, frozen=..., fixed=...) -> the module. stages: how many. names: what libraries call its parts. note:
    what to know of files with these names.
    """

    make: Callable[..., nn.Module]
    stages: int
    names: tuple[Naming, ...]
    note: str = ""


_TWINS = (
    "weights of timm's tf_efficientnet_lite0 are for efficientnet_lite0, those of timm's efficientnet_lite0 for "
    "efficientnet_lite0_timm; their names and shapes are the same"
)
_RESNET = (residual.STAGES, (residual.torch_name,))
STAGED: dict[str, StagedClassifier] = {
    "resnet18": StagedClassifier(residual.resnet18, *_RESNET),
    "resnet50": StagedClassifier(residual.resnet50, *_RESNET),
    "resnet18_group": StagedClassifier(functools.partial(residual.resnet18, normalisation="group"), *_RESNET),
    "resnet50_group": StagedClassifier(functools.partial(residual.resnet50, normalisation="group"), *_RESNET),
    "efficientnet_lite0": StagedClassifier(
        efficientnet.efficientnet_lite0,
        efficientnet.STAGES,
        (efficientnet.package_name, efficientnet.timm_name),
        _TWINS,
    ),
    "efficientnet_lite0_timm": StagedClassifier(
        functools.partial(efficientnet.efficientnet_lite0, tensorflow=False),
        efficientnet.STAGES,
        (efficientnet.timm_name,),
        _TWINS,
    ),
}

CLASSIFIERS: dict[str, Callable[[int], nn.Module]] = {
    "cnn": Classifier,
    "vgg": functools.partial(Classifier, convolutions=2, hidden=32),
    "lenet": LeNet,
    **{name: kind.make for name, kind in STAGED.items()},
    "small": functools.partial(Classifier, width=8),
    "unet": UNet,
}
# Whose outputs are (N, S, S, outputs).
ON_PIXELS = tuple(
    name for name, make in CLASSIFIERS.items() if getattr(getattr(make, "func", make), "on_pixels", False)
)

_USERS_OWN = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_classifier(name: str) -> bool:
    """Whether a classifier has this name, or it has the form module:Class of the user's own."""
    return name in CLASSIFIERS or _USERS_OWN.fullmatch(name) is not None


def make_classifier(
    name: str,
    outputs: int,
    *,
    frozen: int = 0,
    fixed: bool = False,
    shape: tuple[int, int, int] | None = None,
    on_pixels: bool = False,
) -> nn.Module:
    """The classifier of this name: images (N, S, S, C) -> outputs (N, outputs), or of each pixel.

    Args:
      name: in CLASSIFIERS, or module:Class, a Flax module that takes the number of outputs as its first argument, in a
        module that Python finds from where it was started.
      outputs: how many values for each image, or pixel.
      frozen: how many of the first stages are held still, of a classifier in STAGED.
      fixed: whether its running averages stay in training, too, of such a classifier.
      shape: (S, S, C) of the images, for which outputs must have the right shape; the user's own is tried on one.
      on_pixels: whether outputs must be (N, S, S, outputs).

    Raises:
      InputError: names config.classifier, what could not be imported or made, or has outputs of the wrong shape.
    """
    if shape and name in CLASSIFIERS and (name in ON_PIXELS) != on_pixels:
        allowed = [other for other in CLASSIFIERS if (other in ON_PIXELS) == on_pixels]
        what = "of pixels" if on_pixels else "of images"
        raise InputError(f"config.classifier is {name!r}; allowed for a task {what}: {', '.join(allowed)}, or your own")
    if name in STAGED:
        return STAGED[name].make(outputs, frozen=frozen, fixed=fixed)
    if name in CLASSIFIERS:
        return CLASSIFIERS[name](outputs)
    module = _users_own(name, outputs)
    if shape:
        _check_outputs(name, module, shape, (2, *shape[:2], outputs) if on_pixels else (2, outputs))
    return module


def _check_outputs(name: str, module: nn.Module, shape: tuple[int, int, int], expected: tuple[int, ...]) -> None:
    """Refuses a user's own module that cannot take two images, or gives something else of them."""
    try:
        network = flax_network(module, shape)
        given = jax.eval_shape(
            lambda key, x: network.apply(network.init(key), x)[0], jax.random.key(0), jnp.zeros((2, *shape))
        )
    except Exception as error:  # whatever a user's module raises
        raise InputError(
            f"config.classifier is {name!r}, which fails on two images of {shape} ({type(error).__name__}: "
            f"{first_line(error)}); expected __call__(x) or __call__(x, *, train), which gives one array {expected}"
        ) from error
    what = [(leaf.shape, str(leaf.dtype)) for leaf in jax.tree.leaves(given)]
    if not isinstance(given, jax.ShapeDtypeStruct) or not jnp.issubdtype(given.dtype, jnp.floating):
        raise InputError(f"config.classifier is {name!r}, which gives {what}; expected an array of floats {expected}")
    if given.shape != expected:
        raise InputError(
            f"config.classifier is {name!r}, which gives {given.shape} for two images of {shape}; expected {expected}"
        )


def _users_own(name: str, outputs: int) -> nn.Module:
    where, _, what = name.partition(":")
    given = f"config.classifier is {name!r}"
    try:
        found = getattr(importlib.import_module(where), what, None)
    except (Exception, SystemExit) as error:  # whatever a user's module raises
        raise InputError(
            f"{given}, but {where} cannot be imported ({type(error).__name__}: {first_line(error)}); expected a module "
            "in the current folder or on PYTHONPATH"
        ) from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise InputError(f"{given}, but {where} has no Flax module {what}; expected a class of flax.linen.Module")
    try:
        return found(outputs)
    except Exception as error:
        raise InputError(
            f"{given}, but {what}({outputs}) cannot be made ({first_line(error)}); expected a module that takes the "
            "number of outputs as its first argument and needs no other"
        ) from error


def frozen_parameters(frozen: int) -> tuple[str, ...]:
    """The names, in the parameters of a classifier in STAGED, of its first stages."""
    return tuple(f"stages_{i}" for i in range(frozen))


def has_maps(module: nn.Module) -> bool:
    """Whether a classifier can end with its last maps: whether its `__call__` takes `truncated`."""
    return "truncated" in inspect.signature(type(module).__call__).parameters


class LocalClassifier(nn.Module):
    """f_l, the local network L and its fusion with the global one (Guan et al. 2018): crops, pooled maps -> logits.

    Crops are (N, S, S, C), what f's last maps hold on average (N, K), logits (N, classes).
    """

    classes: int

    @nn.compact
    def __call__(self, crops: jax.Array, pooled: jax.Array) -> jax.Array:
        x = crops
        for features in (128, 256, 512):
            x = nn.relu(Conv3x3(features, stride=2)(x))
        x = jnp.concatenate([x.mean(axis=(1, 2)), pooled], axis=-1)
        for features in (2048, 256):
            x = nn.relu(nn.Dense(features, kernel_init=nn.initializers.glorot_uniform())(x))
        return nn.Dense(self.classes, kernel_init=nn.initializers.glorot_uniform())(x)
