"""How far is it turned? Targets are angles (N,) in degrees, counter-clockwise; outputs (N, 2) their sine and cosine."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from PIL import Image, ImageDraw

from bginv_jax.data.dataset import Description
from bginv_jax.errors import InputError
from bginv_jax.images.augment import Moves
from bginv_jax.tasks.contract import Shown, Task, Trivial
from bginv_jax.tasks.regression import refuse_smoothing

# Of half the squared error: who answers 0 of angles within 45 degrees loses 2.4, about as much as who guesses one of
# ten classes, so that the weights of what masks are held to mean the same.
_SCALE = 25.0
_COLOUR = (213, 94, 0)


def directions(degrees: jax.Array | np.ndarray) -> jax.Array:
    """Angles (N,) -> their sine and cosine (N, 2)."""
    radians = jnp.deg2rad(jnp.asarray(degrees))
    return jnp.stack([jnp.sin(radians), jnp.cos(radians)], axis=-1)


def angles(outputs: jax.Array | np.ndarray) -> jax.Array:
    """Sines and cosines (N, 2), of any length, -> angles (N,) from -180 to 180 degrees."""
    return jnp.rad2deg(jnp.arctan2(outputs[..., 0], outputs[..., 1]))


def errors(outputs: jax.Array | np.ndarray, targets: jax.Array | np.ndarray) -> jax.Array:
    """The angle of an output less the target (N,), the shorter way round: from -180 to 180 degrees."""
    return (angles(outputs) - targets + 180) % 360 - 180


def loss(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Half the squared distance of sine and cosine to the target's, scaled: (N,)."""
    return 0.5 * _SCALE * ((outputs - directions(targets)) ** 2).sum(axis=-1)


def move(targets: jax.Array, moves: Moves) -> jax.Array:
    """The angles of what stood upright at `targets`, after the images were moved.

    An output pixel comes from matrix @ pixel, so an object's own direction goes through the inverse, of which the
    length is of no matter: the adjugate, with the sign of the determinant.
    """
    up = directions(targets)
    row, column = -up[..., 1], -up[..., 0]
    a, b, c, d = (moves.matrix[:, i, j] for i in range(2) for j in range(2))
    sign = jnp.sign(a * d - b * c)
    return jnp.rad2deg(jnp.arctan2(-sign * (a * column - c * row), -sign * (d * row - b * column)))


def record(values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The count, the mean absolute error, and R^2: 1 less the squared errors over those of the mean angle."""
    target = values["angle"].astype(np.float64)
    total = ((target - target.mean()) ** 2).sum()
    return {
        "count": len(target),
        "mean_absolute_error": float(np.mean(values["mean_absolute_error"], dtype=np.float64)),
        "r_squared": float(1 - values["squared_error"].sum(dtype=np.float64) / total) if total else float("nan"),
    }


def draw(picture: np.ndarray, output: np.ndarray) -> np.ndarray:
    """The picture with a line through its middle, upright where the prediction is 0; the dot is its upper end."""
    image, middle = Image.fromarray(picture), (picture.shape[0] - 1) / 2
    radians = np.deg2rad(np.asarray(angles(output)))
    top = np.array([middle - 0.85 * middle * np.sin(radians), middle - 0.85 * middle * np.cos(radians)])  # x, y
    width = max(1, picture.shape[0] // 64)
    pen = ImageDraw.Draw(image)
    pen.line([*top, *(2 * middle - top)], fill=_COLOUR, width=width)
    pen.ellipse([*(top - 3 * width), *(top + 3 * width)], fill=_COLOUR)
    return np.asarray(image)


def rotation() -> Task:
    """The angle by which an object is turned; reported are the mean absolute error, degrees, and R^2."""
    return Task(
        outputs=2,
        loss=loss,
        measures=lambda outputs, targets: {"mean_absolute_error": jnp.abs(errors(outputs, targets))},
        statistics=lambda outputs, targets: {"angle": targets, "squared_error": errors(outputs, targets) ** 2},
        shown="mean_absolute_error",
        unit="degrees",
        larger_is_better=False,
        beside=(Shown("r_squared"),),
        record=record,
        move=move,
        describe=lambda outputs: [f"{angle:+.0f}°" for angle in np.asarray(angles(outputs))],
        columns=("angle_degrees",),
        numbers=lambda outputs: np.asarray(angles(outputs))[:, np.newaxis],
        draw=draw,
        meaning="sine and cosine, times any length, of the angle by which the object is turned, anticlockwise: "
        "arctan2(first, second)",
        trivial=Trivial("The mean angle", lambda targets: np.asarray(directions(targets)).mean(axis=0)),
    )


def make(config: ConfigDict, description: Description) -> Task:
    refuse_smoothing(config, "rotation")
    if description.class_names or description.target_shape:
        what = f"the targets of data set {description.name} are no angles"
        raise InputError(f"config.task is 'rotation', but {what}; allowed: config.data.targets=angle, or an angle each")
    return rotation()
