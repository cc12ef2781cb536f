"""Every field of a config is read, ignored or refused by the PyTorch peer, and what it reads it is given."""

import subprocess
import sys

import pytest

from bginv_jax import config as configs
from bginv_jax.errors import InputError
from bginv_jax.speed import peer_fields
from bginv_jax.speed.peer_fields import FIELDS, READ, Only


def test_every_field_of_a_config_has_a_place():
    assert set(FIELDS) == set(configs.FIELDS)


def test_the_default_is_timed():
    peer_fields.check(configs.default_config())


OTHERS = [
    ("method", "attention", "proposal, vanilla"),
    ("task", "regression", "classification"),
    ("seeds", (0, 1), "()"),
    ("classifier", "lenet", "cnn"),
    ("classifier_weights", "imagenet", "''"),
    ("classifier_averages", "fixed", "moving"),
    ("classifier_average", 0.9, "0.0"),
    ("classifier_frozen", 1, "0"),
    ("label_smoothing", 0.1, "0.0"),
    ("muon", ("f",), "()"),
    ("weight_decay", 0.1, "0.0"),
    ("augment.elastic", 0.1, "0.0"),
    ("augment.contrast", 0.1, "0.0"),
    ("augment.saturation", 0.1, "0.0"),
    ("augment.tint", 0.1, "0.0"),
    ("augment.blur", 0.1, "0.0"),
    ("augment.gamma", 0.1, "0.0"),
    ("mask.size", 32, "0"),
    ("mask.binarize", "otsu", "threshold"),
    ("mask.fill", "backdrop", "black"),
    ("mask.border_weight", 1.0, "0.0"),
    ("mask.width", 8, "32"),
    ("mask.erosion", 1, "0"),
    ("mask.least_halo", 1, "0"),
    ("mask.aligned", False, "True"),
    ("background.kind", "noise", "generated"),
    ("background.families", ("strokes",), "()"),
    ("background.photographs", "folder", "''"),
    ("background.training_images", 1, "0"),
    ("background.copies", 1, "0"),
    ("background.pictured_share", 0.5, "0.0"),
    ("background.width", 64, "128"),
    ("background.recolour", True, "False"),
    ("background.ascent_steps", 1, "0"),
    ("background.ink_share", 0.5, "0.0"),
    ("background.negative_share", 0.5, "0.0"),
]


def test_no_refusal_is_untried():
    assert [name for name, kind in FIELDS.items() if isinstance(kind, Only)] == [name for name, _, _ in OTHERS]


@pytest.mark.parametrize(("name", "value", "allowed"), OTHERS)
def test_what_the_peer_lacks_is_refused(name, value, allowed):
    config = configs.default_config()
    config.update_from_flattened_dict({name: value})
    with pytest.raises(InputError) as caught:
        peer_fields.check(config)
    assert str(caught.value) == f"config.{name} is {value!r}; allowed with --peer=torch: {allowed}"
    with pytest.raises(InputError):
        peer_fields.settings(config)


def test_the_peer_is_given_what_it_reads_and_nothing_else():
    config = configs.default_config()
    given = configs.flatten(peer_fields.settings(config))
    assert given == {name: value for name, value in configs.flatten(config).items() if FIELDS[name] == READ}


def test_the_list_needs_no_pytorch():
    script = "import sys; sys.modules['torch'] = None; from bginv_jax.speed import benchmark, memory, peer_fields"
    subprocess.run([sys.executable, "-c", script], check=True)
