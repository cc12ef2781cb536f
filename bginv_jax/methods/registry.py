"""The methods by name: each is a file of this folder and one entry here."""

from bginv_jax.methods import attention, proposal, vanilla
from bginv_jax.methods.contract import Method, Recipe

METHODS: dict[str, Recipe] = {
    "vanilla": Recipe(("f",), vanilla.make),
    "attention": Recipe(("f", "f_l"), attention.make),
    "proposal": Recipe(("f", "f_m", "f_b"), proposal.make),
}


def make_method(config, dataset: dict) -> Method:
    """The config's method for a data set as `Dataset.describe` has it.

    Raises:
      ValueError: if a field of the config does not suit the data set.
    """
    size, channels = dataset["size"], dataset["shape"][-1]
    return METHODS[config.method].make(config, (size, size, channels), len(dataset["class_names"]))
