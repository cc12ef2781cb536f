"""What a task is: the loss that is trained, and the measures that are reported, of outputs and targets.

Targets are any pytree with a leading axis of images.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from bginv_jax.images.augment import Moves

Targets = Any
Measures = dict[str, jax.Array]


def _means(measures: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The count and the means; of "accuracy" in percent, as every record has it."""
    means = {name: float(np.mean(values, dtype=np.float64)) for name, values in measures.items()}
    if "accuracy" in means:
        means["accuracy"] *= 100
    return {"count": len(next(iter(measures.values())))} | means


def _flat(outputs: np.ndarray) -> np.ndarray:
    return outputs.reshape(len(outputs), -1)


class Shown(NamedTuple):
    """A measure as a table shows it: its name in records, its unit for people, and whether a larger value is better."""

    name: str
    unit: str = ""
    larger_is_better: bool = True


class Trivial(NamedTuple):
    """Who looks at no image: its title, and what it says of any, the training targets -> one image's output."""

    title: str
    answer: Callable[[Targets], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Task:
    """A task, for a network f that gives `outputs` values for each image, or for each pixel.

    loss(outputs, targets) -> (N,), what f and f_m minimise and f_b maximises.
    margin(outputs, targets) -> (N,), by how much the best wrong answer is ahead, which a search climbs besides the
      loss; None where there is no such thing.
    measures(outputs, targets) -> {name: (N,)}, what is reported; of JAX's arrays in training, of NumPy's in scoring.
    shown: which value of a record a table shows, `unit` its unit for people, and `larger_is_better` whether that is
      good. Of a unit "%" tables have one digit.
    beside: further values of a record, each with a table of its own.
    statistics(outputs, targets) -> {name: (N, ...)}, what `record` needs besides, where the value of a whole set is no
      mean over images: sums of squares, or intersections and unions of classes.
    record(values) -> what a record says of all images, among it `shown` and `beside`, of the measures and statistics of
      each; by default the count and the means, of an accuracy in percent. A task with statistics has its own.
    move(targets, moves) -> the targets of images that were moved so (`images.augment.Moves`); by default they stay.
    visible(targets, masks) -> the targets of composites that show of each image what its mask (N, S, S, 1) shows; None
      where they stay.
    classes: the names of the classes where outputs are their logits.
    columns, numbers: names (K,) and outputs -> (N, K), what `predict` writes of each image; by default the outputs.
    describe(outputs) -> a text for each image, for figures.
    draw(picture, output) -> the picture with the prediction drawn on it, uint8 (H, W, 3), an image enlarged by a whole
      factor, and one image's output; None where the text alone is shown.
    on_pixels: whether outputs are (N, S, S, outputs), of the pixels that the network sees; predictors cut them back to
      the native size.
    trivial: who looks at no image, for a line of the table.
    meaning: what the outputs are, in words, for those who have an exported network and not this package.
    """

    outputs: int
    loss: Callable[[jax.Array, Targets], jax.Array]
    measures: Callable[[jax.Array | np.ndarray, Targets], Measures]
    shown: str
    larger_is_better: bool = True
    record: Callable[[Mapping[str, np.ndarray]], dict[str, Any]] = _means
    move: Callable[[Targets, Moves], Targets] = lambda targets, moves: targets
    describe: Callable[[np.ndarray], list[str]] = lambda outputs: [np.array2string(one, precision=2) for one in outputs]
    margin: Callable[[jax.Array, Targets], jax.Array] | None = None
    unit: str = ""
    beside: tuple[Shown, ...] = ()
    statistics: Callable[[np.ndarray, Targets], Measures] | None = None
    visible: Callable[[Targets, jax.Array], Targets] | None = None
    classes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    numbers: Callable[[np.ndarray], np.ndarray] = _flat
    draw: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    on_pixels: bool = False
    trivial: Trivial | None = None
    meaning: str = ""

    def metrics(self, outputs: jax.Array, targets: Targets) -> dict[str, jax.Array]:
        """The loss and all measures as means over the batch, by name."""
        loss = self.loss(outputs, targets).mean()
        return {"loss": loss} | {name: values.mean() for name, values in self.measures(outputs, targets).items()}

    def measure(self, outputs: np.ndarray, targets: Targets) -> dict[str, np.ndarray]:
        """The measures of each image, by name, and the statistics: what `record` takes, of the images of a set."""
        found = self.measures(outputs, targets) | (self.statistics(outputs, targets) if self.statistics else {})
        return {name: np.asarray(values) for name, values in found.items()}


def join(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What `Task.measure` gave of parts of a set, as of the whole set."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
