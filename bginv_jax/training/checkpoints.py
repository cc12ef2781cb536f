"""Orbax checkpoints: the whole train state, the resolved config and what is known of the data.

A workdir holds checkpoints/STEP/{state,meta}. Orbax renames a checkpoint into place when it is whole, so a killed
process leaves none that is half written.
"""

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from etils import epath
from ml_collections import ConfigDict

from bginv_jax import config as configs
from bginv_jax.errors import InputError
from bginv_jax.training.state import TrainState

_LOG = logging.getLogger(__name__)

# Fields that may change when a run is continued: they say what is read and written, not what is computed.
_FREE = ("log_every", "checkpoint_every", "checkpoints_kept")

# Fields that say where data are and how they are read: the data themselves are compared instead.
_PHOTOGRAPHS = "background.photographs"
_NAMES_OF_DATA = (*(name for name in configs.FIELDS if name.startswith("data.")), _PHOTOGRAPHS)

Manager = ocp.CheckpointManager

_copy = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree))


def open_manager(workdir: str | Path, *, kept: int | None = None) -> Manager:
    """The manager of a workdir's checkpoints; `kept` is how many of the newest stay."""
    options = ocp.CheckpointManagerOptions(max_to_keep=kept, cleanup_tmp_directories=kept is not None)
    path = Path(workdir).expanduser().resolve() / "checkpoints"
    return ocp.CheckpointManager(path, options=options, item_names=("state", "meta"))


def save(manager: Manager, train_state: TrainState, config: ConfigDict, dataset: dict, origin: dict) -> None:
    """Starts writing a checkpoint; training may go on, and the manager's close waits for it.

    Args:
      manager: of `open_manager`.
      train_state: what is saved.
      config: of the run.
      dataset: of `data.Dataset.describe`.
      origin: of `provenance.describe`.
    """
    meta = {"config": config.to_dict(), "dataset": dataset, "origin": origin}
    # The next step takes over the state's memory, which on a CPU the writer would still be reading.
    copy = _copy(train_state)
    items = ocp.args.Composite(state=ocp.args.StandardSave(copy), meta=ocp.args.JsonSave(meta))
    step = int(train_state.step)
    if step in manager.all_steps():
        manager.delete(step)  # a damaged one, which restore passed over
    manager.save(step, args=items)


def restore(manager: Manager, make_template: Callable[[dict], Any]) -> tuple[Any, dict] | None:
    """The newest checkpoint that can be read, as (state, meta), or None where there is none at all.

    Args:
      manager: of `open_manager`.
      make_template: meta -> a state of the structure that was saved, arrays or shapes.

    Raises:
      ValueError: if there are checkpoints and none is intact.
    """
    steps = sorted(manager.all_steps(), reverse=True)
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    for step in steps:
        try:
            meta = manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))["meta"]
            # Without a sharding Orbax asks for the devices that wrote the checkpoint, and this machine may have fewer.
            template = jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here), make_template(meta)
            )
            items = ocp.args.Composite(state=ocp.args.StandardRestore(template))
            return manager.restore(step, args=items)["state"], meta
        except Exception as error:  # a damaged file may fail anywhere in Orbax, TensorStore or JSON
            _LOG.warning("checkpoint %d of %s cannot be read (%s)", step, manager.directory, error)
    if steps:
        raise InputError(f"{manager.directory}: none of the checkpoints {steps} can be read")
    return None


def check_same_run(meta: dict, config: ConfigDict, dataset: dict) -> None:
    """Refuses to continue a run with another config or other data; the same data may lie elsewhere by another name.

    Args:
      meta: of the checkpoint.
      config: to continue with.
      dataset: of `data.Dataset.describe`, and the fingerprint of the "photographs" where some are trained on.

    Raises:
      ValueError: names the field, both values, and what to do.
    """
    saved, current = configs.flatten(configs.saved_config(meta["config"])), configs.flatten(config)
    for name, value in current.items():
        if name not in (*_FREE, *_NAMES_OF_DATA) and saved[name] != value:
            raise InputError(
                f"config.{name} is {value!r}, but the run in this workdir was started with {saved[name]!r}; "
                "give it that value, or another --workdir"
            )
    _check_same_images(saved, current, meta["dataset"], dataset)
    _check_same_photographs(saved, current, meta["dataset"], dataset)


def _check_same_images(saved: dict, current: dict, trained_on: dict, dataset: dict) -> None:
    trained_classes, classes = (len(one["class_names"]) for one in (trained_on, dataset))
    if (trained_on["sha256"], trained_classes) == (dataset["sha256"], classes):
        return
    fields = [(f"config.{name}", saved[name], current[name]) for name in _NAMES_OF_DATA if name != _PHOTOGRAPHS]
    counts = [(name, trained_on.get(name), dataset.get(name)) for name in ("shape", "train_count", "test_count")]
    known = [*fields, *counts, ("the number of classes", trained_classes, classes)]
    changes = ", ".join(f"{what} was {before!r} and is {now!r}" for what, before, now in known if before != now)
    raise InputError(
        f"config.data.source is {current['data.source']!r}, whose images or labels are not those that the run in this "
        f"workdir was started with{f' ({changes})' if changes else ''}; expected the same data, or another --workdir"
    )


def _check_same_photographs(saved: dict, current: dict, trained_on: dict, dataset: dict) -> None:
    before, now = saved[_PHOTOGRAPHS], current[_PHOTOGRAPHS]
    noted = trained_on.get("photographs")
    if noted is None and before != now and "photographs" in dataset:
        _LOG.warning(
            "config.%s is %r and was %r; whether the photographs are the same cannot be checked: the checkpoint is of "
            "an older version, which did not note them",
            *(_PHOTOGRAPHS, now, before),
        )
    if noted is not None and noted != dataset.get("photographs"):
        raise InputError(
            f"config.{_PHOTOGRAPHS} is {now!r}, whose photographs are not those that the run in this workdir was "
            f"started with, of {before!r}; expected the same photographs, or another --workdir"
        )


def note_names(manager: Manager, step: int, meta: dict, config: ConfigDict, dataset: dict) -> None:
    """Writes into a checkpoint where its data are now, after `check_same_run`; a run that has ended writes no other."""
    if configs.flatten(configs.saved_config(meta["config"])) == configs.flatten(config):
        return
    place = Path(manager.directory) / str(step) / "meta"
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:  # so that the old file stays until the new is whole
        meta = meta | {"config": config.to_dict(), "dataset": dataset}
        ocp.JsonCheckpointHandler().save(epath.Path(folder), args=ocp.args.JsonSave(meta))
        for path in Path(folder).iterdir():
            path.replace(place / path.name)
