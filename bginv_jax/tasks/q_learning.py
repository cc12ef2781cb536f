"""What is an action worth? Targets are a pytree of actions and values, outputs (N, actions)."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from bginv_jax.data.dataset import Description
from bginv_jax.errors import InputError
from bginv_jax.tasks.contract import Task
from bginv_jax.worlds.contract import SIDE
from bginv_jax.worlds.registry import KIND, find_world

# Whose f sees nothing loses 0.1 of rewards of 1; scaled, about as much as who guesses one of ten classes, so that the
# weights of what masks are held to mean the same. Unscaled, the area's took all of the mask.
_SCALE = 20.0


def q_learning(action_names: Sequence[str]) -> Task:
    """The Huber loss of Q(image, action) and what the action was worth (Mnih et al. 2015), scaled.

    Targets have "action", int (N,), and "value", float (N,): the reward, and what the target network says of the plain
    picture that followed. What tables show is measured by playing.

    Args:
      action_names: one for each output.
    """

    def errors(outputs, targets):
        rows = jnp.arange(len(outputs))
        return jnp.asarray(outputs)[rows, targets["action"]] - targets["value"]

    return Task(
        outputs=len(action_names),
        loss=lambda outputs, targets: _SCALE * optax.huber_loss(errors(outputs, targets)),
        measures=lambda outputs, targets: {"value_error": jnp.abs(errors(outputs, targets))},
        shown="share_of_best",
        describe=lambda outputs: [action_names[i] for i in np.argmax(outputs, axis=-1)],
        columns=tuple(action_names),
        meaning="what each action is worth, the best is taken: " + ", ".join(action_names),
    )


def make(config: ConfigDict, description: Description) -> Task:
    world = find_world(description.name)
    if world is None:
        raise InputError(f"config.task is 'q_learning', but data set {description.name} is no {KIND}:NAME")
    seen = (SIDE, SIDE, 1)
    if description.input_shape != seen:
        raise InputError(
            f"config.data.image_size and config.data.channels make images of {description.input_shape}; allowed with "
            f"{description.name}, whose pictures are of {seen}: 0 and 0"
        )
    for field, value in (("label_smoothing", config.label_smoothing), ("augment.flip", config.augment.flip)):
        if value:  # in a mirror left is right
            raise InputError(f"config.{field} is {value}; allowed with config.task q_learning: {type(value)()}")
    return q_learning(world.actions)
