"""What is learned: a loss of outputs and targets, and what is reported of them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import optax


class Task(NamedTuple):
    """loss(outputs, targets) -> (N,) is minimised; score(outputs, targets) -> (N,) is what logs and tables show."""

    loss: Callable[[jax.Array, jax.Array], jax.Array]
    score: Callable[[jax.Array, jax.Array], jax.Array]
    score_name: str = "accuracy"

    def measure(self, outputs: jax.Array, targets: jax.Array) -> dict[str, jax.Array]:
        """Both as means over the batch, by name."""
        return {"loss": self.loss(outputs, targets).mean(), self.score_name: self.score(outputs, targets).mean()}


def classification(smoothing: float = 0.0) -> Task:
    """Cross-entropy with labels (N,), a share `smoothing` of each spread over all classes (Szegedy et al. 2016)."""

    def loss(logits, labels):
        if not smoothing:
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        wanted = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), smoothing)
        return optax.softmax_cross_entropy(logits, wanted)

    return Task(loss, score=lambda logits, labels: logits.argmax(axis=-1) == labels)


CLASSIFICATION = classification()
