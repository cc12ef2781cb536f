"""Where the data of a workdir are: moved, changed, another set on purpose, or nowhere."""

import logging

import numpy as np
import pytest

from bginv_jax.errors import InputError
from bginv_jax.evaluation import scoring
from bginv_jax.training import loop
from tests.conftest import write_idx


@pytest.fixture
def trained(tiny_config, tmp_path):
    """A vanilla workdir of one step, on an idx folder."""
    tiny_config.method, tiny_config.schedule, tiny_config.steps = "vanilla", ("f:1",), 1
    loop.train(tiny_config, tmp_path / "run")
    return tmp_path / "run"


def test_data_that_moved_are_found_by_either_flag_and_keep_their_name(trained, tiny_folder, caplog):
    (before,) = scoring.load([trained])
    moved = tiny_folder.rename(tiny_folder.with_name("moved"))
    with pytest.raises(InputError, match="is missing; .*; --source and --dir name the place where the data are now"):
        scoring.load([trained])
    (after,) = scoring.load([trained], source=f"idx:{moved}")
    assert caplog.text == ""
    assert after.dataset.description == before.dataset.description
    assert after.dataset.name == "idx:tiny"


def test_the_same_data_under_two_names_have_one_in_the_records(trained, tiny_config, tiny_folder, tmp_path):
    other = tiny_folder.with_name("other")
    other.mkdir()
    for path in tiny_folder.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    tiny_config.data.source = f"idx:{other}"
    loop.train(tiny_config, tmp_path / "second")
    runs = scoring.load([trained, tmp_path / "second"])
    assert runs[0].dataset is runs[1].dataset
    assert scoring.load([tmp_path / "second"])[0].dataset.name == "idx:other"


def test_other_data_are_scored_under_their_own_name_with_a_warning(trained, tiny_folder, caplog):
    other = tiny_folder.with_name("other")
    other.mkdir()
    for path in tiny_folder.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    write_idx(other / "t10k-images-idx3-ubyte", np.ones((21, 12, 12)))
    (run,) = scoring.load([trained], source=f"idx:{other}")
    assert run.dataset.name == "idx:other"
    assert "the images or labels of idx:other are not those that it was trained on" in caplog.text
    write_idx(tiny_folder / "t10k-images-idx3-ubyte", np.ones((21, 12, 12)))
    with caplog.at_level(logging.WARNING):
        scoring.load([trained])
    assert "the images or labels of idx:tiny have changed since it was trained" in caplog.text
