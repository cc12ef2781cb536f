"""What a trained network says of one picture, in the forms that people and programs read."""

import csv
import dataclasses
import functools
import io
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from bginv_jax import files
from bginv_jax.evaluation.predictors import Trained

_TOP = 3  # classes that a page shows


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One file: what the network took of it and said, or why it could not be read.

    image: uint8 (H, W, C) of the size that the network takes.
    values: (K,), the probability of each class, or of another task its output, of any shape.
    mask: (H, W, 1) in [0, 1], or None where none was asked for.
    """

    file: str
    image: np.ndarray | None = None
    values: np.ndarray | None = None
    mask: np.ndarray | None = None
    error: str = ""


def _line(cells: list[str]) -> str:
    r"""A line of CSV, quoted as RFC 4180 has it. It ends in \n, and what holds \r is quoted all the same."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue()[:-2] + "\n"


@dataclasses.dataclass(frozen=True)
class Answers:
    """How the outputs of a task are told.

    names: of the classes, or of the numbers of another task.
    classes: whether they are classes, and values are probabilities.
    describe: outputs (N, ...) -> a text for each, of another task.
    numbers: outputs (N, ...) -> (N, K), a number for each name, of another task.
    draw: as `Task.draw`, of another task.
    """

    names: tuple[str, ...]
    classes: bool
    describe: Callable[[np.ndarray], list[str]]
    numbers: Callable[[np.ndarray], np.ndarray] = lambda outputs: outputs
    draw: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None

    @classmethod
    def of(cls, trained: Trained) -> "Answers":
        """As the task of a trained workdir tells its outputs."""
        task = trained.method.task
        outputs = ("output",) if task.outputs == 1 else tuple(f"output_{i}" for i in range(task.outputs))
        names = task.classes or task.columns or outputs
        return cls(names, bool(task.classes), task.describe, task.numbers, task.draw)

    def values(self, outputs: np.ndarray) -> np.ndarray:
        """What a network gives (N, ...) as probabilities (N, K), or as it is, float32."""
        outputs = np.asarray(outputs, np.float32)
        if self.classes:
            return np.asarray(jax.nn.softmax(outputs.reshape(len(outputs), -1), axis=-1))
        return outputs if outputs.ndim > 1 else outputs[:, np.newaxis]

    def _numbers(self, values: np.ndarray) -> list[float]:
        """A number for each name."""
        return [float(one) for one in (values if self.classes else self.numbers(values[np.newaxis])[0])]

    def csv_head(self) -> str:
        """The names of the columns; of a class that is called as another column is, p(NAME)."""
        own = ["file", *(["class"] if self.classes else [])]
        return _line([*own, *(f"p({name})" if name in own else name for name in self.names)])

    def csv_line(self, outcome: Outcome) -> str:
        """The file, its class, and a number for each name; nothing for a file that could not be read."""
        if outcome.values is None:
            return ""
        named = [self.names[outcome.values.argmax()]] if self.classes else []
        return _line(
            [files.as_text(outcome.file), *named, *(f"{number:.6g}" for number in self._numbers(outcome.values))]
        )

    def json_line(self, outcome: Outcome) -> str:
        """{"file", "class", "probabilities": {class: ...}}, or {"file", "outputs": {...}}, or {"file", "error"}."""
        record: dict[str, Any] = {"file": files.as_text(outcome.file)}
        if outcome.values is None:
            return files.to_json(record | {"error": files.as_text(outcome.error)}) + "\n"
        pairs = zip(self.names, self._numbers(outcome.values), strict=True)
        numbers = {name: float(f"{value:.6g}") for name, value in pairs}
        if self.classes:
            record |= {"class": self.names[outcome.values.argmax()], "probabilities": numbers}
        else:
            record |= {"outputs": numbers}
        return files.to_json(record) + "\n"

    def captions(self, values: np.ndarray) -> list[str]:
        """The likeliest classes with their probabilities, or what the task says of its outputs; the best first."""
        if not self.classes:
            return self.describe(values[np.newaxis])
        best = np.argsort(-values, kind="stable")[:_TOP]
        return [f"{self.names[i]} {100 * values[i]:.1f} %" for i in best]

    def drawn(self, values: np.ndarray) -> Callable[[np.ndarray], np.ndarray] | None:
        """What draws the prediction on a picture, uint8 (H, W, 3); None where the task has nothing to draw."""
        return None if self.draw is None else functools.partial(self._draw, values)

    def _draw(self, values: np.ndarray, picture: np.ndarray) -> np.ndarray:
        assert self.draw is not None, "asked only of a task that draws"
        return self.draw(picture, values)

    def certainty(self, values: np.ndarray) -> float:
        """The largest probability; of another task 0."""
        return float(values.max()) if self.classes else 0.0
