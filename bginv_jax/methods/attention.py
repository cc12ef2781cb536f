"""Attention: a second network looks at the crop where the first one looked (Guan et al. 2018). The second row."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from bginv_jax.images import attention
from bginv_jax.methods.contract import Method
from bginv_jax.methods.tasks import Task, classification
from bginv_jax.networks.classifiers import Classifier, LocalClassifier
from bginv_jax.networks.contract import Network, flax_network


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


def make(config, shape: tuple[int, int, int], classes: int) -> Method:
    f, f_l = Classifier(classes), LocalClassifier(classes)
    maps = jax.eval_shape(lambda x: f.init_with_output(jax.random.key(0), x, truncated=True)[0], jnp.zeros((1, *shape)))

    def init_f_l(key):
        return f_l.init(key, jnp.zeros((1, *shape)), jnp.zeros((1, maps.shape[-1])))["params"]

    return make_attention(
        flax_network(f, shape),
        lambda params, x: f.apply({"params": params}, x, truncated=True),
        Network(init_f_l, lambda params, inputs: f_l.apply({"params": params}, *inputs)),
        classification(config.label_smoothing),
        threshold=config.attention.threshold,
    )
