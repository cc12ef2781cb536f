"""What a method is: its networks, its one saddle-point scalar, and how it predicts.

Images are NHWC float32 in [0, 1], masks (N, H, W, 1). A loss takes (outputs, targets) and returns one value per image,
so nothing here knows that the task is classification.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from bginv_jax.methods.tasks import Task

Params = Mapping[str, Any]


class Batch(NamedTuple):
    """What a step learns from.

    images: (N, S, S, C), augmented.
    masks: (N, S, S, 1), cut and moved as the images were, or None where f_m makes them in the same step.
    targets: (N, ...).
    plain: how many images, from the first, keep their own background (static).
    pictures: (P, S, S, C) that stand behind the first P objects after the plain ones; f_b paints the others. None is 0.
    fill: (S, S, C), what f_m puts where it sees no object, or 0 for black.
    """

    images: jax.Array
    masks: jax.Array | None
    targets: jax.Array
    plain: int
    pictures: jax.Array | None = None
    fill: jax.Array | float = 0.0


@dataclasses.dataclass(frozen=True)
class Method:
    """A row of Table 1.

    init(key) -> params of the networks by name.
    objective(keys, params, batch, active) -> (scalar, metrics): f and f_m minimise the scalar, f_b maximises it;
      `active` names the networks that train, keys is (N,). Metrics are scalars, means over the batch.
    predict(params, images) -> outputs, which `task` scores.
    predict_mask(params, images) -> masks, and binarize(masks) -> masks as composites take them; None without masks.
    paint(params, keys) -> backgrounds (N, S, S, C); None where f_b does not paint them.
    attend(params, images) -> (heat maps, boxes) as `attention` has them; None without attention.
    """

    init: Callable[[jax.Array], dict[str, Any]]
    objective: Callable[[jax.Array, Params, Batch, tuple[str, ...]], tuple[jax.Array, dict[str, jax.Array]]]
    predict: Callable[[Params, jax.Array], jax.Array]
    task: Task
    predict_mask: Callable[[Params, jax.Array], jax.Array] | None = None
    binarize: Callable[[jax.Array], jax.Array] | None = None
    paint: Callable[[Params, jax.Array], jax.Array] | None = None
    attend: Callable[[Params, jax.Array], tuple[jax.Array, jax.Array]] | None = None


class Recipe(NamedTuple):
    """The networks that a method trains, and make(config, shape (S, S, C), classes) -> Method."""

    networks: tuple[str, ...]
    make: Callable[..., Method]
