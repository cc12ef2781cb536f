"""ResNets (He et al. 2016) as PyTorch has them: in a bottleneck the 3x3 convolution strides (v1.5). NHWC, float32."""

import functools
import re
from collections.abc import Sequence
from typing import Any

import jax
from flax import linen as nn

from bginv_jax.networks.layers import max_pool3x3
from bginv_jax.networks.staged import Convolution, Normalise, Staged, batch_norm, group_norm

_NORMALISATIONS: dict[str, Normalise] = {"batch": batch_norm(1e-5, 0.9), "group": group_norm}


class Stem(nn.Module):
    """A 7x7 convolution and a pooling, each of stride 2: (N, S, S, 3) -> (N, S/4, S/4, 64)."""

    normalise: Normalise

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = Convolution(64, 7, 2, name="conv1")(x)
        return max_pool3x3(nn.relu(self.normalise(train=train, name="bn1")(x)))


class Block(nn.Module):
    """Two 3x3 convolutions, or with `bottleneck` a 3x3 one between two 1x1, added to what came in."""

    width: int
    stride: int
    bottleneck: bool
    normalise: Normalise

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        sides = ((1, 1), (3, self.stride), (1, 1)) if self.bottleneck else ((3, self.stride), (3, 1))
        features = 4 * self.width if self.bottleneck else self.width
        y = x
        for i, (side, stride) in enumerate(sides, start=1):
            last = i == len(sides)
            y = Convolution(features if last else self.width, side, stride, name=f"conv{i}")(y)
            # A block whose last scale begins at 0 begins as the identity (Goyal et al. 2017).
            scale = nn.initializers.zeros_init() if last else nn.initializers.ones_init()
            y = self.normalise(train=train, name=f"bn{i}", scale_init=scale)(y)
            y = y if last else nn.relu(y)
        if x.shape != y.shape:
            x = Convolution(features, 1, self.stride, name="downsample_0")(x)
            x = self.normalise(train=train, name="downsample_1")(x)
        return nn.relu(x + y)


class Layer(nn.Module):
    """Blocks of one width; the first strides."""

    blocks: int
    width: int
    stride: int
    bottleneck: bool
    normalise: Normalise

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        for i in range(self.blocks):
            stride = self.stride if i == 0 else 1
            x = Block(self.width, stride, self.bottleneck, self.normalise, name=str(i))(x, train=train)
        return x


def resnet(
    classes: int, *, blocks: Sequence[int], bottleneck: bool, normalisation: str = "batch", **holding: Any
) -> Staged:
    """A ResNet with so many blocks in its four layers, which with the stem are its five stages.

    Args:
      classes: how many outputs.
      blocks, bottleneck: (2, 2, 2, 2) without is ResNet18, (3, 4, 6, 3) with is ResNet50.
      normalisation: "batch", or "group".
      holding: `frozen` and `fixed` as `Staged` has them.
    """
    normalise = _NORMALISATIONS[normalisation]
    layers = [
        Layer(count, 64 * 2**i, 1 if i == 0 else 2, bottleneck, normalise, parent=None)
        for i, count in enumerate(blocks)
    ]
    return Staged(classes, (Stem(normalise, parent=None), *layers), **holding)


resnet18 = functools.partial(resnet, blocks=(2, 2, 2, 2), bottleneck=False)
resnet50 = functools.partial(resnet, blocks=(3, 4, 6, 3), bottleneck=True)
STAGES = 5


def torch_name(module: str) -> str:
    """The name that torchvision and timm give a part of a ResNet: stages_1/0/downsample_1 -> layer1.0.downsample.1."""
    name = re.sub(r"^stages_0/", "", re.sub(r"^stages_([1-9])", r"layer\1", module))
    return name.replace("/", ".").replace("downsample_", "downsample.").replace("head", "fc")
