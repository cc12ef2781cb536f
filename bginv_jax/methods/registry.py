"""The methods by name: each is a file of this folder and one entry here."""

import dataclasses

from ml_collections import ConfigDict

from bginv_jax.data.dataset import Description
from bginv_jax.errors import InputError
from bginv_jax.methods import attention, proposal, vanilla
from bginv_jax.methods.configured import in_views
from bginv_jax.methods.contract import Method, Recipe
from bginv_jax.tasks.registry import TASKS

METHODS: dict[str, Recipe] = {
    "vanilla": Recipe(("f",), vanilla.make),
    "attention": Recipe(("f", "f_l"), attention.make),
    "proposal": Recipe(("f", "f_m", "f_b"), proposal.make),
}


def make_method(config: ConfigDict, description: Description) -> Method:
    """The config's method, with the config's task, for a data set.

    Raises:
      InputError: if a field of the config does not suit the data set.
    """
    method = METHODS[config.method].make(config, description, TASKS[config.task](config, description))
    if not config.classifier_views:
        return method
    if method.task.on_pixels:
        raise InputError(
            f"config.classifier_views is {tuple(config.classifier_views)}; task {config.task}, whose outputs are of "
            "pixels, takes ()"
        )
    return dataclasses.replace(method, predict=in_views(method.predict, config.classifier_views))
