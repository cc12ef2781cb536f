"""The tasks by name: each is a file of this folder and one entry here."""

from collections.abc import Callable

from bginv_jax.tasks import classification, q_learning, regression, rotation, segmentation
from bginv_jax.tasks.contract import Task

# By config.task: (config, description of the data) -> Task. Each raises InputError where a field or the data do not
# suit it.
TASKS: dict[str, Callable[..., Task]] = {
    "classification": classification.make,
    "regression": regression.make,
    "rotation": rotation.make,
    "q_learning": q_learning.make,
    "segmentation": segmentation.make,
}
