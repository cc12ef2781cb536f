"""Trained networks as plain functions of NumPy arrays, from a workdir alone."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from bginv_jax import config as configs
from bginv_jax.errors import InputError
from bginv_jax.images.pixels import as_float, pad_to
from bginv_jax.methods import registry
from bginv_jax.methods.contract import Method
from bginv_jax.training import checkpoints, state, step

_LOG = logging.getLogger(__name__)

Predictor = Callable[[np.ndarray], np.ndarray]


class Trained(NamedTuple):
    """What a workdir holds: the method and its parameters, the config and data of training, where and for how long."""

    method: Method
    params: dict[str, Any]
    config: ConfigDict
    dataset: dict
    origin: dict
    steps: int


def check_workdir(workdir: str | Path) -> None:
    """Looks for checkpoints, before anything is read.

    Raises:
      ValueError: if there is no folder of them.
    """
    if not (Path(workdir).expanduser() / "checkpoints").is_dir():
        raise InputError(f"workdir {workdir} holds no checkpoint; expected a folder that bginv_jax.train wrote")


def load_seeds(workdir: str | Path) -> list[Trained]:
    """Reads the newest checkpoint of `workdir` that is intact: one Trained for each seed, whose config has that seed.

    Raises:
      ValueError: if there is none.
    """
    check_workdir(workdir)
    with checkpoints.open_manager(workdir) as manager:
        restored = checkpoints.restore(manager, state.saved_template)
    if restored is None:
        raise InputError(f"workdir {workdir} holds no checkpoint; expected a folder that bginv_jax.train wrote")
    train_state, meta = restored
    config = configs.saved_config(meta["config"])
    steps, origin = int(train_state.step), meta.get("origin", {})
    if steps < config.steps:
        _LOG.warning("%s: trained for %d of %d steps", workdir, steps, config.steps)
    method = registry.make_method(config, meta["dataset"])
    if not config.seeds:
        return [Trained(method, train_state.params, config, meta["dataset"], origin, steps)]
    trained = []
    for seed, params in zip(config.seeds, state.split_seeds(train_state.params, len(config.seeds)), strict=True):
        own = config.copy_and_resolve_references()
        own.seed, own.seeds = seed, ()
        trained.append(Trained(method, params, own, meta["dataset"], origin, steps))
    return trained


def load_trained(workdir: str | Path, *, seed: int | None = None) -> Trained:
    """One seed of `load_seeds`: the first, or `seed`.

    Raises:
      ValueError: if there is no checkpoint, or the run has no such seed.
    """
    trained = {one.config.seed: one for one in load_seeds(workdir)}
    if seed is not None and seed not in trained:
        raise InputError(f"seed is {seed}; workdir {workdir} has {', '.join(map(str, trained))}")
    return next(iter(trained.values())) if seed is None else trained[seed]


def _on_images(trained: Trained, apply: Callable, crop: bool) -> Predictor:
    """apply(params, images) on images of the data set's native size, or of the size that the networks see."""
    height, width, channels = trained.dataset["shape"]
    size = trained.dataset["size"]
    forward = step.make_forward(apply, jax.local_devices())
    top, left = (size - height) // 2, (size - width) // 2

    def predict(batch: np.ndarray) -> np.ndarray:
        batch = np.asarray(batch)
        if batch.dtype != np.uint8 and not np.issubdtype(batch.dtype, np.floating):
            raise InputError(f"images are {batch.dtype}; expected uint8, or floats in [0, 1]")
        native = batch.shape[1:] == (height, width, channels)
        if not native and batch.shape[1:] != (size, size, channels):
            raise InputError(f"images are {batch.shape}; expected (N, {height}, {width}, {channels})")
        if batch.dtype != np.uint8 and batch.size and not (batch.min() >= 0 and batch.max() <= 1):
            raise InputError(f"images from {batch.min()} to {batch.max()}; expected uint8, or floats in [0, 1]")
        batch = as_float(batch).astype(np.float32)  # one dtype, one compiled program
        outputs = forward(trained.params, pad_to(batch, size))
        return outputs[:, top : top + height, left : left + width] if crop and native else outputs

    return predict


def load_predictor(workdir: str | Path, *, seed: int | None = None) -> Predictor:
    """The trained classifier: images -> logits.

    Args:
      workdir: a folder that `bginv_jax.train` wrote.
      seed: which one, where it was trained with several; by default the first.

    Returns:
      A function from images (N, H, W, C) of the data set's native size (28x28 for MNIST; the padded 32x32 that the
      network sees is taken too), uint8 or float in [0, 1], to logits (N, classes), float32, for any N. It compiles
      once.

    Raises:
      ValueError: if the workdir holds no checkpoint, or no such seed; the function, for images of another shape, type
        or range.
    """
    trained = load_trained(workdir, seed=seed)
    return _on_images(trained, trained.method.predict, crop=False)


def load_mask_generator(workdir: str | Path, *, seed: int | None = None) -> Predictor:
    """The trained mask generator: images -> masks (N, H, W, 1) in [0, 1], 1 on the object; else as `load_predictor`.

    Raises:
      ValueError: also if the workdir's method has no masks.
    """
    trained = load_trained(workdir, seed=seed)
    if trained.method.predict_mask is None:
        raise InputError(f"workdir {workdir} was trained with method {trained.config.method}, which has no masks")
    return _on_images(trained, trained.method.predict_mask, crop=True)
