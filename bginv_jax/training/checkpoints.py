"""Orbax checkpoints: the whole train state, the resolved config and what is known of the data.

A workdir holds checkpoints/STEP/{state,meta}. Orbax renames a checkpoint into place when it is whole, so a killed
process leaves none that is half written.
"""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from ml_collections import ConfigDict

from bginv_jax import config as configs
from bginv_jax.data.dataset import Description
from bginv_jax.errors import DivergedError, InputError
from bginv_jax.methods.contract import Networks
from bginv_jax.training import devices as hardware
from bginv_jax.training.state import TrainState, split_variables

_LOG = logging.getLogger(__name__)

Manager: TypeAlias = Any  # ocp.CheckpointManager, which has no types

_copy = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree))


def _is_workdir(folder: Path) -> bool:
    """Whether a training has begun to write there."""
    return (folder / "metrics.jsonl").is_file() or any(folder.glob("checkpoints/*/meta"))


def refuse_inside(folder: str | Path, *, folders: Sequence[str]) -> None:
    """Complains of a new workdir in one of the `folders` that a workdir consists of, where nobody looks for it.

    Raises:
      InputError: names the workdir.
    """
    place = Path(os.path.abspath(Path(folder).expanduser()))
    for part in () if (place / "checkpoints").is_dir() else (place, *place.parents):
        if part.name in folders and _is_workdir(part.parent):
            raise InputError(
                f"--workdir is {str(folder)!r}, in {part.name} of the workdir {str(part.parent)!r}; expected that one, "
                "or a folder outside"
            )


def open_manager(workdir: str | Path, *, kept: int | None = None) -> Manager:
    """The manager of a workdir's checkpoints; `kept` is how many of the newest stay.

    Raises:
      ValueError: for a path that is not text in this locale, which TensorStore cannot open.
    """
    options = ocp.CheckpointManagerOptions(max_to_keep=kept, cleanup_tmp_directories=kept is not None)
    path = Path(workdir).expanduser().resolve() / "checkpoints"
    if any("\ud800" <= letter <= "\udfff" for letter in str(path)):
        raise InputError(f"workdir is {str(workdir)!r}, which is no text in this locale; expected PYTHONUTF8=1 with it")
    handlers = {"state": ocp.PyTreeCheckpointHandler(), "meta": ocp.JsonCheckpointHandler()}
    return ocp.CheckpointManager(path, options=options, item_names=tuple(handlers), item_handlers=handlers)


_OPTIONAL = ("statistics", "memory")


def _saved(train_state: TrainState) -> dict[str, Any]:
    """A state, or its shapes, as the tree that is written: without statistics or memory where there is none."""
    tree = train_state._asdict()
    return {name: part for name, part in tree.items() if name not in _OPTIONAL or jax.tree.leaves(part)}


@jax.jit
def _finite(tree: Any) -> jax.Array:
    floats = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in floats])) if floats else jnp.array(True)


# What, besides its rate, makes a network's updates large where it is large: its decay, and weights in its loss.
_WEIGHTS = {
    "f": ("weight_decay",),
    "f_m": ("mask.area_weight", "mask.variation_weight"),
    "f_b": ("background.brightness_weight",),
}


def fields_to_lower(config: ConfigDict, networks: Sequence[str]) -> str:
    """The fields that make the updates of networks smaller, for messages: rates, and weights above their default."""
    values = configs.flatten(config)
    rates = [f"rate.{configs.rate_field(config, name)}" for name in networks]
    weights = [field for name in networks for field in _WEIGHTS.get(name, ())]
    raised = [field for field in weights if values[field] > configs.FIELDS[field].default]
    return ", ".join(f"config.{field}" for field in dict.fromkeys([*rates, *raised]))


def check_finite(train_state: TrainState, config: ConfigDict) -> None:
    """Refuses a state of a run of `config` that is not finite everywhere.

    Raises:
      DivergedError: names the step and the networks.
    """
    parts = (train_state.params, train_state.opt_state, train_state.statistics)
    broken = [name for name in train_state.params if not _finite([part[name] for part in parts if name in part])]
    if broken:
        raise DivergedError(
            f"step {int(train_state.step)}: the parameters of {' and of '.join(broken)} are not finite; lower "
            f"{fields_to_lower(config, broken)}. The newest checkpoint in the workdir, if there is one, is of an "
            "earlier step and whole"
        )


