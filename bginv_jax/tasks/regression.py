"""Which number is it, or which numbers? Targets are (N, ...), outputs (N, numbers)."""

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from bginv_jax.data.dataset import Description
from bginv_jax.errors import InputError
from bginv_jax.tasks.contract import Task


def regression(target_shape: tuple[int, ...] = ()) -> Task:
    """Half the squared error, summed over a target's numbers; reported is the mean absolute error.

    Args:
      target_shape: of one image's target: targets are (N, *target_shape).
    """

    def errors(outputs, targets):
        return outputs - targets.reshape(outputs.shape)

    return Task(
        outputs=int(np.prod(target_shape, dtype=int)),
        loss=lambda outputs, targets: 0.5 * (errors(outputs, targets) ** 2).sum(axis=-1),
        measures=lambda outputs, targets: {"mean_absolute_error": jnp.abs(errors(outputs, targets)).mean(axis=-1)},
        shown="mean_absolute_error",
        larger_is_better=False,
        meaning="the numbers of a target of training, in its order and units",
    )


def refuse_smoothing(config: ConfigDict, task: str) -> None:
    """Refuses smoothed labels for a task of this name, which has none.

    Raises:
      InputError: names field and task.
    """
    if config.label_smoothing:
        raise InputError(f"config.label_smoothing is {config.label_smoothing}; allowed with config.task {task}: 0.0")


def make(config: ConfigDict, description: Description) -> Task:
    refuse_smoothing(config, "regression")
    if description.pixel_classes:
        what = f"the targets of data set {description.name} are classes of pixels"
        raise InputError(f"config.task is 'regression', but {what}; allowed: segmentation")
    return regression(description.target_shape)
