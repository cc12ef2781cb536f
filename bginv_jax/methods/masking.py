"""What f_m is held to: the loss of what it leaves, and what a mask's area, outline and border cost."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from bginv_jax.errors import InputError
from bginv_jax.images.compose import compose
from bginv_jax.images.masks import binarize, mean_area, total_variation
from bginv_jax.methods.contract import Batch, Metrics, Networks
from bginv_jax.networks.contract import Network
from bginv_jax.tasks.contract import Task

MASKS = ("learned", "nonzero")
FILLS = ("black", "backdrop", "border")
_LEAST = 1e-6  # of a mask's logarithm


class MaskOptions(NamedTuple):
    """What f_m is held to, and how its masks are cut.

    binarize: how, one of `images.masks.BINARIZATIONS`.
    area: the mean of a mask that costs nothing, and the share that "quantile" keeps.
    area_weight, variation_weight: of relu(mean(m) - area) and of total variation in f_m's loss.
    border_weight: of the cross-entropy of m and what the image's border tells, the likeness l of each pixel to it:
      -(1 - l) log(m) - l log(1 - m), on average. It also draws a mask back that is 0 or 1 everywhere, from which no
      other term of f_m's loss has a gradient left.
    """

    binarize: str = "threshold"
    area: float = 0.2
    area_weight: float = 1.0
    variation_weight: float = 0.1
    border_weight: float = 0.0

    def cut(self, m: jax.Array) -> jax.Array:
        """Masks as composites take them."""
        return binarize(m, self.binarize, area=self.area)

    def price(self, m: jax.Array, likeness: jax.Array | None) -> jax.Array:
        """What masks cost beside the loss of what they leave, a mean over the batch."""
        price = self.area_weight * nn.relu(mean_area(m) - self.area).mean()
        price += self.variation_weight * total_variation(m).mean()
        if self.border_weight:
            if likeness is None:
                raise InputError(
                    "the batch has no likeness; with a border_weight expected images.backdrops.border_likeness"
                )
            told = (1 - likeness) * jnp.log(m + _LEAST) + likeness * jnp.log(1 - m + _LEAST)
            price -= self.border_weight * told.mean()
        return price


def make_mask_terms(
    f: Network, f_m: Network, task: Task, mask: MaskOptions
) -> Callable[[Networks, Batch, jax.Array], tuple[jax.Array, jax.Array, Metrics, Any]]:
    """f_m's part of the objective: (networks, batch, key) -> (scalar, masks, metrics, f_m's variables).

    The scalar is L(f(x * f_m(x)), y), f held still, and the price of the masks. These come out cut, without gradient.
    """

    def mask_terms(networks, batch, key):
        m, changed = f_m.apply(networks["f_m"], batch.images, train=True, key=key)
        outputs, _ = f.apply(lax.stop_gradient(networks["f"]), compose(batch.images, m, batch.fill))
        loss = task.loss(outputs, batch.targets).mean()
        contrast = m.max(axis=(1, 2, 3)) - m.min(axis=(1, 2, 3))
        metrics = {"mask_loss": loss, "mask_area": mean_area(m).mean(), "mask_contrast": contrast.mean()}
        return loss + mask.price(m, batch.likeness), mask.cut(lax.stop_gradient(m)), metrics, changed

    return mask_terms
