"""A wrong field is refused with its name, its value and what is allowed; experiments are valid."""

import importlib.util
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from bginv_jax import config as configs

EXPERIMENTS = sorted((Path(__file__).parents[1] / "experiments").glob("*.py"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_is_valid_and_says_how_to_run_it(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    configs.validate(module.get_config())
    assert f"--config=experiments/{path.name}" in module.__doc__


def test_the_defaults_are_valid_and_described():
    configs.validate(configs.default_config())
    description = configs.describe()
    for name, field in configs.FIELDS.items():
        assert f"  {name} " in description
        assert field.meaning in description


@pytest.mark.parametrize(("name", "value", "message"), [
    ("method", "proposals", r"config.method is 'proposals'; allowed: one of vanilla, attention, proposal"),
    ("seed", -1, r"config.seed is -1; allowed: an integer from 0 to"),
    ("batch_size", 0, r"config.batch_size is 0; allowed: an integer of at least 1"),
    ("steps", 2, r"config.steps is 2; allowed: at least one for each of the 3 phases"),
    ("rate.f", -0.1, r"config.rate.f is -0.1; allowed: a number from 0.0 to 1.0"),
    ("rate.f", float("nan"), r"config.rate.f is nan; allowed: a number"),
    ("rate.decay", "linear", r"config.rate.decay is 'linear'; allowed: one of constant, cosine"),
    ("schedule", ("f:1", "g:2"), r"config.schedule is \('f:1', 'g:2'\); allowed: a tuple of strings"),
    ("schedule", ("f:1", "f+f_b:2"), r"config.schedule .* f_m trains before or with f_b"),
    ("data.source", "mnist", r"config.data.source is 'mnist'; allowed: mnist_5k, tfds:NAME or idx:FOLDER"),
    ("data.train_split", "", r"config.data.train_split is ''; allowed"),
    ("mask.binarize", "half", r"config.mask.binarize is 'half'; allowed: one of otsu, threshold, quantile, none"),
    ("mask.kind", "nonzero", r"config.schedule .* no f_m where config.mask.kind is nonzero"),
    ("background.kind", "real", r"config.background.kind is 'real'; allowed: one of generated, .*, photographs"),
    ("background.kind", "photographs", r"config.background.photographs is ''; allowed: a folder"),
    ("background.plain_share", 1.0, r"config.background.plain_share is 1.0; allowed: some of the batch is composed"),
])  # fmt: skip
def test_a_wrong_value_is_refused(name, value, message):
    config = configs.default_config()
    config.update_from_flattened_dict({name: value})
    with pytest.raises(ValueError, match=message):
        configs.validate(config)


def test_wrong_types_and_names_are_refused():
    values = configs.default_config().to_dict()
    with pytest.raises(ValueError, match=r"config.batch_size is 6.5; allowed: an integer of at least 1"):
        configs.validate(ConfigDict(values | {"batch_size": 6.5}))
    with pytest.raises(ValueError, match=r"config.seed is True; allowed: an integer"):
        configs.validate(ConfigDict(values | {"seed": True}))
    with pytest.raises(ValueError, match=r"config.batchsize is unknown; the fields are method, seed"):
        configs.validate(ConfigDict(values | {"batchsize": 6}))
    del values["steps"]
    with pytest.raises(ValueError, match=r"config.steps is missing; allowed: an integer"):
        configs.validate(ConfigDict(values))


def test_vanilla_trains_f_alone():
    config = configs.default_config()
    config.method = "vanilla"
    with pytest.raises(ValueError, match="config.schedule .* method vanilla trains f"):
        configs.validate(config)
    config.schedule = ("f:1",)
    configs.validate(config)
