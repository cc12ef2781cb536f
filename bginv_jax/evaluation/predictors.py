"""Trained networks as functions of images, from a workdir alone."""

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from bginv_jax import config as configs
from bginv_jax import forks
from bginv_jax.data.dataset import Description
from bginv_jax.errors import InputError
from bginv_jax.images.pixels import as_float, crop_to, pad_to
from bginv_jax.jax_settings import own_settings
from bginv_jax.methods.contract import Method, Networks
from bginv_jax.methods.registry import make_method
from bginv_jax.training import checkpoints, same_run
from bginv_jax.training import devices as hardware
from bginv_jax.training.state import split_seeds

_LOG = logging.getLogger(__name__)
_LOOKS = 10  # at a workdir in which somebody trains


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


def find_workdir(path: str | os.PathLike[str]) -> Path:
    """The workdir that a path means, absolute: itself, or the folder above its `checkpoints`; ~ is the user's home.

    Raises:
      InputError: if there is no folder of checkpoints; nothing else is looked at.
    """
    folder = Path(os.path.abspath(os.path.expanduser(path)))
    if folder.name == "checkpoints" and not (folder / "checkpoints").is_dir():
        folder = folder.parent
    if not (folder / "checkpoints").is_dir():
        raise InputError(f"workdir {path} holds no checkpoint; expected a folder that bginv_jax.train wrote")
    return folder


def _restore(workdir: Path, shapes: Callable[[dict], Networks]) -> checkpoints.Trained | None:
    """As `checkpoints.restore_networks`; who trains there may take away what was listed, and then it looks again."""
    for left in reversed(range(_LOOKS)):
        before = set(os.listdir(workdir / "checkpoints"))
        try:
            with checkpoints.open_manager(workdir) as manager:
                return checkpoints.restore_networks(manager, shapes)
        except (InputError, FileNotFoundError):
            if not left or set(os.listdir(workdir / "checkpoints")) == before:
                raise
    raise AssertionError("the last look returns or raises")


@own_settings()
def load_seeds(workdir: str | os.PathLike[str]) -> list[Trained]:
    """Reads the newest checkpoint of `workdir` that is intact: one Trained for each seed, whose config has that seed.

    Raises:
      InputError: if there is none.
      RuntimeError: after a fork, as `forks.refuse`.
    """

    def saved(meta: dict) -> tuple[same_run.Noted, Method]:
        try:
            noted = same_run.noted(meta)
        except InputError as error:
            raise InputError(f"workdir {workdir} cannot be read: {error}") from error
        return noted, make_method(noted.config, noted.description)

    def shapes(meta: dict) -> Networks:
        (config, *_), method = saved(meta)
        networks = jax.eval_shape(method.init, jax.random.key(0))
        if not config.seeds:
            return networks
        several = len(config.seeds)
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((several, *leaf.shape), leaf.dtype), networks)

    restored = _restore(find_workdir(workdir), shapes)
    if restored is None:
        raise InputError(f"workdir {workdir} holds no checkpoint; expected a folder that bginv_jax.train wrote")
    (config, description, origin), method = saved(restored.meta)
    if restored.steps < config.steps:
        _LOG.warning("%s: trained for %d of %d steps", workdir, restored.steps, config.steps)
    seeds = config.seeds or (config.seed,)
    networks = split_seeds(restored.networks, len(seeds)) if config.seeds else [restored.networks]
    trained = []
    for seed, variables in zip(seeds, networks, strict=True):
        single = config.copy_and_resolve_references()
        single.seed, single.seeds = seed, ()
        trained.append(Trained(method, variables, single, description, origin, restored.steps))
    return trained


def load_trained(workdir: str | os.PathLike[str], *, seed: int | None = None) -> Trained:
    """One seed of `load_seeds`: the first, or `seed`.

    Raises:
      InputError: if there is no checkpoint, or the run has no such seed.
    """
    trained = {one.config.seed: one for one in load_seeds(workdir)}
    if seed is not None and seed not in trained:
        raise InputError(f"seed is {seed}; workdir {workdir} has {', '.join(map(str, trained))}")
    return next(iter(trained.values())) if seed is None else trained[seed]


