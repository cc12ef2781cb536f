"""What is learned: the loss that is trained, and the measures that are reported, of outputs and targets.

Targets are any pytree with a leading axis of images. A task is one function here and one entry in TASKS.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from bginv_jax.data.dataset import Description
from bginv_jax.errors import InputError
from bginv_jax.images.augment import Moves
from bginv_jax.worlds.contract import SIDE
from bginv_jax.worlds.registry import KIND, find_world

Targets = Any
Measures = dict[str, jax.Array]


def _means(measures: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The count and the means; of "accuracy" in percent, as every record has it."""
    means = {name: float(np.mean(values, dtype=np.float64)) for name, values in measures.items()}
    if "accuracy" in means:
        means["accuracy"] *= 100
    return {"count": len(next(iter(measures.values())))} | means


@dataclasses.dataclass(frozen=True)
class Task:
    """A task, for a network f that gives `outputs` values for each image.

    loss(outputs, targets) -> (N,), what f and f_m minimise and f_b maximises.
    measures(outputs, targets) -> {name: (N,)}, what is reported; of JAX's arrays in training, of NumPy's in scoring.
    shown: which of them a table shows, or of those of `evaluation.playing` where f acts, and `larger_is_better` whether
      that is good.
    record(measures) -> what a record says of all images, among it `shown`; by default the count and the means, of an
      accuracy in percent.
    move(targets, moves) -> the targets of images that were moved so (`images.augment.Moves`); by default they stay.
    describe(outputs) -> a text for each image, for figures.
    """

    outputs: int
    loss: Callable[[jax.Array, Targets], jax.Array]
    measures: Callable[[jax.Array | np.ndarray, Targets], Measures]
    shown: str
    larger_is_better: bool = True
    record: Callable[[Mapping[str, np.ndarray]], dict[str, Any]] = _means
    move: Callable[[Targets, Moves], Targets] = lambda targets, moves: targets
    describe: Callable[[np.ndarray], list[str]] = lambda outputs: [np.array2string(one, precision=2) for one in outputs]

    def metrics(self, outputs: jax.Array, targets: Targets) -> dict[str, jax.Array]:
        """The loss and all measures as means over the batch, by name."""
        loss = self.loss(outputs, targets).mean()
        return {"loss": loss} | {name: values.mean() for name, values in self.measures(outputs, targets).items()}


def classification(class_names: Sequence[str] = (), *, smoothing: float = 0.0) -> Task:
    """Cross-entropy with labels (N,), a share `smoothing` of each spread over all classes (Szegedy et al. 2016)."""

    def loss(logits, labels):
        if not smoothing:
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        wanted = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), smoothing)
        return optax.softmax_cross_entropy(logits, wanted)

    def record(measures):
        correct, count = int(measures["accuracy"].sum()), len(measures["accuracy"])
        return {"correct": correct, "count": count, "accuracy": 100 * correct / count}

    return Task(
        outputs=len(class_names),
        loss=loss,
        measures=lambda logits, labels: {"accuracy": logits.argmax(axis=-1) == labels},
        shown="accuracy",
        record=record,
        describe=lambda logits: [class_names[i] for i in np.argmax(logits, axis=-1)],
    )


CLASSIFICATION = classification()


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
    )


def q_learning(action_names: Sequence[str]) -> Task:
    """The Huber loss of Q(image, action) and what the action was worth (Mnih et al. 2015); targets are a pytree.

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
        loss=lambda outputs, targets: optax.huber_loss(errors(outputs, targets)),
        measures=lambda outputs, targets: {"value_error": jnp.abs(errors(outputs, targets))},
        shown="share_of_best",
        describe=lambda outputs: [action_names[i] for i in np.argmax(outputs, axis=-1)],
    )


def _classification(config: ConfigDict, description: Description) -> Task:
    if not description.class_names:
        raise InputError(f"config.task is 'classification', but data set {description.name} has no classes")
    return classification(description.class_names, smoothing=config.label_smoothing)


def _regression(config: ConfigDict, description: Description) -> Task:
    if config.label_smoothing:
        raise InputError(
            f"config.label_smoothing is {config.label_smoothing}; allowed with config.task regression: 0.0"
        )
    return regression(description.target_shape)


def _q_learning(config: ConfigDict, description: Description) -> Task:
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


# By config.task: (config, description of the data) -> Task.
TASKS: dict[str, Callable[..., Task]] = {
    "classification": _classification,
    "regression": _regression,
    "q_learning": _q_learning,
}
