"""The methods by name: what each trains, its one saddle-point scalar, and how it predicts.

Images are NHWC float32 in [0, 1], masks (N, H, W, 1). A loss takes (outputs, targets) and returns one value per image,
so nothing here knows that the task is classification.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax import lax

from bginv_jax import attention, composites, networks
from bginv_jax import images as image_ops
from bginv_jax.networks import BackgroundSource, Network

MASKS = ("learned", "nonzero")
BACKGROUND_KINDS = ("generated", "noise", "black")

Params = Mapping[str, Any]


class Batch(NamedTuple):
    """What a step learns from.

    images: (N, S, S, C), augmented.
    masks: (N, S, S, 1), cut and moved as the images were, or None where f_m makes them in the same step.
    targets: (N, ...).
    plain: how many images, from the first, keep their own background (static).
    pictures: (P, S, S, C) that stand behind the first P objects after the plain ones; f_b paints the others. None is 0.
    fill: (S, S, C), what f_m puts where it sees no object, or 0 for black.
    """

    images: jax.Array
    masks: jax.Array | None
    targets: jax.Array
    plain: int
    pictures: jax.Array | None = None
    fill: jax.Array | float = 0.0


class Task(NamedTuple):
    """loss(outputs, targets) -> (N,) is minimised; score(outputs, targets) -> (N,) is what logs and tables show."""

    loss: Callable[[jax.Array, jax.Array], jax.Array]
    score: Callable[[jax.Array, jax.Array], jax.Array]
    score_name: str = "accuracy"

    def measure(self, outputs: jax.Array, targets: jax.Array) -> dict[str, jax.Array]:
        """Both as means over the batch, by name."""
        return {"loss": self.loss(outputs, targets).mean(), self.score_name: self.score(outputs, targets).mean()}


@dataclasses.dataclass(frozen=True)
class Method:
    """A row of Table 1.

    init(key) -> params of the networks by name.
    objective(keys, params, batch, active) -> (scalar, metrics): f and f_m minimise the scalar, f_b maximises it;
      `active` names the networks that train, keys is (N,). Metrics are scalars, means over the batch.
    predict(params, images) -> outputs, which `task` scores.
    predict_mask(params, images) -> masks, and binarize(masks) -> masks as composites take them; None without masks.
    paint(params, keys) -> backgrounds (N, S, S, C); None where f_b does not paint them.
    attend(params, images) -> (heat maps, boxes) as `attention` has them; None without attention.
    """

    init: Callable[[jax.Array], dict[str, Any]]
    objective: Callable[[jax.Array, Params, Batch, tuple[str, ...]], tuple[jax.Array, dict[str, jax.Array]]]
    predict: Callable[[Params, jax.Array], jax.Array]
    task: Task
    predict_mask: Callable[[Params, jax.Array], jax.Array] | None = None
    binarize: Callable[[jax.Array], jax.Array] | None = None
    paint: Callable[[Params, jax.Array], jax.Array] | None = None
    attend: Callable[[Params, jax.Array], tuple[jax.Array, jax.Array]] | None = None


def classification(smoothing: float = 0.0) -> Task:
    """Cross-entropy with labels (N,), a share `smoothing` of each spread over all classes (Szegedy et al. 2016)."""

    def loss(logits, labels):
        if not smoothing:
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        wanted = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), smoothing)
        return optax.softmax_cross_entropy(logits, wanted)

    return Task(loss, score=lambda logits, labels: logits.argmax(axis=-1) == labels)


CLASSIFICATION = classification()


def make_vanilla(f: Network, task: Task) -> Method:
    """f alone, on plain images."""

    def objective(keys, params, batch, active):
        measures = task.measure(f.apply(params["f"], batch.images), batch.targets)
        return measures["loss"], measures

    return Method(lambda key: {"f": f.init(key)}, objective, lambda params, x: f.apply(params["f"], x), task)


def make_attention(f: Network, truncated: Callable, f_l: Network, task: Task, *, threshold: float) -> Method:
    """The global network f, then f_l on the crop where f looks, with what f saw (Guan et al. 2018).

    Args:
      f: learns from whole images, and not from f_l.
      truncated: (params of f, images) -> f's last maps (N, s, s, K).
      f_l: takes the pair (crops, maps on average (N, K)).
      task: both losses.
      threshold: of the heat map, from 0 to 1.
    """

    def look(params, x):
        maps = lax.stop_gradient(truncated(params["f"], x))
        heat = attention.heat_map(maps)
        return maps, heat, attention.attended_box(heat, threshold=threshold, size=x.shape[1])

    def predict(params, x):
        maps, _, boxes = look(params, x)
        return f_l.apply(params["f_l"], (attention.crop(x, boxes), maps.mean(axis=(1, 2))))

    def objective(keys, params, batch, active):
        total, metrics = jnp.zeros(()), {}
        predictors = {"f": lambda: f.apply(params["f"], batch.images), "f_l": lambda: predict(params, batch.images)}
        for name in active:
            metrics = task.measure(predictors[name](), batch.targets)
            total += metrics["loss"]
        return total, metrics

    def init(key):
        keys = jax.random.split(key)
        return {"f": f.init(keys[0]), "f_l": f_l.init(keys[1])}

    return Method(init, objective, predict, task, attend=lambda params, x: look(params, x)[1:])


def make_proposal(f: Network, f_m: Network, f_b: BackgroundSource, task: Task, *, mask, background) -> Method:
    """The poster's min over f, f_m, max over f_b of the sum of L(f(m x + b (1 - m)), y).

    f_m learns from L(f(m x), y) with f held still, and composites send it no gradient: it would learn to leave no room
    for backgrounds. `mask` and `background` are the config's groups of these names.
    """

    def binarize(m):
        return image_ops.binarize(m, mask.binarize, area=mask.area)

    def mask_terms(params, batch):
        """L(f(x * f_m(x)), y) with black as fill, the area above what is free, total variation; and the masks, cut."""
        m = f_m.apply(params["f_m"], batch.images)
        outputs = f.apply(lax.stop_gradient(params["f"]), image_ops.compose(batch.images, m, batch.fill))
        area = image_ops.area(m)
        loss = task.loss(outputs, batch.targets).mean()
        penalty = mask.area_weight * nn.relu(area - mask.area).mean()
        penalty += mask.variation_weight * image_ops.total_variation(m).mean()
        contrast = m.max(axis=(1, 2, 3)) - m.min(axis=(1, 2, 3))
        metrics = {"mask_loss": loss, "mask_area": area.mean(), "mask_contrast": contrast.mean()}
        return loss + penalty, binarize(lax.stop_gradient(m)), metrics

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
        binarize=binarize,
        paint=paint,
    )


def _vanilla(config, shape: tuple[int, int, int], classes: int) -> Method:
    f = networks.flax_network(networks.CLASSIFIERS[config.classifier](classes), shape)
    return make_vanilla(f, classification(config.label_smoothing))


def _attention(config, shape: tuple[int, int, int], classes: int) -> Method:
    f, f_l = networks.Classifier(classes), networks.LocalClassifier(classes)
    maps = jax.eval_shape(lambda x: f.init_with_output(jax.random.key(0), x, truncated=True)[0], jnp.zeros((1, *shape)))

    def init_f_l(key):
        return f_l.init(key, jnp.zeros((1, *shape)), jnp.zeros((1, maps.shape[-1])))["params"]

    return make_attention(
        networks.flax_network(f, shape),
        lambda params, x: f.apply({"params": params}, x, truncated=True),
        Network(init_f_l, lambda params, inputs: f_l.apply({"params": params}, *inputs)),
        classification(config.label_smoothing),
        threshold=config.attention.threshold,
    )


def _proposal(config, shape: tuple[int, int, int], classes: int) -> Method:
    f_m = networks.flax_network(networks.MaskGenerator(), shape)
    if config.mask.kind == "nonzero":
        f_m = Network(lambda key: {}, lambda params, x: (x > 0).any(axis=-1, keepdims=True).astype(x.dtype))
    return make_proposal(
        networks.flax_network(networks.CLASSIFIERS[config.classifier](classes), shape),
        f_m,
        networks.background_source(config.background.kind, shape, config.background.tiles),
        classification(config.label_smoothing),
        mask=config.mask,
        background=config.background,
    )


class Recipe(NamedTuple):
    """The networks that a method trains, and make(config, shape (S, S, C), classes) -> Method."""

    networks: tuple[str, ...]
    make: Callable[..., Method]


METHODS: dict[str, Recipe] = {
    "vanilla": Recipe(("f",), _vanilla),
    "attention": Recipe(("f", "f_l"), _attention),
    "proposal": Recipe(("f", "f_m", "f_b"), _proposal),
}


def make_method(config, dataset: dict) -> Method:
    """The config's method for a data set as `Dataset.describe` has it.

    Raises:
      ValueError: if a field of the config does not suit the data set.
    """
    size, channels = dataset["size"], dataset["shape"][-1]
    return METHODS[config.method].make(config, (size, size, channels), len(dataset["class_names"]))
