"""What the networks for photographs share: stages one after the other, convolutions without bias, normalisation.

Images are NHWC float32 in [0, 1]. Stages have parameters of their own, so that the first of them can be held still.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from bginv_jax.networks.layers import conv3x3
from bginv_jax.networks.normalise import BatchNorm
from bginv_jax.networks.products import conv1x1, conv_patches, strided_conv3x3

Margins = tuple[int, int]  # zeros before and after, along each axis

Normalise = Callable[..., Callable[[jax.Array], jax.Array]]


def even_margins(size: int, side: int, stride: int) -> Margins:
    """PyTorch's padding=side // 2: the same before and after."""
    return side // 2, side // 2


def same_margins(size: int, side: int, stride: int) -> Margins:
    """TensorFlow's SAME: of an odd number of zeros the last comes after."""
    total = max(0, (-(-size // stride) - 1) * stride + side - size)
    return total // 2, total - total // 2


class Convolution(nn.Module):
    """A convolution without bias, kernel (side, side, I, O), of one whose side is 1 (I, O), with He's initial values.

    x (N, S, S, I) -> (N, S / stride, S / stride, O), rounded up. `margins` says how many zeros stand around.
    """

    features: int
    side: int = 1
    stride: int = 1
    margins: Callable[[int, int, int], Margins] = even_margins

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (x.shape[-1], self.features) if self.side == 1 else (self.side, self.side, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.variance_scaling(2.0, "fan_out", "normal"), shape)
        if self.side == 1:
            return conv1x1(x[:, :: self.stride, :: self.stride], kernel)
        margins = self.margins(x.shape[1], self.side, self.stride)
        if self.side == 3 and margins == (1, 1):
            return conv3x3(x, kernel) if self.stride == 1 else strided_conv3x3(x, kernel)
        return conv_patches(x, kernel, stride=self.stride, margins=margins)


def batch_norm(epsilon: float, momentum: float) -> Normalise:
    """Batch normalisation: in training by the images of a device's share of the batch, else by running averages."""

    def make(*, train: bool, **options: Any) -> Callable[[jax.Array], jax.Array]:
        return functools.partial(BatchNorm(epsilon, momentum, **options), train=train)

    return make


def group_norm(*, train: bool, **options: Any) -> Callable[[jax.Array], jax.Array]:
    """Normalisation of 32 groups of channels in each image by itself (Wu and He 2018)."""
    return nn.GroupNorm(num_groups=32, epsilon=1e-5, **options)


class Staged(nn.Module):
    """f for photographs: images (N, S, S, 1 or 3) -> logits (N, classes), through stages to maps, their mean, a head.

    Truncated it ends with the last maps (N, s, s, K). Grey images are seen as RGB, so that pretrained weights fit.

    classes: how many outputs.
    stages: each maps -> maps, told whether it trains.
    mean, deviation: of the pixels in each channel, which come out with mean 0 and deviation 1.
    fixed: in training, too, running averages normalise, and stay: those that pretrained weights were trained with.
    frozen: how many of the first stages keep their parameters and running averages; all of them leave the head. What
      lies before the image, such as a background, still gets its gradient through them.
    """

    classes: int
    stages: tuple[nn.Module, ...]
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # of ImageNet
    deviation: tuple[float, float, float] = (0.229, 0.224, 0.225)
    frozen: int = 0
    fixed: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False, truncated: bool = False) -> jax.Array:
        x = (jnp.broadcast_to(x, (*x.shape[:3], 3)) - jnp.array(self.mean)) / jnp.array(self.deviation)
        for i, stage in enumerate(self.stages):
            x = _apply_frozen(stage, x) if i < self.frozen else stage(x, train=train and not self.fixed)
        if truncated:
            return x
        return nn.Dense(self.classes, kernel_init=nn.initializers.glorot_uniform(), name="head")(x.mean(axis=(1, 2)))


def _apply_frozen(stage: nn.Module, x: jax.Array) -> jax.Array:
    """A stage as it predicts, whose parameters get no gradient: backwards it costs at most the way to the image."""
    if stage.is_initializing():
        return stage(x, train=False)
    apply = nn.map_variables(
        lambda module, maps: module(maps, train=False),
        "params",
        trans_in_fn=lambda params: jax.tree.map(lax.stop_gradient, params),
    )
    return apply(stage, x)
