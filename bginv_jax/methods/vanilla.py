"""Vanilla: f alone, on plain images. The first row of Table 1."""

from bginv_jax.methods.contract import Method
from bginv_jax.methods.tasks import Task, classification
from bginv_jax.networks.classifiers import CLASSIFIERS
from bginv_jax.networks.contract import Network, flax_network


def make_vanilla(f: Network, task: Task) -> Method:
    """f alone, on plain images."""

    def objective(keys, params, batch, active):
        measures = task.measure(f.apply(params["f"], batch.images), batch.targets)
        return measures["loss"], measures

    return Method(lambda key: {"f": f.init(key)}, objective, lambda params, x: f.apply(params["f"], x), task)


def make(config, shape: tuple[int, int, int], classes: int) -> Method:
    f = flax_network(CLASSIFIERS[config.classifier](classes), shape)
    return make_vanilla(f, classification(config.label_smoothing))
