"""EfficientNet-Lite0 (Tan and Le 2019, in the form without squeeze-and-excitation, for phones). NHWC, float32.

ReLU6, and a stem and a head of fixed width. The weights that TensorFlow trained are meant for its padding, its epsilon
and pixels in [-1, 1]; timm trained another of the same shapes with PyTorch's padding and epsilon.
"""

import re
from collections.abc import Callable
from typing import Any

import jax
from flax import linen as nn

from bginv_jax.networks.depthwise import DepthwiseConv
from bginv_jax.networks.staged import (
    Convolution,
    Margins,
    Normalise,
    Staged,
    batch_norm,
    even_margins,
    same_margins,
)

# Of each stage: blocks, side of the depthwise kernel, stride of the first block, expansion, channels.
_BLOCKS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STAGES = len(_BLOCKS) + 2


class Convolved(nn.Module):
    """A convolution, normalisation and ReLU6: the stem and the last maps before the head."""

    features: int
    side: int
    stride: int
    margins: Callable[[int, int, int], Margins]
    normalise: Normalise

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = Convolution(self.features, self.side, self.stride, self.margins, name="conv")(x)
        return nn.relu6(self.normalise(train=train, name="bn")(x))


class InvertedBlock(nn.Module):
    """More channels, a depthwise convolution, fewer channels; added to what came in where the shape stays."""

    features: int
    side: int
    stride: int
    expansion: int
    margins: Callable[[int, int, int], Margins]
    normalise: Normalise

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        y = x
        if self.expansion > 1:
            y = Convolution(x.shape[-1] * self.expansion, name="expand")(y)
            y = nn.relu6(self.normalise(train=train, name="expand_bn")(y))
        margins = self.margins(y.shape[1], self.side, self.stride)
        y = DepthwiseConv(self.side, self.stride, margins, name="depthwise")(y)
        y = nn.relu6(self.normalise(train=train, name="depthwise_bn")(y))
        y = Convolution(self.features, name="project")(y)
        y = self.normalise(train=train, name="project_bn")(y)
        return x + y if x.shape == y.shape else y


class InvertedBlocks(nn.Module):
    """Blocks with the same number of channels; the first strides."""

    blocks: int
    features: int
    side: int
    stride: int
    expansion: int
    margins: Callable[[int, int, int], Margins]
    normalise: Normalise

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        for i in range(self.blocks):
            stride = self.stride if i == 0 else 1
            options = (self.features, self.side, stride, self.expansion, self.margins, self.normalise)
            x = InvertedBlock(*options, name=str(i))(x, train=train)
        return x


def efficientnet_lite0(classes: int, *, tensorflow: bool = True, **holding: Any) -> Staged:
    """EfficientNet-Lite0 of nine stages: the stem, seven of blocks, and the convolution to 1280 channels.

    Args:
      classes: how many outputs.
      tensorflow: as its authors have it, and timm as tf_efficientnet_lite0; else as timm's efficientnet_lite0.
      holding: `frozen` and `fixed` as `Staged` has them.
    """
    margins = same_margins if tensorflow else even_margins
    # TensorFlow's averages run over 100 steps; a network that is trained further here has few of them.
    normalise = batch_norm(1e-3 if tensorflow else 1e-5, 0.9)
    stem = Convolved(32, 3, 2, margins, normalise, parent=None)
    blocks = [
        InvertedBlocks(count, features, side, stride, expansion, margins, normalise, parent=None)
        for count, side, stride, expansion, features in _BLOCKS
    ]
    stages = (stem, *blocks, Convolved(1280, 1, 1, margins, normalise, parent=None))
    if not tensorflow:
        return Staged(classes, stages, **holding)
    return Staged(classes, stages, mean=3 * (127 / 255,), deviation=3 * (128 / 255,), **holding)


def _block_and_part(module: str) -> tuple[int, int, str] | None:
    found = re.fullmatch(r"stages_([1-7])/(\d)/(\w+)", module)
    return (int(found[1]) - 1, int(found[2]), found[3]) if found else None


def timm_name(module: str) -> str:
    """The name that timm gives a part of it: stages_2/0/depthwise -> blocks.1.0.conv_dw."""
    outside = {"0/conv": "conv_stem", "0/bn": "bn1", "8/conv": "conv_head", "8/bn": "bn2"}
    place = _block_and_part(module)
    if place is None:
        return outside.get(module.removeprefix("stages_"), "classifier")
    stage, block, part = place
    narrow = {"depthwise": "conv_dw", "depthwise_bn": "bn1", "project": "conv_pw", "project_bn": "bn2"}
    wide = {"expand": "conv_pw", "expand_bn": "bn1", "depthwise": "conv_dw", "depthwise_bn": "bn2"}
    wide |= {"project": "conv_pwl", "project_bn": "bn3"}
    return f"blocks.{stage}.{block}.{(narrow if _BLOCKS[stage][3] == 1 else wide)[part]}"


def package_name(module: str) -> str:
    """The name that efficientnet_lite_pytorch gives it, whose blocks are counted through: _blocks.1._depthwise_conv."""
    outside = {"0/conv": "_conv_stem", "0/bn": "_bn0", "8/conv": "_conv_head", "8/bn": "_bn1"}
    place = _block_and_part(module)
    if place is None:
        return outside.get(module.removeprefix("stages_"), "_fc")
    stage, block, part = place
    names = {"expand": "_expand_conv", "expand_bn": "_bn0", "depthwise": "_depthwise_conv", "depthwise_bn": "_bn1"}
    names |= {"project": "_project_conv", "project_bn": "_bn2"}
    return f"_blocks.{sum(row[0] for row in _BLOCKS[:stage]) + block}.{names[part]}"
