"""The train state, and one optimiser per network; f_b's ends in a change of sign, so it ascends."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from bginv_jax import config as configs
from bginv_jax.methods.contract import Method
from bginv_jax.methods.registry import METHODS, make_method
from bginv_jax.methods.schedule import make_phases, make_rate

Optimizers = dict[str, optax.GradientTransformation]


class TrainState(NamedTuple):
    """All that a checkpoint holds of a run in progress.

    step: int32 (), how many steps were taken.
    key: the run's key; whatever is random follows from it and the step.
    params, opt_state: by network name.

    Of several seeds together, all but the step have a leading axis of seeds.
    """

    step: jax.Array
    key: jax.Array
    params: dict[str, Any]
    opt_state: dict[str, Any]


def ascend() -> optax.GradientTransformation:
    """Turns an optimiser's descent into ascent: the poster's max over f_b."""
    return optax.scale(-1.0)


def make_optimizers(config: ConfigDict) -> Optimizers:
    """Adam for each network of the config's method, at its rate along the schedule; AdamW for f where it decays."""
    phases = make_phases(config.schedule, config.steps)
    rates = {
        name: make_rate(name, config.rate[name], config.rate.decay, phases) for name in METHODS[config.method].networks
    }
    optimizers = {name: optax.adam(rate) for name, rate in rates.items()}
    if config.weight_decay:
        optimizers["f"] = optax.adamw(rates["f"], weight_decay=config.weight_decay)
    if "f_b" in optimizers:
        optimizers["f_b"] = optax.chain(optimizers["f_b"], ascend())
    return optimizers


def init_state(seed: int, init: Callable[[jax.Array], dict[str, Any]], optimizers: Optimizers) -> TrainState:
    """The state before the first step; init(key) -> params by network name."""
    key = jax.random.key(seed)
    params = init(jax.random.fold_in(key, 0))
    opt_state = {name: optimizer.init(params[name]) for name, optimizer in optimizers.items()}
    return TrainState(jnp.zeros((), jnp.int32), key, params, opt_state)


def init_seeds(config: ConfigDict, method: Method) -> TrainState:
    """The state before the first step of the config: of its one seed, or of all `config.seeds` together."""
    optimizers = make_optimizers(config)
    if not config.seeds:
        return init_state(config.seed, method.init, optimizers)
    return stack_seeds([init_state(seed, method.init, optimizers) for seed in config.seeds])


def stack_seeds(states: list[TrainState]) -> TrainState:
    """States of single seeds, at the same step, as one state of several."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)._replace(step=states[0].step)


def split_seeds(params: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """The parameters of each of `count` seeds of a state of several."""
    return [jax.tree.map(lambda leaf, i=i: leaf[i], params) for i in range(count)]


def abstract_state(config: ConfigDict, method: Method) -> TrainState:
    """The shapes and types of the config's state, without computing it."""
    return jax.eval_shape(lambda: init_seeds(config, method))


def saved_template(meta: dict) -> TrainState:
    """The shapes of the state beside a checkpoint's meta."""
    config = configs.saved_config(meta["config"])
    return abstract_state(config, make_method(config, meta["dataset"]))
