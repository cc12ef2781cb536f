"""Which class is each pixel of? Targets are classes (N, S, S), 0 the background; outputs logits (N, S, S, classes)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from bginv_jax.data.dataset import Description
from bginv_jax.errors import InputError
from bginv_jax.images.augment import Moves, in_sight, resample
from bginv_jax.tasks.contract import Shown, Task, Trivial

_TOLERANCE = 1  # how far a boundary may lie from the true one, pixels, along both axes
_SHARE = 0.005  # of the pixels, from which on a class is told
_OPACITY = 0.65
# Okabe and Ito's colours, darker or lighter from the second round on; the background has none.
_COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))


def _without_axis(targets: Any) -> Any:
    """Targets (N, S, S) or (N, S, S, 1) as (N, S, S)."""
    return targets[..., 0] if targets.ndim == 4 else targets


def make_loss(smoothing: float = 0.0) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Cross-entropy, the mean over the pixels: (N,); a share `smoothing` of each target is spread over all classes."""

    def loss(logits: jax.Array, targets: jax.Array) -> jax.Array:
        # As products, not by index: gathers of every pixel are slow on a CPU.
        wanted = jax.nn.one_hot(_without_axis(targets), logits.shape[-1])
        wanted = optax.smooth_labels(wanted, smoothing) if smoothing else wanted
        return optax.softmax_cross_entropy(logits, wanted).mean(axis=(1, 2))

    return loss


def move(targets: jax.Array, moves: Moves) -> jax.Array:
    """Targets moved as their images, each pixel's of the nearest; what comes from beyond the edge is background."""
    planes = _without_axis(targets)[..., jnp.newaxis]
    moved = jnp.round(resample(planes.astype(jnp.float32), moves, order=0)) * in_sight(moves, planes.shape[1])
    return moved.astype(targets.dtype).reshape(targets.shape)


def visible(targets: jax.Array, masks: jax.Array) -> jax.Array:
    """Targets of composites: what the mask (N, S, S, 1) hides is background."""
    return jnp.where((masks > 0.5).reshape(targets.shape), targets, jnp.zeros_like(targets))


def confusion(found: np.ndarray, targets: np.ndarray, classes: int) -> np.ndarray:
    """How many pixels of each class (row) were said to be of each (column): (N, classes, classes)."""
    count = len(targets)
    cells = (np.arange(count)[:, None] * classes + targets.reshape(count, -1)) * classes + found.reshape(count, -1)
    counts = np.bincount(cells.ravel(), minlength=count * classes**2)
    return counts.reshape(count, classes, classes)


def intersection_over_union(counts: np.ndarray) -> np.ndarray:
    """Of each class, from a confusion (classes, classes); NaN of one that neither is nor was said to be anywhere."""
    both, either = counts.diagonal(), counts.sum(axis=0) + counts.sum(axis=1) - counts.diagonal()
    return np.where(either > 0, both / np.maximum(either, 1), np.nan)


def _outlines(labels: np.ndarray) -> np.ndarray:
    """The labels (N, S, S) of pixels with a neighbour of another class, above, below, left or right; 0 elsewhere."""
    padded = np.pad(labels, ((0, 0), (1, 1), (1, 1)))
    inside = np.ones(labels.shape, bool)
    for part in (padded[:, :-2, 1:-1], padded[:, 2:, 1:-1], padded[:, 1:-1, :-2], padded[:, 1:-1, 2:]):
        inside &= part == labels
    return np.where(inside, 0, labels)


