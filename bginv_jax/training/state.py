"""The train state, and one optimiser per network; f_b's ends in a change of sign, so it ascends."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from bginv_jax.methods.contract import Networks
from bginv_jax.methods.schedule import Phase, make_rate
from bginv_jax.networks.contract import Variables
from bginv_jax.training.muon import make_muon

Optimizers = dict[str, optax.GradientTransformation]


class TrainState(NamedTuple):
    """All that a checkpoint holds of a run in progress.

    step: int32 (), how many steps were taken.
    key: the run's key; whatever is random follows from it and the step.
    params, opt_state: by network name.
    statistics: by network name, its variables besides params, such as running averages.
    memory: what a player remembers, `reinforcement.Memory`; () of other tasks.

    Of several seeds together, all but the step have a leading axis of seeds.
    """

    step: jax.Array
    key: jax.Array
    params: dict[str, Any]
    opt_state: dict[str, Any]
    statistics: dict[str, Any]
    memory: Any = ()

    def networks(self, params: Mapping[str, Any] | None = None) -> Networks:
        """The variables of each network, of some of them with other `params`."""
        params = {**self.params, **(params or {})}
        return {name: {"params": params[name], **self.statistics[name]} for name in params}


def ascend() -> optax.GradientTransformation:
    """Turns an optimiser's descent into ascent: the poster's max over f_b."""
    return optax.scale(-1.0)


def make_optimizers(
    phases: tuple[Phase, ...],
    rates: Mapping[str, float],
    *,
    decay: str = "constant",
    weight_decay: float = 0.0,
    frozen: Collection[str] = (),
    muon: Collection[str] = (),
) -> Optimizers:
    """Adam for each network at its rate along the phases; AdamW for f where its weights decay; f_b ascends.

    Args:
      phases: of the run.
      rates: the learning rate by network.
      decay: one of `schedule.DECAYS`.
      weight_decay: of f alone.
      frozen: names in f's parameters of what keeps its values, whatever its gradient and decay.
      muon: networks whose matrices follow `muon.make_muon` instead.
    """
    optimizers = {}
    for name, rate in rates.items():
        schedule, decayed = make_rate(name, rate, decay, phases), weight_decay if name == "f" else 0.0
        optimizers[name] = optax.adamw(schedule, weight_decay=decayed) if decayed else optax.adam(schedule)
        if name in muon:
            optimizers[name] = make_muon(schedule, weight_decay=decayed, beside=optimizers[name])
    if frozen:
        parts = {"trained": optimizers["f"], "frozen": optax.set_to_zero()}
        optimizers["f"] = optax.partition(
            parts, lambda params: {name: "frozen" if name in frozen else "trained" for name in params}
        )
    if "f_b" in optimizers:
        optimizers["f_b"] = optax.chain(optimizers["f_b"], ascend())
    return optimizers


def init_state(seed: int, init: Callable[[jax.Array], Networks], optimizers: Optimizers) -> TrainState:
    """The state before the first step; init(key) -> variables by network name."""
    key = jax.random.key(seed)
    networks = init(jax.random.fold_in(key, 0))
    params, statistics = split_variables(networks)
    opt_state = {name: optimizer.init(params[name]) for name, optimizer in optimizers.items()}
    return TrainState(jnp.zeros((), jnp.int32), key, params, opt_state, statistics)


def split_variables(networks: Networks) -> tuple[dict[str, Any], dict[str, Any]]:
    """Variables by network name as params and statistics, each by network name."""
    params = {name: variables["params"] for name, variables in networks.items()}
    return params, {name: without_params(variables) for name, variables in networks.items()}


def without_params(variables: Variables) -> dict[str, Any]:
    """What an optimiser does not change of a network's variables."""
    return {name: tree for name, tree in variables.items() if name != "params"}


def stack_seeds(states: Sequence[TrainState]) -> TrainState:
    """States of single seeds, at the same step, as one state of several."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)._replace(step=states[0].step)


def split_seeds(tree: Any, count: int) -> list[Any]:
    """The arrays of each of `count` seeds of a tree with a leading axis of seeds."""
    return [jax.tree.map(lambda leaf, i=i: leaf[i], tree) for i in range(count)]
