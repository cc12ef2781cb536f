"""Configs: every setting at its default, the authors' own, and what the settings of one must agree on."""

from typing import Any

from ml_collections import ConfigDict

from bginv_jax.errors import InputError
from bginv_jax.fields import FIELDS
from bginv_jax.images.variety import Variety
from bginv_jax.methods import registry, schedule
from bginv_jax.methods.contract import Layout
from bginv_jax.networks.classifiers import CLASSIFIERS, STAGED, has_maps, make_classifier
from bginv_jax.networks.pretrained import IMAGENET
from bginv_jax.worlds.registry import KIND as WORLD

# Of a checkpoint's config these are checked; the ranges of others, which no network is built after, may have changed.
_BUILT_AFTER = (
    *("method", "task", "seed", "seeds", "classifier", "schedule", "data.fit"),
    *("mask.kind", "mask.size", "mask.width", "background.kind", "background.tiles"),
)


def default_config() -> ConfigDict:
    """The default of every field, as a locked ConfigDict for experiment files to override."""
    config = ConfigDict()
    for name, field in FIELDS.items():
        *group, leaf = name.split(".")
        place = config
        for part in group:
            if part not in place:
                place[part] = ConfigDict()
            place = place[part]
        place[leaf] = field.default
    return config.lock()


def poster_config() -> ConfigDict:
    """The authors' settings, as their companion code has them, and its defects: flipped digits, masks out of line.

    The binarisation is one of the four that it offers; which one the poster used is not said.
    """
    config = default_config()
    config.data.source = "tfds:mnist"
    config.batch_size = 8
    config.rate.update({"f": 1e-3, "f_l": 1e-3, "f_m": 1e-5, "f_b": 1e-5, "decay": "constant"})
    config.augment.update({"rotation": 15.0, "shift": 0.15, "shear": 0.3, "zoom": 0.0, "flip": True, "brightness": 0.2})
    config.mask.update({"binarize": "otsu", "halo": 0, "aligned": False})
    config.background.update({"move": False, "plain_share": 0.0})
    config.log_every, config.checkpoint_every = 500, 7500
    return config


def saved_config(values: Any) -> ConfigDict:
    """A config that was written to a checkpoint; fields that came later have their default.

    Args:
      values: of JSON, which may hold anything.

    Raises:
      InputError: names a field that there is none of, or whose value networks cannot be built after.
    """
    config = default_config()
    try:
        if not isinstance(values, dict):
            raise InputError(f"the checkpoint's config is {values!r}; expected what train writes")
        for name, value in flatten(values).items():
            field = FIELDS.get(name)
            if field is None:
                raise InputError(f"the checkpoint's config.{name} is unknown; it is damaged, or of a later version")
            fits = _same_type(value, field.default) and (name not in _BUILT_AFTER or field.valid(value))
            if not fits:
                raise InputError(f"the checkpoint's config.{name} is {value!r}; allowed: {field.allowed}")
        config.update(values)
    except RecursionError as error:
        raise InputError("the checkpoint's config is nested too deeply; expected what train writes") from error
    return config


def rate_field(config: ConfigDict, network: str) -> str:
    """Which field of the group `rate` is a network's: its own, or f's for a network that has none."""
    return network if network in config.rate else "f"


def flatten(config: dict, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}; tuples and lists are the same value."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, dict | ConfigDict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = tuple(value) if isinstance(value, list) else value
    return flat


def _complaint(name: str, value: Any, allowed: str) -> InputError:
    return InputError(f"config.{name} is {value!r}; allowed: {allowed}")


def _same_type(value: Any, default: Any) -> bool:
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(default)


