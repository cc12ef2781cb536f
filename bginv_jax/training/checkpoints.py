"""Orbax checkpoints: the whole train state, the resolved config and what is known of the data.

A workdir holds checkpoints/STEP/{state,meta}. Orbax renames a checkpoint into place when it is whole, so a killed
process leaves none that is half written. What is read is compared with the checksums in the meta.
"""

import contextlib
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from ml_collections import ConfigDict

from bginv_jax import config as configs
from bginv_jax.data.dataset import Description
from bginv_jax.errors import DivergedError, InputError
from bginv_jax.methods.contract import Networks
from bginv_jax.training import devices as hardware
from bginv_jax.training import integrity, reading
from bginv_jax.training.integrity import DamagedError, is_finite
from bginv_jax.training.manager import Manager, one_error
from bginv_jax.training.orbax_manners import MANNERS
from bginv_jax.training.state import TrainState, split_variables

_LOG = logging.getLogger(__name__)

copy_state = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree))  # the next step takes over a state's memory


@contextlib.contextmanager
def open_manager(workdir: str | Path, *, kept: int | None = None, keep_every: int = 0) -> Iterator[Manager]:
    """The manager of a workdir's checkpoints, which waits at its end for what it is writing.

    Args:
      workdir: whose folder `checkpoints` it is.
      kept: how many of the newest stay; None for who only reads.
      keep_every: steps; what is a multiple stays for good. 0 keeps none so.

    Raises:
      InputError: for a path that is not text in this locale, which TensorStore cannot open.
      OSError: if a checkpoint cannot be written: at the next, or at the end.
    """
    path = Path(workdir).expanduser().resolve() / "checkpoints"
    if any("\ud800" <= letter <= "\udfff" for letter in str(path)):
        raise InputError(f"workdir is {str(workdir)!r}, which is no text in this locale; expected PYTHONUTF8=1 with it")
    with MANNERS:
        manager = Manager(path, kept=kept, keep_every=keep_every)
        if kept is not None:
            manager.measures |= _measures(manager)
        try:
            yield manager
        except BaseException:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                manager.close()
            raise
        manager.close()


_OPTIONAL = ("statistics", "memory")


def _saved(train_state: TrainState) -> dict[str, Any]:
    """A state, or its shapes, as the tree that is written: without statistics or memory where there is none."""
    tree = train_state._asdict()
    return {name: part for name, part in tree.items() if name not in _OPTIONAL or jax.tree.leaves(part)}


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
    broken = [name for name in train_state.params if not is_finite([part[name] for part in parts if name in part])]
    if broken:
        raise DivergedError(
            f"step {int(train_state.step)}: the parameters of {' and of '.join(broken)} are not finite; lower "
            f"{fields_to_lower(config, broken)}. The newest checkpoint in the workdir, if there is one, is of an "
            "earlier step and whole"
        )


def save(
    manager: Manager,
    train_state: TrainState,
    config: ConfigDict,
    description: Description,
    origin: dict,
    *,
    unreported: dict | None = None,
    measure: float | None = None,
) -> None:
    """Starts writing a checkpoint; training may go on, and the manager's close waits for it.

    Args:
      manager: of `open_manager`.
      train_state: what is saved.
      config: of the run.
      description: of its data.
      origin: of `provenance.describe`.
      unreported: of `Progress.unreported`, which the resumed run reports.
      measure: how good it is, larger is better: the best of those that have one stays. None, or not finite, is none.

    Raises:
      DivergedError: if the state is not finite everywhere: it would push out one that is.
      OSError: if it, or the one before, cannot be written; the earlier ones stay.
    """
    check_finite(train_state, config)
    step = int(train_state.step)
    copy = copy_state(_saved(train_state))  # on a CPU the writer would still be reading the state's own memory
    meta = {"config": config.to_dict(), "dataset": description.to_json(), "origin": origin}
    meta |= {"unreported": unreported} if unreported else {}
    if measure is not None and math.isfinite(measure):
        meta["measure"] = manager.measures[step] = float(measure)
    meta = integrity.seal(meta, integrity.digests(copy))
    items = ocp.args.Composite(state=ocp.args.PyTreeSave(hardware.as_one(copy)), meta=ocp.args.JsonSave(meta))
    with one_error(manager):
        for damaged in manager.all_steps():  # which restore passed over; Orbax saves nothing before its newest step
            if damaged >= step:
                _LOG.warning("checkpoint %d of %s, which cannot be read, is removed", damaged, manager.directory)
                manager.delete(damaged)
        # By force: Orbax, asked whether to save, asks JAX's preemption service, whose count of calls is the loop's.
        manager.save(step, args=items, force=True)


def _measures(manager: Manager) -> dict[int, float]:
    measures = {}
    for step in manager.all_steps():
        with contextlib.suppress(DamagedError):
            meta, _ = reading.read_meta(manager, step)
            if "measure" in meta:
                measures[step] = meta["measure"]
    return measures


def _restore_newest(
    manager: Manager, make_template: Callable[[dict], Any], *, partial: bool
) -> tuple[Any, dict] | None:
    """The newest checkpoint that is intact, as (tree, meta); with `partial` only what the template has of it."""
    steps = sorted(manager.all_steps(), reverse=True)
    for step in steps:
        try:
            return reading.read_step(manager, step, make_template, partial=partial)
        except DamagedError as error:
            _LOG.warning("checkpoint %d of %s cannot be read and is passed over: %s", step, manager.directory, error)
    if steps:
        raise InputError(f"{manager.directory}: none of the checkpoints {steps} can be read; nothing was changed there")
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
