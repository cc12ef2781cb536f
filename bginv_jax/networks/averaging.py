"""The running average of a network's weights, with which it predicts (Polyak and Juditsky 1992).

Along a training the weights circle around a minimum; their mean lies in a flatter place, which carries further to
images unlike those of training (Izmailov et al. 2018, Cha et al. 2021).
"""

import jax
import jax.numpy as jnp

from bginv_jax.networks.contract import Network, Variables

AVERAGE = "average"  # the collection of variables that holds it


def averaged(network: Network, decay: float) -> Network:
    """The network, which in training moves the average of its weights, and otherwise is applied with it.

    Args:
      network: any.
      decay: of the average, each step: it reaches back over some 1 / (1 - decay) steps, in the beginning over a tenth
        of those that were taken.
    """

    def apply(variables, inputs, *, train=False, key=None):
        if not train:
            return network.apply(predicting(variables), inputs, key=key)[0], variables
        outputs, changed = network.apply(_without(variables), inputs, train=True, key=key)
        before = variables[AVERAGE]
        share = jnp.minimum(decay, (1 + before["steps"]) / (10 + before["steps"]))
        weights = jax.tree.map(
            lambda mean, new: share * mean + (1 - share) * jax.lax.stop_gradient(new),
            before["weights"],
            variables["params"],
        )
        return outputs, {**changed, AVERAGE: {"weights": weights, "steps": before["steps"] + 1}}

    return Network(lambda key: restarted(network.init(key)), apply)


def restarted(variables: Variables) -> dict:
    """Variables whose average is their weights."""
    return {**_without(variables), AVERAGE: {"weights": variables["params"], "steps": jnp.float32(0)}}


def predicting(variables: Variables) -> Variables:
    """Variables with which a network predicts: the average as its weights, where there is one."""
    if AVERAGE not in variables:
        return variables
    return {**_without(variables), "params": variables[AVERAGE]["weights"]}


def _without(variables: Variables) -> dict:
    return {name: value for name, value in variables.items() if name != AVERAGE}
