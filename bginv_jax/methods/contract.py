"""What a method is: its networks, its one saddle-point scalar, and how it predicts.

Images are NHWC float32 in [0, 1], masks (N, H, W, 1). Variables are by the name of the network. A method knows its task
by a loss of outputs and targets alone.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from bginv_jax.data.dataset import Description
from bginv_jax.errors import InputError
from bginv_jax.networks.contract import Variables
from bginv_jax.tasks.contract import Targets, Task

Networks = Mapping[str, Variables]
Metrics = dict[str, jax.Array]


class Layout(NamedTuple):
    """The order in which a batch lies: images that keep their background, that stand before pictures, before f_b's.

    The one place that knows this order.
    """

    kept: int
    pictured: int = 0
    painted: int = 0

    @classmethod
    def of(cls, batch_size: int, *, kept_share: float, pictured_share: float = 0.0) -> "Layout":
        """Shares of a batch, rounded; what is left is painted, and may be less than nothing."""
        kept, pictured = round(kept_share * batch_size), round(pictured_share * batch_size)
        return cls(kept, pictured, batch_size - kept - pictured)

    @property
    def total(self) -> int:
        return sum(self)

    @property
    def most_parts(self) -> int:
        """The largest number of equal parts, each with the same layout."""
        return math.gcd(*self)

    def part(self, parts: int) -> "Layout":
        """The layout of one of so many equal parts."""
        return Layout(*(count // parts for count in self))

    def split(self, array: Any) -> tuple[Any, Any, Any]:
        """An array (total, ...) as (kept, ...), (pictured, ...), (painted, ...)."""
        first, second = self.kept, self.kept + self.pictured
        return array[:first], array[first:second], array[second:]

    def composed(self, array: Any) -> Any:
        """What of an array (total, ...) stands before other backgrounds, pictures first: (pictured + painted, ...)."""
        return array[self.kept :]


@dataclasses.dataclass(frozen=True)
class Batch:
    """What a step learns from.

    images: (N, S, S, C), augmented.
    targets: any pytree with a leading N, moved as the images were.
    layout: of the N images.
    masks: (N, S, S, 1), cut and moved as the images were, or None where f_m makes them in the same step.
    pictures: (layout.pictured, S, S, C) that stand behind the pictured objects, or None without any.
    fill: (S, S, C) or (N, 1, 1, C), what f_m puts where it sees no object, or 0 for black.
    likeness: (N, S, S, 1), how much each pixel looks like its image's border, moved as the images were; None where the
      method does not ask for it.
    """

    images: jax.Array
    targets: Targets
    layout: Layout
    masks: jax.Array | None = None
    pictures: jax.Array | None = None
    fill: jax.Array | float = 0.0
    likeness: jax.Array | None = None

    def check(self, keys: jax.Array, networks: Networks, active: tuple[str, ...]) -> None:
        """Refuses what does not fit together, as a loop of one's own may have it; of shapes alone, while JAX traces.

        Raises:
          InputError: for names of no networks, less than one key for each image, or a layout of more or fewer images.
        """
        if isinstance(active, str) or not set(active) <= set(networks):
            raise InputError(f"active is {active!r}; expected a tuple of some of {', '.join(networks)}")
        count = len(self.images)
        each = 0 if jnp.issubdtype(keys.dtype, jax.dtypes.prng_key) else 1  # a raw one is an array
        if keys.ndim != 1 + each or len(keys) < count:
            raise InputError(
                f"keys are {keys.shape}; expected one for each of {count} images, jax.random.split(key, N)"
            )
        if "f_b" not in active:
            return
        if not isinstance(self.layout, Layout) or self.layout.total != count:
            raise InputError(f"the batch's layout is {self.layout!r}; expected a Layout of {count} images")
        if self.masks is None and "f_m" not in active:
            raise InputError("the batch has no masks; expected Method.ready_masks where f_m does not train with f_b")


def network_key(keys: jax.Array, number: int) -> jax.Array:
    """The key of one network's own randomness, dropout, in a step whose images have `keys` (N,)."""
    return jax.random.fold_in(keys[0], 16 + number)


Objective = Callable[[jax.Array, Networks, Batch, tuple[str, ...]], tuple[jax.Array, tuple[Metrics, Networks]]]


@dataclasses.dataclass(frozen=True)
class Method:
    """A row of Table 1.

    init(key) -> variables of the networks by name.
    objective(keys, networks, batch, active) -> (scalar, (metrics, networks)): f and f_m minimise the scalar, f_b
      maximises it; `active` names the networks that train, keys is (N,). Metrics are scalars, means over the batch.
      The networks that come back are those whose variables applying them changed; whoever steps keeps what of these
      is no "params", such as the averages of batch normalisation.
    predict(networks, images) -> outputs, which `task` scores.
    predict_mask(networks, images) -> masks, and cut(masks) -> masks as composites take them; None without masks.
    paint(networks, keys) -> backgrounds (N, S, S, C); None where the method composes nothing.
    takes_likeness: whether f_m's part of the objective takes the batch's likeness to its border.
    binary_masks: whether cut masks are 0 or 1 everywhere.
    attend(networks, images) -> (heat maps, boxes) as `images.attention` has them; None without attention.
    """

    task: Task
    init: Callable[[jax.Array], dict[str, Variables]]
    objective: Objective
    predict: Callable[[Networks, jax.Array], jax.Array]
    predict_mask: Callable[[Networks, jax.Array], jax.Array] | None = None
    cut: Callable[[jax.Array], jax.Array] | None = None
    paint: Callable[[Networks, jax.Array], jax.Array] | None = None
    binary_masks: bool = True
    takes_likeness: bool = False
    attend: Callable[[Networks, jax.Array], tuple[jax.Array, jax.Array]] | None = None

    def composes(self, active: tuple[str, ...]) -> bool:
        """Whether objects are set before other backgrounds while these networks train."""
        return self.paint is not None and "f_b" in active

    def takes_masks(self, active: tuple[str, ...]) -> bool:
        """Whether its composites need masks that are ready, since no f_m makes them in the same step."""
        return self.composes(active) and "f_m" not in active

    def ready_masks(self, networks: Networks, images: jax.Array) -> jax.Array:
        """Masks as composites take them, of f_m as it is: (N, S, S, C) -> (N, S, S, 1), cut."""
        assert self.predict_mask, "a method that composes has masks"
        assert self.cut, "and says how they are cut"
        return self.cut(self.predict_mask(networks, images))


class Recipe(NamedTuple):
    """A method by name: the networks that it trains, and make(config, description, task) -> Method.

    `make` is the one place where the config's fields become the method's options. It raises InputError where a field
    does not suit the data.
    """

    networks: tuple[str, ...]
    make: Callable[[Any, Description, Task], Method]
