"""The proposal: min over f, f_m, max over f_b of one loss of objects before painted backgrounds. The third row."""

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from bginv_jax.data.dataset import Description
from bginv_jax.errors import InputError
from bginv_jax.images.compose import Variation
from bginv_jax.methods.ascent import Ascent
from bginv_jax.methods.composites import make_set_before, paint
from bginv_jax.methods.configured import make_configured, make_network
from bginv_jax.methods.contract import Method, network_key
from bginv_jax.methods.masking import MaskOptions, make_mask_terms
from bginv_jax.networks.contract import BackgroundSource, Network, flax_network, stateless
from bginv_jax.networks.generators import MaskGenerator, at_size, background_source
from bginv_jax.tasks.contract import Task

BACKGROUND_KINDS = ("generated", "noise", "black")


def make_proposal(
    f: Network,
    f_m: Network,
    f_b: BackgroundSource,
    task: Task,
    *,
    mask: MaskOptions,
    variation: Variation,
    brightness_weight: float = 1.0,
    recoloured: bool = False,
    ascent: Ascent | None = None,
) -> Method:
    """The poster's min over f, f_m, max over f_b of the sum of L(f(m x + b (1 - m)), y).

    f_m learns from L(f(m x), y) with f held still, and composites send it no gradient: it would learn to leave no room
    for backgrounds. A network that is held still is applied as in prediction.

    Args:
      f, f_m, f_b: the networks.
      task: the loss L.
      mask: what f_m is held to.
      variation: what is random in composites.
      brightness_weight: of relu(mean(b) - 0.5), which f_b minimises, on images of one channel.
      recoloured: what f_b paints is seen in random colours, as `images.light.recolour`.
      ascent: how each image's worst background is searched from what f_b painted; None does not.
    """
    mask_terms = make_mask_terms(f, f_m, task, mask)
    set_before = make_set_before(
        f, f_b, task, variation=variation, brightness_weight=brightness_weight, recoloured=recoloured, ascent=ascent
    )

    def objective(keys, networks, batch, active):
        batch.check(keys, networks, active)
        x, m, targets = batch.images, batch.masks, batch.targets
        total, metrics, changed = jnp.zeros(()), {}, {}
        if "f_m" in active:
            total, m, metrics, changed["f_m"] = mask_terms(networks, batch, network_key(keys, 1))
        if "f_b" in active:
            x, targets, brightness, changed["f_b"] = set_before(keys, networks, batch, m)
            total -= brightness
        if "f" in active or "f_b" in active:
            outputs, changed["f"] = f.apply(networks["f"], x, train="f" in active, key=network_key(keys, 0))
            measures = task.metrics(outputs, targets)
            metrics |= measures
            total += measures["loss"]
        return total, (metrics, changed)

    def init(key):
        keys = jax.random.split(key, 3)
        return {"f": f.init(keys[0]), "f_m": f_m.init(keys[1]), "f_b": f_b.init(keys[2])}

    return Method(
        task,
        init=init,
        objective=objective,
        predict=lambda networks, x: f.apply(networks["f"], x)[0],
        predict_mask=lambda networks, x: f_m.apply(networks["f_m"], x)[0],
        cut=mask.cut,
        takes_likeness=bool(mask.border_weight),
        binary_masks=mask.binarize != "none",
        paint=lambda networks, keys: paint(f_b, networks, keys)[0],
    )


def make(config: ConfigDict, description: Description, task: Task) -> Method:
    shape, background = description.input_shape, config.background
    for name in ("copies", "training_images"):
        if task.visible is not None and background[name]:
            what = f"with config.task {config.task}, whose targets know nothing of further objects: 0"
            raise InputError(f"config.background.{name} is {background[name]}; allowed {what}")
    f = make_configured(config, task, shape=shape)
    side = config.mask.size or description.size
    if side > description.size:
        raise InputError(f"config.mask.size is {side}; allowed for {description.name}: up to {description.size} pixels")
    f_m = flax_network(MaskGenerator(config.mask.width), (side, side, shape[-1]))
    if side < description.size:
        f_m = at_size(f_m, side)
    if config.mask.kind == "nonzero":
        f_m = stateless(lambda key: {}, lambda params, x: (x > 0).any(axis=-1, keepdims=True).astype(x.dtype))
    return make_proposal(
        make_network(config, f, shape=shape),
        f_m,
        background_source(background.kind, shape, background.tiles, background.width),
        task,
        mask=MaskOptions(**{name: config.mask[name] for name in MaskOptions._fields}),
        variation=Variation(
            halo=config.mask.halo,
            erosion=config.mask.erosion,
            least_halo=config.mask.least_halo,
            move=background.move,
            ink_share=background.ink_share,
            ink_contrast=background.ink_contrast,
            negative_share=background.negative_share,
            copies=background.copies,
        ),
        brightness_weight=background.brightness_weight,
        recoloured=background.recolour,
        ascent=Ascent(background.ascent_steps, background.ascent_budget) if background.ascent_steps else None,
    )
