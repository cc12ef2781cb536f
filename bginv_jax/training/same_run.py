"""Whether a config continues the run of a workdir: with the same settings, on the same data, wherever they lie."""

import logging
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import orbax.checkpoint as ocp
from etils import epath
from ml_collections import ConfigDict

from bginv_jax import config as configs
from bginv_jax.data.dataset import Description
from bginv_jax.errors import InputError
from bginv_jax.training import distributed, integrity, provenance
from bginv_jax.training.checkpoints import Manager

_LOG = logging.getLogger(__name__)

# Fields that may change when a run is continued: they say what is read, written and predicted, not what is learned.
_FREE = (
    "log_every",
    "checkpoint_every",
    "checkpoint_keep_every",
    "evaluate_every",
    "checkpoints_kept",
    "classifier_views",
)

# Fields that say where data are and how they are read: the data themselves are compared instead.
_PHOTOGRAPHS = "background.photographs"
_WEIGHTS = "classifier_weights"
_NAMES_OF_DATA = (*(name for name in configs.FIELDS if name.startswith("data.")), _PHOTOGRAPHS, _WEIGHTS)


def of_all_processes(config: ConfigDict, description: Description) -> dict[str, object]:
    """What processes that train together must have alike, by its name; the same data may lie elsewhere in each."""
    free = ("data.source", "data.dir", _PHOTOGRAPHS, _WEIGHTS)
    fields = {f"config.{name}": value for name, value in configs.flatten(config).items() if name not in free}
    data = description.to_json()
    return fields | {"the data": [data["sha256"], data["photographs"], data["weights"]]} | provenance.numerics()


class Noted(NamedTuple):
    """What the meta of a checkpoint says of its run."""

    config: ConfigDict
    description: Description
    origin: dict


def noted(meta: Any) -> Noted:
    """The parts of a checkpoint's meta, which is JSON and may hold anything.

    Raises:
      InputError: names what is missing in it, or is none.
    """
    parts = meta if isinstance(meta, dict) else {}
    origin = parts.get("origin")
    origin = origin if isinstance(origin, dict) else {}
    if not isinstance(origin.get("versions"), dict):
        origin = {name: value for name, value in origin.items() if name != "versions"}
    return Noted(configs.saved_config(parts.get("config")), Description.from_json(parts.get("dataset")), origin)


def check_same_run(meta: dict, config: ConfigDict, description: Description) -> None:
    """Refuses to continue a run with another config or other data; the same data may lie elsewhere by another name.

    Args:
      meta: of the checkpoint.
      config: to continue with.
      description: of the data to continue with.

    Raises:
      InputError: names the field, both values, and what to do.
    """
    config_then, trained_on, _ = noted(meta)
    saved, current = configs.flatten(config_then), configs.flatten(config)
    for name, value in current.items():
        if name not in (*_FREE, *_NAMES_OF_DATA) and saved[name] != value:
            raise InputError(
                f"config.{name} is {value!r}, but the run in this workdir was started with {saved[name]!r}; "
                "give it that value, or another --workdir"
            )
    _check_same_images(saved, current, trained_on, description)
    _check_same_photographs(saved, current, trained_on.photographs, description.photographs)
    _check_same_weights(saved[_WEIGHTS], current[_WEIGHTS], trained_on.weights, description.weights)


def _check_same_images(saved: dict, current: dict, trained_on: Description, description: Description) -> None:
    trained_classes, classes = (len(one.class_names) for one in (trained_on, description))
    if (trained_on.sha256, trained_classes) == (description.sha256, classes):
        return
    fields = [
        (f"config.{name}", saved[name], current[name])
        for name in _NAMES_OF_DATA
        if name not in (_PHOTOGRAPHS, _WEIGHTS)
    ]
    names = ("shape", "train_count", "test_count")
    counts = [(name, getattr(trained_on, name), getattr(description, name)) for name in names]
    known = [*fields, *counts, ("the number of classes", trained_classes, classes)]
    changes = ", ".join(f"{what} was {before!r} and is {now!r}" for what, before, now in known if before != now)
    if not changes and current["data.image_size"]:
        changes = (
            "nothing else changed; it may have been started before commit 41f4c3d, since when images are resized anew"
        )
    raise InputError(
        f"config.data.source is {current['data.source']!r}, whose images or labels are not those that the run in this "
        f"workdir was started with{f' ({changes})' if changes else ''}; expected the same data, or another --workdir"
    )


def _check_same_photographs(saved: dict, current: dict, noted: str, found: str) -> None:
    before, now = saved[_PHOTOGRAPHS], current[_PHOTOGRAPHS]
    if not noted and before != now and found:
        _LOG.warning(
            "config.%s is %r and was %r; whether the photographs are the same cannot be checked: the checkpoint is of "
            "an older version, which did not note them",
            *(_PHOTOGRAPHS, now, before),
        )
    if noted and noted != found:
        raise InputError(
            f"config.{_PHOTOGRAPHS} is {now!r}, whose photographs are not those that the run in this workdir was "
            f"started with, of {before!r}; expected the same photographs, or another --workdir"
        )


def _check_same_weights(before: str, now: str, noted: str, found: str) -> None:
    """Weights that are gone are not missed: the checkpoint holds what became of them."""
    if bool(before) != bool(now) or (found and noted != found):
        raise InputError(
            f"config.{_WEIGHTS} is {now!r}, which is not what the run in this workdir was started with, {before!r}; "
            "expected the same weights, or another --workdir"
        )


def note_names(manager: Manager, step: int, meta: dict, config: ConfigDict, description: Description) -> None:
    """Writes into a checkpoint where its data are now, after `check_same_run`; a run that has ended writes no other."""
    if configs.flatten(noted(meta).config) == configs.flatten(config) or not distributed.is_first():
        return
    place = Path(manager.directory) / str(step) / "meta"
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:  # so that the old file stays until the new is whole
        meta = meta | {"config": config.to_dict(), "dataset": description.to_json()}
        sealed = integrity.sealed_again(meta)
        ocp.JsonCheckpointHandler().save(epath.Path(folder), args=ocp.args.JsonSave(sealed))
        for path in Path(folder).iterdir():
            path.replace(place / path.name)
