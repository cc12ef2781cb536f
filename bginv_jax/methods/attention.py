"""Attention: a second network looks at the crop where the first one looked (Guan et al. 2018). The second row."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from ml_collections import ConfigDict

from bginv_jax.data.dataset import Description
from bginv_jax.images import attention
from bginv_jax.methods.configured import make_configured, make_network
from bginv_jax.methods.contract import Method, network_key
from bginv_jax.networks.averaging import predicting
from bginv_jax.networks.classifiers import LocalClassifier
from bginv_jax.networks.contract import Network, Variables, flax_network, told
from bginv_jax.tasks.contract import Task


def make_attention(
    f: Network, truncated: Callable[[Variables, jax.Array], jax.Array], f_l: Network, task: Task, *, threshold: float
) -> Method:
    """The global network f, then f_l on the crop where f looks, with what f saw (Guan et al. 2018).

    Args:
      f: learns from whole images, and not from f_l.
      truncated: (variables of f, images) -> f's last maps (N, s, s, K).
      f_l: takes the pair (crops, maps on average (N, K)).
      task: both losses.
      threshold: of the heat map, from 0 to 1.
    """

    def look(networks, x):
        maps = lax.stop_gradient(truncated(networks["f"], x))
        heat = attention.heat_map(maps)
        return maps, heat, attention.attended_box(heat, threshold=threshold, size=x.shape[1])

    def whole(networks, x, **options):
        return f.apply(networks["f"], x, **options)

    def local(networks, x, **options):
        maps, _, boxes = look(networks, x)
        return f_l.apply(networks["f_l"], (attention.crop(x, boxes), maps.mean(axis=(1, 2))), **options)

    def objective(keys, networks, batch, active):
        total, metrics, changed = jnp.zeros(()), {}, {}
        apply = {"f": whole, "f_l": local}
        for number, name in enumerate(active):
            outputs, changed[name] = apply[name](networks, batch.images, train=True, key=network_key(keys, number))
            metrics = task.metrics(outputs, batch.targets)
            total += metrics["loss"]
        return total, (metrics, changed)

    def init(key):
        keys = jax.random.split(key)
        return {"f": f.init(keys[0]), "f_l": f_l.init(keys[1])}

    return Method(
        task,
        init=init,
        objective=objective,
        predict=lambda networks, x: local(networks, x)[0],
        attend=lambda networks, x: look(networks, x)[1:],
    )


def make(config: ConfigDict, description: Description, task: Task) -> Method:
    shape = description.input_shape
    f = make_configured(config, task, shape=shape)
    options: dict[str, Any] = {"truncated": True, **told(f, train=False)}
    maps = jax.eval_shape(lambda x: f.init_with_output(jax.random.key(0), x, **options)[0], jnp.zeros((1, *shape)))

    def truncated(variables: Variables, x: jax.Array) -> jax.Array:
        maps = f.apply(predicting(variables), x, **options)
        assert isinstance(maps, jax.Array)
        return maps

    return make_attention(
        make_network(config, f, shape=shape),
        truncated,
        flax_network(LocalClassifier(task.outputs), shape, maps.shape[-1:]),
        task,
        threshold=config.attention.threshold,
    )
