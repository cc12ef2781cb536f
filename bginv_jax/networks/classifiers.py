"""f, which classifies, and f_l, which looks again at a crop, as Flax modules.

Images are NHWC float32 in [0, 1]. Every size follows from the input; nothing here knows of a data set.
The size of a batch may be symbolic, in exports: `x.shape[0]` is it, `len(x)` fails.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from bginv_jax.networks.contract import block_count
from bginv_jax.networks.layers import Conv3x3, Conv5x5


class Classifier(nn.Module):
    """f: images (N, S, S, C) -> logits (N, classes). S must be a `padded_size`.

    Each block but the first convolves `convolutions` times before it pools: once in the authors' f, twice as in VGG
    (Simonyan and Zisserman 2015). `hidden` is the width of the dense layer. Truncated, as the attention baseline has it
    (the poster's G^T), it ends with the last pooled maps (N, s, s, K).
    """

    classes: int
    convolutions: int = 1
    hidden: int = 128

    @nn.compact
    def __call__(self, x: jax.Array, *, truncated: bool = False) -> jax.Array:
        for i in range(block_count(x.shape[1])):
            for _ in range(self.convolutions - 1 if i else 0):
                x = nn.relu(Conv3x3(32 * 2**i)(x))
            x = Conv3x3(32 * 2**i, relu_pool=True)(x)
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


CLASSIFIERS: dict[str, Callable[[int], nn.Module]] = {
    "cnn": Classifier,
    "vgg": functools.partial(Classifier, convolutions=2, hidden=32),
    "lenet": LeNet,
}


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