def _batches(shape: tuple[int, int, int]) -> str:
    """The shape of any number of images, for messages."""
    return f"(N, {', '.join(map(str, shape))})"


def _check_shape(found: tuple[int, ...], shape: tuple[int, int, int], size: int) -> None:
    """Refuses another shape than (N, H, W, C), native or padded."""
    if len(found) == 4 and found[1:] in (shape, (size, size, shape[-1])):
        return
    hint = ""
    if found == shape:
        hint = ", such as images[np.newaxis] for a single image"
    elif len(found) == 3 and found[1:] == shape[:2] and shape[-1] == 1:
        hint = ", such as images[..., np.newaxis] for grey images"
    raise InputError(f"images are {found}; expected {_batches(shape)}{hint}")


def _as_images(images: Any, shape: tuple[int, int, int], size: int) -> np.ndarray:
    """What a predictor is given as float32 images in [0, 1], of one type, so that one program is compiled.

    Args:
      images: as `Predictor.__call__` takes them.
      shape: native height, width and channels.
      size: the padded side, pixels.

    Raises:
      InputError: for images of another shape, type or range, or in a function that JAX traces.
    """
    if isinstance(images, jax.core.Tracer):
        raise InputError("images are traced by JAX; expected an array of numbers. load_pure gives a function for that")
    if isinstance(jnp.zeros(()), jax.core.Tracer):  # the networks' outputs would be traced, whatever the images are
        raise InputError(
            "a predictor is called while JAX traces; expected a call outside, or the function of load_pure"
        )
    try:
        images = np.asarray(images)
    except ValueError as error:  # a list whose parts differ
        raise InputError(f"images are no array: {error}; expected {_batches(shape)}") from error
    if images.dtype != np.uint8 and not jnp.issubdtype(images.dtype, jnp.floating):
        raise InputError(f"images are {images.dtype}; expected uint8, or floats in [0, 1]")
    _check_shape(images.shape, shape, size)
    if images.dtype != np.uint8:
        images = images.astype(np.float32)
        low, high = (images.min(), images.max()) if images.size else (0.0, 0.0)
        if not (low >= 0 and high <= 1):
            found = "hold NaN" if np.isnan(low) else f"from {low} to {high}"
            raise InputError(f"images {found}; expected uint8, or floats in [0, 1]")
    return as_float(images)


