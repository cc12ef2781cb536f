"""One checkpoint as it is read: compared with its checksums, so that it is what was written, or else damaged."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import jax
import orbax.checkpoint as ocp

from bginv_jax.errors import InputError, first_line
from bginv_jax.training import devices as hardware
from bginv_jax.training import distributed, integrity
from bginv_jax.training.integrity import DamagedError
from bginv_jax.training.manager import Manager

_LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def _as_damage() -> Iterator[None]:
    """Where an error is the file's: a damaged one may fail anywhere in Orbax, JSON or TensorStore."""
    try:
        with distributed.noticing_losses():  # Orbax's waiting for the other processes, which is no file's
            yield
    except ConnectionError:
        raise
    except Exception as error:
        raise DamagedError(first_line(error)) from error


def read_meta(manager: Manager, step: int) -> tuple[dict, bool]:
    """The meta of a checkpoint, and whether it has checksums; raises DamagedError."""
    with _as_damage():
        meta = manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))["meta"]
    return meta, integrity.check_meta(meta)


def _read_arrays(manager: Manager, step: int, shapes: Any, *, partial: bool) -> Any:
    template = jax.tree.map(
        # Without a sharding Orbax asks for the devices that wrote the checkpoint, and there may be fewer here.
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=hardware.on_one()),
        shapes,
    )
    arguments = ocp.checkpoint_utils.construct_restore_args(template)
    restore = ocp.args.PyTreeRestore(item=template, restore_args=arguments, partial_restore=partial)
    with _as_damage():
        tree = manager.restore(step, args=ocp.args.Composite(state=restore))["state"]
    if not integrity.are_like(tree, template):  # damaged trees of Orbax's make it leave out what it should read
        raise DamagedError("not all of its arrays are there")
    return tree


def read_step(manager: Manager, step: int, make_template: Callable[[dict], Any], *, partial: bool) -> tuple[Any, dict]:
    """What a checkpoint holds of the template, and its meta; raises DamagedError, and what the template raises."""
    meta, sealed = read_meta(manager, step)
    name = f"checkpoint {step} of {manager.directory}"
    integrity.check_fields(meta, name)
    try:
        shapes = make_template(meta)
    except InputError:
        raise
    except Exception as error:
        if sealed:
            raise
        raise DamagedError(first_line(error)) from error  # what no checksum guards may be anything
    if sealed:
        other = integrity.check_kinds(shapes, meta, partial=partial)
        if other:
            raise InputError(f"{name} is whole, but {other}; expected {integrity.made_by(meta)}")
    try:
        tree = _read_arrays(manager, step, shapes, partial=partial)
        if sealed:
            integrity.check_arrays(tree, meta)
        if not integrity.is_finite(tree):  # as earlier versions wrote them
            raise DamagedError("not all of it is finite")
    except DamagedError as error:
        raise error if sealed else DamagedError(f"{error}; {integrity.made_by(meta)} noted no checksum") from error
    if not sealed:
        _LOG.info("%s has no checksum: %s noted none", name, integrity.made_by(meta))
    return tree, meta