def _near(outlines: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which pixels of outlines have one of the same class among the others, within the tolerance: bool (N, S, S)."""
    reach, size = _TOLERANCE, outlines.shape[1:]
    padded = np.pad(others, ((0, 0), (reach, reach), (reach, reach)))
    found = np.zeros(outlines.shape, bool)
    for i in range(2 * reach + 1):
        for j in range(2 * reach + 1):
            found |= padded[:, i : i + size[0], j : j + size[1]] == outlines
    return found & (outlines > 0)


def boundaries(found: np.ndarray, targets: np.ndarray, classes: int) -> np.ndarray:
    """The outlines of each class but the background, in pixels: (N, 4, classes - 1).

    Those found, how many of them are near a true one, the true ones, and how many of them are near one found.
    """
    of_found, of_targets = _outlines(found), _outlines(targets)
    maps = (
        of_found,
        of_found * _near(of_found, of_targets),
        of_targets,
        of_targets * _near(of_targets, of_found),
    )
    counts = [[(one == label).sum(axis=(1, 2)) for label in range(1, classes)] for one in maps]
    return np.moveaxis(np.array(counts), 2, 0)


def boundary_f(counts: np.ndarray) -> float:
    """The F measure of outlines, of each class, and of these the mean, from the sum (4, classes - 1) of `boundaries`.

    Csurka et al. 2013 take it of each image; small objects make that a measure of how many classes an image has.
    """
    found, right, true, recalled = counts.astype(np.float64)
    precision, recall = right / np.maximum(found, 1), recalled / np.maximum(true, 1)
    f = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    there = (found > 0) | (true > 0)
    return float(f[there].mean()) if there.any() else float("nan")


def record(values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The count, and in percent: mean IoU of all classes, and without the background; boundary F; pixels right."""
    shares = intersection_over_union(values["confusion"].sum(axis=0))
    known, objects = (part[~np.isnan(part)] for part in (shares, shares[1:]))
    return {
        "count": len(values["confusion"]),
        "mean_IoU": 100 * float(known.mean()),
        "mean_IoU_of_objects": 100 * float(objects.mean()) if len(objects) else float("nan"),
        "boundary_F": 100 * boundary_f(values["boundaries"].sum(axis=0)),
        "pixel_accuracy": 100 * float(np.mean(values["pixel_accuracy"], dtype=np.float64)),
    }


def shares(outputs: np.ndarray) -> np.ndarray:
    """The share of the pixels that is of each class: (N, classes)."""
    found = np.asarray(outputs).argmax(axis=-1).reshape(len(outputs), -1)
    return np.stack([(found == label).mean(axis=1) for label in range(outputs.shape[-1])], axis=1)


def draw(picture: np.ndarray, output: np.ndarray) -> np.ndarray:
    """The picture with its objects in colour, one for each class."""
    found = output.argmax(axis=-1)
    colours = np.array(_COLOURS, np.float32)[(found - 1) % len(_COLOURS)]
    rounds = (np.maximum(found - 1, 0) // len(_COLOURS))[..., np.newaxis]
    colours = np.where(rounds % 2, 255 - (255 - colours) / 2, colours)
    factor = picture.shape[0] // found.shape[0]
    found, colours = (array.repeat(factor, axis=0).repeat(factor, axis=1) for array in (found, colours))
    mixed = np.round(_OPACITY * colours + (1 - _OPACITY) * picture).astype(np.uint8)
    return np.where((found > 0)[..., np.newaxis], mixed, picture)


def segmentation(classes: Sequence[str], *, smoothing: float = 0.0) -> Task:
    """The class of each pixel, the background first; reported are the mean IoU, with and without it, and boundary F.

    IoU is of intersections and unions over a whole set, the mean over the classes.
    """
    count = len(classes)

    def statistics(outputs, targets):
        found, targets = np.asarray(outputs).argmax(axis=-1), np.asarray(_without_axis(targets)).astype(int)
        return {
            "confusion": confusion(found, targets, count),
            "boundaries": boundaries(found, targets, count),
        }

    def describe(outputs):
        seen = (np.flatnonzero(of_image[1:] >= _SHARE) for of_image in shares(outputs))
        return [" ".join(classes[1 + label] for label in labels) or classes[0] for labels in seen]

    def background(targets):
        return np.tile(np.eye(count, dtype=np.float32)[0], (*np.shape(targets)[1:3], 1))

    def pixel_accuracy(outputs, targets):
        return (outputs.argmax(axis=-1) == _without_axis(targets)).mean(axis=(1, 2))

    return Task(
        outputs=count,
        loss=make_loss(smoothing),
        measures=lambda outputs, targets: {"pixel_accuracy": pixel_accuracy(outputs, targets)},
        statistics=statistics,
        shown="mean_IoU",
        unit="%",
        beside=(Shown("mean_IoU_of_objects", "%"), Shown("boundary_F", "%")),
        record=record,
        move=move,
        visible=visible,
        on_pixels=True,
        meaning="logits of each pixel's class, in the order of their names: " + ", ".join(classes),
        describe=describe,
        columns=tuple(f"share_{name}" for name in classes),
        numbers=shares,
        draw=draw,
        trivial=Trivial(f"All {classes[0]}", background),
    )


def make(config: ConfigDict, description: Description) -> Task:
    if not description.pixel_classes:
        what = f"the targets of data set {description.name} are no classes of pixels"
        raise InputError(f"config.task is 'segmentation', but {what}; allowed: config.data.targets=canvas")
    return segmentation(description.pixel_classes, smoothing=config.label_smoothing)