def save(manager: Manager, train_state: TrainState, config: ConfigDict, description: Description, origin: dict) -> None:
    """Starts writing a checkpoint; training may go on, and the manager's close waits for it.

    Args:
      manager: of `open_manager`.
      train_state: what is saved.
      config: of the run.
      description: of its data.
      origin: of `provenance.describe`.

    Raises:
      DivergedError: if the state is not finite everywhere: it would push out one that is.
    """
    check_finite(train_state, config)
    meta = {"config": config.to_dict(), "dataset": description.to_json(), "origin": origin}
    # The next step takes over the state's memory, which on a CPU the writer would still be reading.
    copy = _copy(_saved(train_state))
    items = ocp.args.Composite(state=ocp.args.PyTreeSave(copy), meta=ocp.args.JsonSave(meta))
    step = int(train_state.step)
    for damaged in manager.all_steps():  # which restore passed over; Orbax saves nothing before its newest step
        if damaged >= step:
            _LOG.warning("checkpoint %d of %s, which cannot be read, is removed", damaged, manager.directory)
            manager.delete(damaged)
    manager.save(step, args=items)


def _restore_newest(
    manager: Manager, make_template: Callable[[dict], Any], *, partial: bool
) -> tuple[Any, dict] | None:
    """The newest checkpoint that can be read, as (tree, meta); with `partial` only what the template has of it."""
    steps = sorted(manager.all_steps(), reverse=True)
    for step in steps:
        try:
            meta = manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))["meta"]
        except Exception as error:  # a damaged file may fail anywhere in Orbax, TensorStore or JSON
            _LOG.warning("checkpoint %d of %s cannot be read (%s)", step, manager.directory, error)
            continue
        template = jax.tree.map(
            # Without a sharding Orbax asks for the devices that wrote the checkpoint, and there may be fewer here.
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=hardware.on_one()),
            make_template(meta),
        )
        arguments = ocp.checkpoint_utils.construct_restore_args(template)
        restore = ocp.args.PyTreeRestore(item=template, restore_args=arguments, partial_restore=partial)
        try:
            tree = manager.restore(step, args=ocp.args.Composite(state=restore))["state"]
        except Exception as error:  # as above
            _LOG.warning("checkpoint %d of %s cannot be read (%s)", step, manager.directory, error)
            continue
        if _finite(tree):
            return tree, meta
        _LOG.warning("checkpoint %d of %s is passed over: not all of it is finite", step, manager.directory)
    if steps:
        raise InputError(f"{manager.directory}: none of the checkpoints {steps} can be read")
    return None


def restore(manager: Manager, make_template: Callable[[dict], TrainState]) -> tuple[TrainState, dict] | None:
    """The state of the newest checkpoint that can be read, and the meta beside it, or None where there is none at all.

    Args:
      manager: of `open_manager`.
      make_template: meta -> a state of the structure that was saved, arrays or shapes. Its errors are not held back.

    Raises:
      InputError: if there are checkpoints and none is intact.
    """
    shapes: list[TrainState] = []

    def template(meta):
        shapes.append(make_template(meta))
        return _saved(shapes[-1])

    restored = _restore_newest(manager, template, partial=False)
    if restored is None:
        return None
    tree, meta = restored
    return TrainState(**{"statistics": shapes[-1].statistics, **tree}), meta


class Trained(NamedTuple):
    """What prediction needs of a checkpoint: variables by network, steps taken, and the meta beside them."""

    networks: Networks
    steps: int
    meta: dict


def restore_networks(manager: Manager, make_template: Callable[[dict], Networks]) -> Trained | None:
    """The networks of the newest checkpoint that can be read, whatever optimiser and schedule trained them.

    Args:
      manager: of `open_manager`.
      make_template: meta -> variables by network, arrays or shapes.

    Raises:
      InputError: if there are checkpoints and none is intact.
    """
    shapes: list[TrainState] = []

    def template(meta):
        networks = make_template(meta)
        params, statistics = split_variables(networks)
        shapes.append(TrainState(jnp.zeros((), jnp.int32), None, params, {}, statistics))
        tree = _saved(shapes[-1])
        return {name: tree[name] for name in ("step", "params", "statistics") if name in tree}

    restored = _restore_newest(manager, template, partial=True)
    if restored is None:
        return None
    tree, meta = restored
    state = shapes[-1]._replace(**tree)
    return Trained(state.networks(), int(state.step), meta)