class Predictor:
    """A trained network as a function of arrays on the host: images -> outputs.

    It compiles once, for one shape. It computes in float32, with or without JAX_ENABLE_X64. Several threads may call it
    at once. It can be copied, and pickled and sent to a process that was spawned: a copy knows all that it needs, and
    the workdir may be gone.
    """

    def __init__(self, trained: Trained, *, masks: bool = False):
        self._lock = threading.Lock()
        self._trained: Trained | None = trained
        self._forward: Callable | None = None
        self._state = {
            "config": trained.config.to_dict(),
            "description": trained.description.to_json(),
            "origin": trained.origin,
            "steps": trained.steps,
            "masks": masks,
        }

    def __getstate__(self) -> dict[str, Any]:
        if self._trained is None:
            return self._state
        forks.refuse()
        return {**self._state, "networks": jax.tree.map(np.asarray, self._trained.networks)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # JAX waits: a pool of forked processes would hang, where a call can complain.
        self._lock, self._trained, self._forward, self._state = threading.Lock(), None, None, state

    def _prepare(self) -> tuple[Trained, Callable]:
        """What was trained, and the compiled network."""
        with self._lock:
            if self._trained is None:
                state = self._state
                config, description = configs.saved_config(state["config"]), Description.from_json(state["description"])
                method, networks = make_method(config, description), state["networks"]
                self._trained = Trained(method, networks, config, description, state["origin"], state["steps"])
            if self._forward is None:
                method = self._trained.method
                predict = method.predict_mask if self._state["masks"] else method.predict
                assert predict is not None, "masks are asked only of a method that has them"
                self._forward = hardware.make_forward(predict, hardware.local())
            return self._trained, self._forward

    @own_settings()
    def __call__(self, images: Any) -> np.ndarray:
        """Images (N, H, W, C), native or padded size -> outputs (N, ...), float32.

        Args:
          images: uint8, or floats of any precision in [0, 1], bfloat16 too; NumPy, JAX or any other array that NumPy
            reads, in any memory layout, or a list of images (H, W, C). N may be 0.

        Raises:
          InputError: for images of another shape, type or range, or with NaN. Grey images without an axis of channels,
            and a single image, are refused with a hint: (N, H, W) and (H, W, C) cannot always be told apart.
          RuntimeError: in a process forked from one that used JAX, where JAX would wait for ever.
        """
        trained, forward = self._prepare()
        description = trained.description
        images = _as_images(images, description.shape, description.size)
        outputs = forward(trained.networks, pad_to(images, description.size)).astype(np.float32)
        on_pixels = self._state["masks"] or trained.method.task.on_pixels
        return crop_to(outputs, images.shape[1:3]) if on_pixels else outputs


def load_predictor(workdir: str | os.PathLike[str], *, seed: int | None = None) -> Predictor:
    """The trained classifier: images -> logits, or whatever the task's outputs are.

    Args:
      workdir: a folder that `bginv_jax.train` wrote, or its `checkpoints`; ~ is the user's home.
      seed: which one, where it was trained with several; by default the first.

    Returns:
      A function from images (N, H, W, C) of the data set's native size (28x28 for MNIST; the padded 32x32 that the
      network sees is taken too), uint8 or float in [0, 1], to logits (N, classes), float32, for any N; see `Predictor`.

    Raises:
      InputError: if the workdir holds no checkpoint, or no such seed; the function, for images of another shape, type
        or range.
      RuntimeError: it and the function, in a process forked from one that used JAX.
    """
    return Predictor(load_trained(workdir, seed=seed))


def load_mask_generator(workdir: str | os.PathLike[str], *, seed: int | None = None) -> Predictor:
    """The trained mask generator: images -> masks (N, H, W, 1) in [0, 1], 1 on the object; else as `load_predictor`.

    Raises:
      InputError: also if the workdir's method has no masks.
    """
    trained = load_trained(workdir, seed=seed)
    if trained.method.predict_mask is None:
        raise InputError(f"workdir {workdir} was trained with method {trained.config.method}, which has no masks")
    return Predictor(trained, masks=True)


def load_pure(
    workdir: str | os.PathLike[str], *, seed: int | None = None
) -> tuple[Callable[[Networks, jax.Array], jax.Array], Networks]:
    """The trained classifier for other JAX programs: a pure function that can be jitted, mapped and differentiated.

    Args:
      workdir, seed: as `load_predictor`.

    Returns:
      apply, variables: apply(variables, images) -> outputs (N, ...), float32, of images (N, H, W, C), native or padded
      size, uint8 or float in [0, 1], any N; types and ranges are not checked. It can be differentiated, in reverse
      mode, by the images, if they are floats, and by the variables, a pytree of the networks by name; where f alone
      predicts, the gradients of the others are 0.

    Raises:
      InputError: if the workdir holds no checkpoint, or no such seed; the function, for images of another shape.
      RuntimeError: it and the function, in a process forked from one that used JAX.
    """
    trained = load_trained(workdir, seed=seed)
    shape, size = trained.description.shape, trained.description.size

    def apply(variables: Networks, images: jax.Array) -> jax.Array:
        forks.refuse()
        images = jnp.asarray(images)
        _check_shape(images.shape, shape, size)
        padded = pad_to(as_float(images).astype(jnp.float32), size)
        count = padded.shape[0]  # of jax.export it may be a symbol, which has no len
        some = jnp.zeros((1, *padded.shape[1:])) if count == 0 else padded  # a network need not know what none is
        outputs = trained.method.predict(variables, some)[:count].astype(jnp.float32)
        height, width = images.shape[1:3]
        return crop_to(outputs, (height, width)) if trained.method.task.on_pixels else outputs

    return apply, trained.networks
