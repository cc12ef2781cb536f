"""Which class is it? Targets are labels (N,), outputs logits (N, classes)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from bginv_jax.data.dataset import Description
from bginv_jax.errors import InputError
from bginv_jax.tasks.contract import Task


def _margin(logits: jax.Array, labels: jax.Array) -> jax.Array:
    own = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
    return logits.max(axis=-1, where=~own, initial=-jnp.inf) - logits.max(axis=-1, where=own, initial=-jnp.inf)


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
        margin=_margin,
        shown="accuracy",
        record=record,
        describe=lambda logits: [class_names[i] for i in np.argmax(logits, axis=-1)],
        classes=tuple(class_names),
        meaning="logits of the classes, in the order of their names; softmax makes probabilities of them",
    )


CLASSIFICATION = classification()


def make(config: ConfigDict, description: Description) -> Task:
    if not description.class_names:
        raise InputError(f"config.task is 'classification', but data set {description.name} has no classes")
    return classification(description.class_names, smoothing=config.label_smoothing)
