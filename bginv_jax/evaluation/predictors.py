"""Trained networks as functions of images, from a workdir alone."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from bginv_jax import config as configs
from bginv_jax.data.dataset import Description
from bginv_jax.errors import InputError
from bginv_jax.images.pixels import as_float, crop_to, pad_to
from bginv_jax.methods.contract import Method, Networks
from bginv_jax.methods.registry import make_method
from bginv_jax.training import checkpoints
from bginv_jax.training import devices as hardware
from bginv_jax.training.state import split_seeds

_LOG = logging.getLogger(__name__)


class Trained(NamedTuple):
    """What a workdir holds of one seed.

    method: as the config and the description make it.
    networks: its variables by name.
    config: of training, with this seed.
    description: of the data of training.
    origin: of `provenance.describe`.
    steps: that were taken.
    """

    method: Method
    networks: Networks
    config: ConfigDict
    description: Description
    origin: dict
    steps: int


def find_workdir(path: str | Path) -> Path:
    """The workdir that a path means: itself, or the folder above its `checkpoints`.

    Raises:
      InputError: if there is no folder of checkpoints; nothing else is looked at.
    """
    folder = Path(path).expanduser()
    if folder.name == "checkpoints" and not (folder / "checkpoints").is_dir():
        folder = folder.absolute().parent
    if not (folder / "checkpoints").is_dir():
        raise InputError(f"workdir {path} holds no checkpoint; expected a folder that bginv_jax.train wrote")
    return folder


def load_seeds(workdir: str | Path) -> list[Trained]:
    """Reads the newest checkpoint of `workdir` that is intact: one Trained for each seed, whose config has that seed.

    Raises:
      InputError: if there is none.
    """

    def saved(meta: dict) -> tuple[ConfigDict, Description, Method]:
        config, description = configs.saved_config(meta["config"]), Description.from_json(meta["dataset"])
        return config, description, make_method(config, description)

    def shapes(meta: dict) -> Networks:
        config, _, method = saved(meta)
        networks = jax.eval_shape(method.init, jax.random.key(0))
        if not config.seeds:
            return networks
        several = len(config.seeds)
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((several, *leaf.shape), leaf.dtype), networks)

    with checkpoints.open_manager(find_workdir(workdir)) as manager:
        restored = checkpoints.restore_networks(manager, shapes)
    if restored is None:
        raise InputError(f"workdir {workdir} holds no checkpoint; expected a folder that bginv_jax.train wrote")
    config, description, method = saved(restored.meta)
    if restored.steps < config.steps:
        _LOG.warning("%s: trained for %d of %d steps", workdir, restored.steps, config.steps)
    seeds = config.seeds or (config.seed,)
    networks = split_seeds(restored.networks, len(seeds)) if config.seeds else [restored.networks]
    trained = []
    for seed, variables in zip(seeds, networks, strict=True):
        single = config.copy_and_resolve_references()
        single.seed, single.seeds = seed, ()
        origin = restored.meta.get("origin", {})
        trained.append(Trained(method, variables, single, description, origin, restored.steps))
    return trained


def load_trained(workdir: str | Path, *, seed: int | None = None) -> Trained:
    """One seed of `load_seeds`: the first, or `seed`.

    Raises:
      InputError: if there is no checkpoint, or the run has no such seed.
    """
    trained = {one.config.seed: one for one in load_seeds(workdir)}
    if seed is not None and seed not in trained:
        raise InputError(f"seed is {seed}; workdir {workdir} has {', '.join(map(str, trained))}")
    return next(iter(trained.values())) if seed is None else trained[seed]


class Predictor:
    """A trained network as a function of NumPy arrays: images -> outputs.

    It compiles once, for one shape, and can be pickled and sent to a process that was spawned.
    """

    def __init__(self, trained: Trained, *, masks: bool = False):
        self._trained, self._masks = trained, masks
        self._process, self._forward = os.getpid(), None

    def __getstate__(self) -> dict[str, Any]:
        trained = self._trained
        return {
            "networks": jax.tree.map(np.asarray, trained.networks),
            "config": trained.config.to_dict(),
            "description": trained.description.to_json(),
            "origin": trained.origin,
            "steps": trained.steps,
            "masks": self._masks,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        config, description = configs.saved_config(state["config"]), Description.from_json(state["description"])
        method = make_method(config, description)
        trained = Trained(method, state["networks"], config, description, state["origin"], state["steps"])
        self.__init__(trained, masks=state["masks"])

    def _checked(self, images: Any) -> np.ndarray:
        """Images as float32 in [0, 1]."""
        images, (height, width, channels) = np.asarray(images), self._trained.description.shape
        if images.dtype != np.uint8 and not jnp.issubdtype(images.dtype, jnp.floating):
            raise InputError(f"images are {images.dtype}; expected uint8, or floats in [0, 1]")
        if images.ndim != 4 or images.shape[1:] not in (
            self._trained.description.input_shape,
            (height, width, channels),
        ):
            raise InputError(f"images are {images.shape}; expected (N, {height}, {width}, {channels})")
        if images.dtype != np.uint8:
            images = images.astype(np.float32)
            if images.size and not (images.min() >= 0 and images.max() <= 1):
                raise InputError(f"images from {images.min()} to {images.max()}; expected uint8, or floats in [0, 1]")
        return np.asarray(as_float(images), np.float32)  # one type, one compiled program

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Images (N, H, W, C), native or padded size, uint8 or float in [0, 1] -> outputs (N, ...), float32.

        Raises:
          InputError: for images of another shape, type or range.
          RuntimeError: in a process forked from the one that loaded the predictor, where JAX would wait for ever.
        """
        if os.getpid() != self._process:
            raise RuntimeError(
                "this predictor was loaded before the process was forked, and JAX does not work after a fork; start "
                "processes with multiprocessing.get_context('spawn'), or load the predictor in the new process"
            )
        images, method = self._checked(images), self._trained.method
        if self._forward is None:
            self._forward = hardware.make_forward(
                method.predict_mask if self._masks else method.predict, hardware.local()
            )
        padded = pad_to(images, self._trained.description.size)
        outputs = self._forward(self._trained.networks, padded).astype(np.float32)
        return crop_to(outputs, images.shape[1:3]) if self._masks else outputs


