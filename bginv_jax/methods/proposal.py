"""The proposal: min over f, f_m, max over f_b of one loss of objects before painted backgrounds. The third row."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from bginv_jax.images import compose as composites
from bginv_jax.images.compose import compose
from bginv_jax.images.masks import binarize, mean_area, total_variation
from bginv_jax.methods.contract import Method
from bginv_jax.methods.tasks import Task, classification
from bginv_jax.networks.classifiers import CLASSIFIERS
from bginv_jax.networks.contract import BackgroundSource, Network, flax_network
from bginv_jax.networks.generators import MaskGenerator, background_source

MASKS = ("learned", "nonzero")
FILLS = ("black", "backdrop")


BACKGROUND_KINDS = ("generated", "noise", "black")


def make_proposal(f: Network, f_m: Network, f_b: BackgroundSource, task: Task, *, mask, background) -> Method:
    """The poster's min over f, f_m, max over f_b of the sum of L(f(m x + b (1 - m)), y).

    f_m learns from L(f(m x), y) with f held still, and composites send it no gradient: it would learn to leave no room
    for backgrounds. `mask` and `background` are the config's groups of these names.
    """

    def cut(m):
        return binarize(m, mask.binarize, area=mask.area)

    def mask_terms(params, batch):
        """L(f(x * f_m(x)), y) with black as fill, the area above what is free, total variation; and the masks, cut."""
        m = f_m.apply(params["f_m"], batch.images)
        outputs = f.apply(lax.stop_gradient(params["f"]), compose(batch.images, m, batch.fill))
        area = mean_area(m)
        loss = task.loss(outputs, batch.targets).mean()
        penalty = mask.area_weight * nn.relu(area - mask.area).mean()
        penalty += mask.variation_weight * total_variation(m).mean()
        contrast = m.max(axis=(1, 2, 3)) - m.min(axis=(1, 2, 3))
        metrics = {"mask_loss": loss, "mask_area": area.mean(), "mask_contrast": contrast.mean()}
        return loss + penalty, cut(lax.stop_gradient(m)), metrics

    def paint(params, keys):
        return f_b.apply(params["f_b"], jax.vmap(f_b.draw)(keys))

    def set_before(keys, params, x, m, pictures):
        """Objects before pictures, then before what f_b paints; and what brightness costs f_b."""
        painted = paint(params, composites.painter_keys(keys[0 if pictures is None else len(pictures) :]))
        excess = nn.relu(painted.mean(axis=(1, 2, 3)) - 0.5) if painted.shape[-1] == 1 else jnp.zeros(1)
        b = painted if pictures is None else jnp.concatenate([pictures, painted])
        composed = composites.make(keys, x, m, b, mask=mask, background=background)
        return composed, background.brightness_weight * excess.sum() / max(1, len(painted))

    def objective(keys, params, batch, active):
        x, m, plain = batch.images, batch.masks, batch.plain
        total, metrics = jnp.zeros(()), {}
        if "f_m" in active:
            total, m, metrics = mask_terms(params, batch)
        if "f_b" in active:
            composed, brightness = set_before(keys[plain:], params, x[plain:], m[plain:], batch.pictures)
            x = jnp.concatenate([x[:plain], composed])
            total -= brightness
        if "f" in active or "f_b" in active:
            measures = task.measure(f.apply(params["f"], x), batch.targets)
            metrics |= measures
            total += measures["loss"]
        return total, metrics

    def init(key):
        keys = jax.random.split(key, 3)
        return {"f": f.init(keys[0]), "f_m": f_m.init(keys[1]), "f_b": f_b.init(keys[2])}

    return Method(
        init,
        objective,
        predict=lambda params, x: f.apply(params["f"], x),
        task=task,
        predict_mask=lambda params, x: f_m.apply(params["f_m"], x),
        binarize=cut,
        paint=paint,
    )


def make(config, shape: tuple[int, int, int], classes: int) -> Method:
    f_m = flax_network(MaskGenerator(), shape)
    if config.mask.kind == "nonzero":
        f_m = Network(lambda key: {}, lambda params, x: (x > 0).any(axis=-1, keepdims=True).astype(x.dtype))
    return make_proposal(
        flax_network(CLASSIFIERS[config.classifier](classes), shape),
        f_m,
        background_source(config.background.kind, shape, config.background.tiles),
        classification(config.label_smoothing),
        mask=config.mask,
        background=config.background,
    )
