"""Orbax checkpoints: the whole train state, the resolved config and what is known of the data.

A workdir holds checkpoints/STEP/{state,meta}. Orbax renames a checkpoint into place when it is whole, so a killed
process leaves none that is half written.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from ml_collections import ConfigDict

from bginv_jax import config as configs
from bginv_jax.errors import InputError
from bginv_jax.training.state import TrainState

_LOG = logging.getLogger(__name__)

# Fields that may change when a run is continued: they say what is read and written, not what is computed.
_FREE = ("log_every", "checkpoint_every", "checkpoints_kept", "data.dir")


Manager = ocp.CheckpointManager

_copy = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree))


def open_manager(workdir: str | Path, *, kept: int | None = None) -> Manager:
    """The manager of a workdir's checkpoints; `kept` is how many of the newest stay.

    Raises:
      ValueError: for a path that is not text in this locale, which TensorStore cannot open.
    """
    options = ocp.CheckpointManagerOptions(max_to_keep=kept, cleanup_tmp_directories=kept is not None)
    path = Path(workdir).expanduser().resolve() / "checkpoints"
    if any("\ud800" <= letter <= "\udfff" for letter in str(path)):
        raise InputError(f"workdir is {str(workdir)!r}, which is no text in this locale; expected PYTHONUTF8=1 with it")
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
    """Refuses to continue a run with another config or other data.

    Raises:
      ValueError: names the field, both values, and what to do.
    """
    saved, current = configs.flatten(configs.saved_config(meta["config"])), configs.flatten(config)
    for name, value in current.items():
        if name not in _FREE and saved[name] != value:
            raise InputError(
                f"config.{name} is {value!r}, but the run in this workdir was started with {saved[name]!r}; "
                "give it that value, or another --workdir"
            )
    if meta["dataset"]["sha256"] != dataset["sha256"]:
        raise InputError(
            f"config.data.source is {config.data.source!r}, whose images or labels are not those that the run in this "
            "workdir was started with; expected the same data, or another --workdir"
        )
