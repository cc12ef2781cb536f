"""Vanilla: f alone, on plain images. The first row of Table 1."""

from ml_collections import ConfigDict

from bginv_jax.data.dataset import Description
from bginv_jax.methods.configured import make_configured, make_network
from bginv_jax.methods.contract import Method, network_key
from bginv_jax.networks.contract import Network
from bginv_jax.tasks.contract import Task


def make_vanilla(f: Network, task: Task) -> Method:
    """f alone: minimises L(y, f(x)), the poster's first step."""

    def objective(keys, networks, batch, active):
        outputs, changed = f.apply(networks["f"], batch.images, train=True, key=network_key(keys, 0))
        metrics = task.metrics(outputs, batch.targets)
        return metrics["loss"], (metrics, {"f": changed})

    return Method(
        task,
        init=lambda key: {"f": f.init(key)},
        objective=objective,
        predict=lambda networks, x: f.apply(networks["f"], x)[0],
    )


def make(config: ConfigDict, description: Description, task: Task) -> Method:
    f = make_configured(config, task, shape=description.input_shape)
    return make_vanilla(make_network(config, f, shape=description.input_shape), task)
