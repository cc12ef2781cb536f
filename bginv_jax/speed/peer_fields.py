"""What the PyTorch peer makes of every field of a config: the one list of what it reads, ignores and refuses.

It needs no PyTorch. The peer is given what `settings` gives, so it can read no field that this list does not say.
"""

import dataclasses
from typing import Any

from ml_collections import ConfigDict

from bginv_jax import config as configs
from bginv_jax.errors import InputError

READ = "read by the peer, which does as our step does"
SHARED = "of the data, which both sides are given alike"
FREE = "of no matter to what a step costs"


@dataclasses.dataclass(frozen=True)
class Only:
    """The peer lacks whatever else our step has."""

    values: tuple

    @property
    def words(self) -> str:
        return ", ".join("''" if value == "" else str(value) for value in self.values)


FIELDS: dict[str, str | Only] = {
    "method": Only(("proposal", "vanilla")),
    "task": Only(("classification",)),
    "seed": FREE,
    "seeds": Only(((),)),
    "classifier": Only(("cnn",)),
    "classifier_weights": Only(("",)),
    "classifier_averages": Only(("moving",)),
    "classifier_average": Only((0.0,)),
    "classifier_views": FREE,  # of predictions alone
    "classifier_frozen": Only((0,)),
    "batch_size": READ,
    "steps": FREE,
    "schedule": FREE,  # --phases say what is timed
    "label_smoothing": Only((0.0,)),
    "muon": Only(((),)),
    "weight_decay": Only((0.0,)),
    "rate.f": READ,
    "rate.f_l": FREE,
    "rate.f_m": READ,
    "rate.f_b": READ,
    "rate.decay": FREE,  # a few operations on one number
    "data.source": SHARED,
    "data.dir": SHARED,
    "data.train_split": SHARED,
    "data.test_split": SHARED,
    "data.tests": SHARED,
    "data.masks": SHARED,
    "data.image_size": SHARED,
    "data.fit": SHARED,
    "data.channels": SHARED,
    "data.stream": SHARED,
    "data.validation_share": SHARED,
    "data.targets": SHARED,
    "data.studio": SHARED,
    "augment.rotation": READ,
    "augment.shift": READ,
    "augment.shear": READ,
    "augment.zoom": READ,
    "augment.elastic": Only((0.0,)),
    "augment.flip": READ,
    "augment.brightness": READ,
    "augment.contrast": Only((0.0,)),
    "augment.saturation": Only((0.0,)),
    "augment.tint": Only((0.0,)),
    "augment.blur": Only((0.0,)),
    "augment.gamma": Only((0.0,)),
    "attention.threshold": FREE,
    "mask.kind": FREE,  # both sides are given the masks of phases in which f_m rests
    "mask.size": Only((0,)),
    "mask.binarize": Only(("threshold",)),
    "mask.fill": Only(("black",)),
    "mask.area": READ,
    "mask.area_weight": READ,
    "mask.variation_weight": READ,
    "mask.border_weight": Only((0.0,)),
    "mask.width": Only((32,)),
    "mask.halo": READ,
    "mask.erosion": Only((0,)),
    "mask.least_halo": Only((0,)),
    "mask.aligned": Only((True,)),
    "background.kind": Only(("generated",)),
    "background.families": Only(((),)),
    "background.photographs": Only(("",)),
    "background.training_images": Only((0,)),
    "background.zoom": FREE,  # without pictures
    "background.gain": FREE,
    "background.two_greys": FREE,
    "background.reshaded": FREE,
    "background.mixed": FREE,
    "background.repeats": FREE,
    "background.copies": Only((0,)),
    "background.pictured_share": Only((0.0,)),
    "background.tiles": READ,
    "background.width": Only((128,)),
    "background.move": READ,
    "background.recolour": Only((False,)),
    "background.brightness_weight": READ,
    "background.ascent_steps": Only((0,)),
    "background.ascent_budget": FREE,  # without ascents
    "background.ink_share": Only((0.0,)),
    "background.ink_contrast": FREE,  # without ink
    "background.negative_share": Only((0.0,)),
    "background.plain_share": READ,
    "play.worlds": FREE,  # with a task that the peer lacks
    "play.memory": FREE,
    "play.discount": FREE,
    "play.exploring": FREE,
    "log_every": FREE,
    "checkpoint_every": FREE,
    "checkpoint_keep_every": FREE,
    "evaluate_every": FREE,
    "checkpoints_kept": FREE,
}


def check(config: ConfigDict) -> None:
    """Raises InputError, naming the first field, if the peer's step would be another one than ours."""
    for name, value in configs.flatten(config).items():
        kind = FIELDS[name]
        if isinstance(kind, Only) and value not in kind.values:
            raise InputError(f"config.{name} is {value!r}; allowed with --peer=torch: {kind.words}")


def settings(config: ConfigDict) -> dict[str, Any]:
    """The fields that the peer reads, in their groups, after `check`."""
    check(config)
    values: dict[str, Any] = {}
    for name, value in configs.flatten(config).items():
        if FIELDS[name] == READ:
            *groups, leaf = name.split(".")
            place = values
            for group in groups:
                place = place.setdefault(group, {})
            place[leaf] = value
    return values
