"""Invented leaves: a folder that trains, true masks of its tests, the same from the same seed."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from bginv_jax import config as configs
from bginv_jax.data import sources
from bginv_jax.evaluation.cutouts import cut_out_by_colour
from bginv_jax.images.masks import overlap

SCRIPT = runpy.run_path(str(Path(__file__).parents[1] / "experiments" / "draw_leaves.py"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The folder with two pictures of each kind and split."""
    output, main = tmp_path_factory.mktemp("drawn"), SCRIPT["main"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(main.__globals__, "_SPLITS", {"train": 2, "test": 2, "field": 2})
        flags = SimpleNamespace(FLAGS=SimpleNamespace(output=output, seed=0))
        patch.setitem(main.__globals__, "flags", flags)
        main()
    return output


def test_it_is_read_as_a_folder_of_photographs_with_masks(drawn):
    config = configs.default_config().data
    config.source, config.tests, config.masks = f"folder:{drawn}", ("field",), (str(drawn / "masks"),)
    dataset = sources.load(config)
    assert dataset.class_names == tuple(sorted(SCRIPT["KINDS"]))
    assert dataset.shape == (160, 160, 3)
    assert [len(split.targets) for split in (dataset.train, dataset.test, dataset.tests["field"])] == [8, 8, 8]
    for split in (dataset.test, dataset.tests["field"]):
        areas = split.masks.mean(axis=(1, 2, 3))
        assert 0.02 < areas.min() < areas.max() < 0.4
    assert overlap(cut_out_by_colour(dataset.test.images), dataset.test.masks).min() > 0.85
    assert not (drawn / "masks" / "train").exists()


def test_the_seed_decides(drawn):
    picture = SCRIPT["picture"]
    kind = next(iter(SCRIPT["KINDS"]))
    first, mask = picture(np.random.RandomState(0), kind, outside=False)
    assert np.array_equal(first, np.asarray(Image.open(drawn / "train" / kind / "000.png")))
    assert set(np.unique(mask)) == {0, 255}
    assert not np.array_equal(first, picture(np.random.RandomState(1), kind, outside=False)[0])
