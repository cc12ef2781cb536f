"""f as a config has it: the one place where its fields become a classifier's options."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from bginv_jax.images.pixels import reframe
from bginv_jax.methods.contract import Networks
from bginv_jax.networks.averaging import averaged
from bginv_jax.networks.classifiers import make_classifier
from bginv_jax.networks.contract import Network, flax_network
from bginv_jax.tasks.contract import Task


def make_configured(config: ConfigDict, task: Task, *, shape: tuple[int, int, int]) -> nn.Module:
    """f with the task's outputs for images of `shape` (S, S, C).

    Raises:
      InputError: as `make_classifier`.
    """
    return make_classifier(
        config.classifier,
        task.outputs,
        frozen=config.classifier_frozen,
        fixed=config.classifier_averages == "fixed",
        shape=shape,
        on_pixels=task.on_pixels,
    )


def make_network(config: ConfigDict, module: nn.Module, *, shape: tuple[int, int, int]) -> Network:
    """f of `make_configured` as a network, which predicts with its average weights if the config says so."""
    network = flax_network(module, shape)
    return averaged(network, config.classifier_average) if config.classifier_average else network


def in_views(
    predict: Callable[[Networks, jax.Array], jax.Array], shares: Sequence[float]
) -> Callable[[Networks, jax.Array], jax.Array]:
    """A prediction from several views: the mean outputs for the middle `shares` of each image, `reframe`d.

    What is learned from objects that fill the picture is better told where they do not, and the other way round.
    """

    def viewed(networks: Networks, images: jax.Array) -> jax.Array:
        return jnp.stack([predict(networks, reframe(images, share)) for share in shares]).mean(axis=0)

    return viewed