def validate(config: ConfigDict) -> None:
    """Checks every field and what they must agree on, before anything compiles.

    Raises:
      ValueError: names the field, its value and what is allowed.
    """
    values = flatten(config)
    for name in values.keys() - FIELDS.keys():
        raise InputError(f"config.{name} is unknown; the fields are {', '.join(FIELDS)}")
    for name, field in FIELDS.items():
        if name not in values:
            raise InputError(f"config.{name} is missing; allowed: {field.allowed}")
        value = values[name]
        if not _same_type(value, field.default) or not field.valid(value):
            raise _complaint(name, value, field.allowed)
    trained = registry.METHODS[config.method].networks
    phases = schedule.make_phases(config.schedule, config.steps)
    begins: dict[str, int] = {}  # with which phase a network does
    for i, phase in enumerate(phases):
        for network in phase.networks:
            begins.setdefault(network, i)
    used, never = set(begins), len(phases)
    if not used <= set(trained):
        raise _complaint("schedule", config.schedule, f"method {config.method} trains {', '.join(trained)}")
    if begins.get("f_l", never) < begins.get("f", never):
        raise _complaint("schedule", config.schedule, "f trains before or with f_l")
    if "f_m" in used and config.mask.kind != "learned":
        raise _complaint("schedule", config.schedule, f"no f_m where config.mask.kind is {config.mask.kind}")
    if begins.get("f_b", never) < begins.get("f_m", never) and config.mask.kind == "learned":
        raise _complaint("schedule", config.schedule, "f_m trains before or with f_b, or config.mask.kind=nonzero")
    if not set(config.muon) <= set(trained):
        raise _complaint("muon", config.muon, f"method {config.method} trains {', '.join(trained)}")
    if config.weight_decay and "f" not in trained:
        raise _complaint("weight_decay", config.weight_decay, f"0 with method {config.method}, which has no f")
    _validate_classifier(config)
    if config.mask.size and config.mask.kind != "learned":
        raise _complaint("mask.size", config.mask.size, f"0 where config.mask.kind is {config.mask.kind}")
    world = config.data.source.partition(":")[0] == WORLD
    if world != (config.task == "q_learning"):
        what = f"{'q_learning' if world else 'another than q_learning'} with config.data.source {config.data.source}"
        raise _complaint("task", config.task, what)
    if config.steps < len(phases):
        raise _complaint("steps", config.steps, f"at least one for each of the {len(phases)} phases")
    if config.checkpoint_keep_every % config.checkpoint_every:
        what = f"0, or a multiple of config.checkpoint_every, {config.checkpoint_every}"
        raise _complaint("checkpoint_keep_every", config.checkpoint_keep_every, what)
    if config.evaluate_every and not config.data.validation_share:
        raise _complaint("evaluate_every", config.evaluate_every, "0 where config.data.validation_share is 0")
    if world and config.evaluate_every:
        raise _complaint("evaluate_every", config.evaluate_every, f"0 with config.data.source {config.data.source}")
    _validate_background(config, used)


def _validate_background(config: ConfigDict, used: set[str]) -> None:
    background = config.background
    drawn = background.families or background.training_images
    if drawn and background.photographs:
        what = "'' with config.background.families or config.background.training_images"
        raise _complaint("background.photographs", background.photographs, what)
    if bool(background.pictured_share) != bool(drawn or background.photographs):
        what = "above 0 with config.background.families, .photographs or .training_images, 0 without"
        raise _complaint("background.pictured_share", background.pictured_share, what)
    for name in ("repeats", *Variety._fields):
        needed = "families" if name == "repeats" else "pictured_share"
        default = FIELDS[f"background.{name}"].default
        if background[name] != default and not background[needed]:
            what = f"{default} without config.background.{needed}"
            raise _complaint(f"background.{name}", background[name], what)
    layout = Layout.of(config.batch_size, kept_share=background.plain_share, pictured_share=background.pictured_share)
    least = int("f_b" in used and background.kind == "generated")
    if layout.painted < least:
        name = "plain_share" if layout.kept + least > config.batch_size else "pictured_share"
        raise _complaint(f"background.{name}", background[name], "leaves some of the batch to f_b")


def _validate_classifier(config: ConfigDict) -> None:
    classifier, weights, frozen = config.classifier, config.classifier_weights, config.classifier_frozen
    module = make_classifier(classifier, 1)  # of the user's own says what is wrong with it
    if config.method == "attention" and not has_maps(module):
        with_maps = ", ".join(name for name in CLASSIFIERS if has_maps(make_classifier(name, 1)))
        what = f"{with_maps} with method attention, or a module of yours whose __call__ takes truncated"
        raise _complaint("classifier", classifier, what)
    stages = STAGED[classifier].stages if classifier in STAGED else 0
    if weights and not stages:
        raise _complaint("classifier_weights", weights, f"'' with classifier {classifier}; others are {_staged()}")
    if weights == IMAGENET and classifier != "efficientnet_lite0":
        what = f"'' or a file with classifier {classifier}; those of ImageNet come for efficientnet_lite0 alone"
        raise _complaint("classifier_weights", weights, what)
    if config.classifier_averages == "fixed" and not weights:
        raise _complaint("classifier_averages", "fixed", "moving without config.classifier_weights")
    if frozen and not stages:
        what = f"0 with classifier {classifier}, which has no stages; those that have are {_staged()}"
        raise _complaint("classifier_frozen", frozen, what)
    if frozen > stages:
        what = f"0 to {stages} with classifier {classifier}: from all of it to its head alone that trains"
        raise _complaint("classifier_frozen", frozen, what)
    if frozen and not weights:
        what = "0 without config.classifier_weights: first stages would stay as they are drawn"
        raise _complaint("classifier_frozen", frozen, what)


def _staged() -> str:
    return ", ".join(STAGED)


def describe() -> str:
    """The fields, one a line: for --help."""
    width = max(map(len, FIELDS)) + 2
    lines = (f"  {name:<{width}}{field.meaning} ({field.default!r}; {field.allowed})" for name, field in FIELDS.items())
    return "Config fields, each set with --config.FIELD=VALUE (default; allowed):\n" + "\n".join(lines)
