"""Configs: any value in any field, any words on the command line, any config file, and training with what is valid."""

import re
import sys

import pytest
from absl import flags
from hypothesis import given
from hypothesis import strategies as st
from ml_collections import ConfigDict, config_flags

from bginv_jax import command_line, config_files
from bginv_jax import config as configs
from bginv_jax.data import sources
from bginv_jax.data.sources import SOURCES
from bginv_jax.errors import InputError
from bginv_jax.networks.classifiers import CLASSIFIERS
from bginv_jax.training import loop, wiring
from tests.properties.cases import attempt, times
from tests.properties.damage import SIZES, damaged, names
from tests.training import registered, toys

NAMES = tuple(configs.FIELDS)
_SIZES = st.sampled_from([*SIZES, *(-size for size in SIZES)])
_NUMBERS = st.integers() | _SIZES | st.floats() | st.sampled_from([0.0, 0.5, 1.0, 1e39, -0.0])
_SIMPLE = st.none() | st.booleans() | _NUMBERS | names()
VALUES = _SIMPLE | st.lists(_SIMPLE, max_size=3).map(tuple) | st.lists(_SIMPLE, max_size=3) | st.binary(max_size=5)
# What fields take: the words of each, and values that fit many.
_WORDS = {name: re.findall(r"[a-z][\w.]*", configs.FIELDS[name].allowed) for name in NAMES}
_FITTING = (0, 1, 2, 3, 0.0, 0.25, 0.5, 1.0, True, False, (), (0, 1), ("f:1",), ("f:1", "f_m:1"), ("f:1", "f_l:1"), "")


def _values(name):
    """The values that a field takes by itself, of some that are tried."""
    field = configs.FIELDS[name]
    tried = [field.default, *_WORDS[name], *_FITTING]
    return [value for value in tried if configs._same_type(value, field.default) and field.valid(value)]


FIELDS = {name: st.sampled_from(_values(name)) for name in NAMES if not name.startswith("data.")}


_ABOUT = re.compile(rf"config\.({'|'.join(map(re.escape, NAMES))}) is ")


@given(st.sampled_from(NAMES), VALUES)
@times(3)
def test_any_value_in_any_field(name, value):
    values = configs.default_config().to_dict()
    *groups, leaf = name.split(".")
    place = values
    for group in groups:
        place = place[group]
    place[leaf] = value
    config = ConfigDict(values)

    def validate():
        configs.validate(config)
        return True

    attempt("configs, any value", validate, names=_ABOUT)


def _parsed(words):
    """The config that the words of a command line give, or None where they are refused, with the message."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", None, "", flag_values=values)
    values["config"].parser = config_files.Parser()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train", *words])  # where config_flags looks for the fields that are given
        try:
            values(sys.argv)
        except Exception as error:  # as command_line takes it
            return None, command_line._explain(sys.argv, error)
    return values["config"].value, ""


@pytest.fixture(scope="module")
def experiment(folder):
    path = folder / "experiment.py"
    path.write_text("from bginv_jax.config import default_config\n\n\ndef get_config():\n    return default_config()\n")
    return path


@given(st.sampled_from(NAMES), VALUES.map(str) | VALUES.map(repr) | names())
@times(1)
def test_any_words_on_the_command_line(experiment, name, value):
    def parse():
        config, message = _parsed([f"--config={experiment}", f"--config.{name}={value}"])
        if config is None:
            raise InputError(message)
        configs.validate(config)
        return True

    attempt("configs, command line", parse, names=_ABOUT)


_LINES = st.builds("    config.{} = {!r}".format, st.sampled_from(NAMES), VALUES)
_FILE = """from bginv_jax.config import default_config


def get_config():
    config = default_config()
{}
    return {}
"""
_RESULTS = (
    "config",
    "None",
    "{}",
    "config.to_dict()",
    "[config]",
    "config.data",
    "1 / 0",
    "get_config",
    "config.lock()",
)


@given(st.lists(_LINES, max_size=2), st.sampled_from(_RESULTS), st.data())
@times(1)
def test_any_config_file(folder, lines, result, data):
    text = _FILE.format("\n".join(lines), result).encode("utf-8", "surrogatepass")
    path = folder / "any.py"
    path.write_bytes(data.draw(st.just(text) | damaged([text])))

    def load():
        configs.validate(config_files.load(str(path)))
        return True

    attempt("configs, files", load, names=re.compile(rf"any\.py|{_ABOUT.pattern}"))


@pytest.fixture(scope="module")
def toy():
    """A source in memory and a classifier of one layer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SOURCES, "toy", registered.source("toy"))
        patch.setitem(CLASSIFIERS, "linear", toys.Linear)
        yield


def _config(data, fixed):
    config = configs.default_config()
    chosen = data.draw(st.lists(st.sampled_from(sorted(FIELDS)), min_size=1, max_size=6, unique=True))
    config.update_from_flattened_dict({name: data.draw(FIELDS[name]) for name in chosen} | fixed)
    return config


@given(st.data())
@times(0.5)
def test_what_is_valid_can_be_wired(toy, data):
    method, schedule = data.draw(
        st.sampled_from(
            [("vanilla", ("f:1",)), ("attention", ("f:1", "f_l:1")), ("proposal", ("f:1", "f_m:1", "f+f_b:1"))]
        )
    )
    config = _config(data, {"data.source": "toy", "method": method, "schedule": schedule, "steps": 9, "batch_size": 16})

    def wire():
        configs.validate(config)
        run = wiring.wire(config, sources.load(config.data))
        run.learning(run.phases[0])
        return True

    attempt("configs, wired", wire, seconds=60, most=2**40)


# What a program does not depend on, so that half of the runs, which change nothing else, share one.
_FREE = ("seed", "log_every", "checkpoint_every", "checkpoints_kept")


@given(st.data())
@times(0.1)
def test_what_is_valid_trains_two_steps(toy, tmp_path_factory, data):
    other = [name for name in FIELDS if name.startswith(("augment.", "rate.", "label_", "weight_", "seeds"))]
    some = data.draw(st.lists(st.sampled_from(other), max_size=3, unique=True)) if data.draw(st.booleans()) else []
    fields = {name: data.draw(FIELDS[name]) for name in (*_FREE, *some)}
    fixed = {"data.source": "toy", "classifier": "linear", "method": "vanilla", "schedule": ("f:1",), "steps": 2}
    config = configs.default_config()
    config.update_from_flattened_dict({**fields, **fixed, "batch_size": 8})

    def train():
        return loop.train(config, tmp_path_factory.mktemp("run"))

    state = attempt("configs, trained", train, seconds=600, most=2**40)  # it compiles
    assert state is None or int(state.step) == 2