def load_predictor(workdir: str | Path, *, seed: int | None = None) -> Predictor:
    """The trained classifier: images -> logits, or whatever the task's outputs are.

    Args:
      workdir: a folder that `bginv_jax.train` wrote.
      seed: which one, where it was trained with several; by default the first.

    Returns:
      A function from images (N, H, W, C) of the data set's native size (28x28 for MNIST; the padded 32x32 that the
      network sees is taken too), uint8 or float in [0, 1], to logits (N, classes), float32, for any N. It compiles
      once.

    Raises:
      InputError: if the workdir holds no checkpoint, or no such seed; the function, for images of another shape, type
        or range.
    """
    return Predictor(load_trained(workdir, seed=seed))


def load_mask_generator(workdir: str | Path, *, seed: int | None = None) -> Predictor:
    """The trained mask generator: images -> masks (N, H, W, 1) in [0, 1], 1 on the object; else as `load_predictor`.

    Raises:
      InputError: also if the workdir's method has no masks.
    """
    trained = load_trained(workdir, seed=seed)
    if trained.method.predict_mask is None:
        raise InputError(f"workdir {workdir} was trained with method {trained.config.method}, which has no masks")
    return Predictor(trained, masks=True)


def load_pure(
    workdir: str | Path, *, seed: int | None = None
) -> tuple[Callable[[Networks, jax.Array], jax.Array], Networks]:
    """The trained classifier for other JAX programs: a pure function that can be jitted, mapped and differentiated.

    Args:
      workdir, seed: as `load_predictor`.

    Returns:
      apply, variables: apply(variables, images) -> outputs (N, ...) of images (N, H, W, C), native size, uint8 or float
      in [0, 1]; nothing is checked.

    Raises:
      InputError: if the workdir holds no checkpoint, or no such seed.
    """
    trained = load_trained(workdir, seed=seed)
    size = trained.description.size

    def apply(variables: Networks, images: jax.Array) -> jax.Array:
        return trained.method.predict(variables, pad_to(as_float(images).astype(jnp.float32), size))

    return apply, trained.networks
