"""Which figures a workdir has, and whose images they show."""

import numpy as np
import pytest
from skimage import io

from bginv_jax.data.dataset import Dataset, Split
from bginv_jax.evaluation import figures, scoring
from bginv_jax.images.pixels import pad_to
from bginv_jax.training import background_strips
from tests.conftest import changed, write_workdir


@pytest.fixture(scope="module")
def dataset():
    random = np.random.RandomState(0)
    images, labels = random.randint(0, 255, (30, 28, 28, 1)).astype(np.uint8), np.arange(30) // 10
    split = Split(pad_to(images, 32), labels.astype(np.int32))
    return Dataset("tiny", split, split, ("zero", "one", "two"), (28, 28, 1))


def test_examples_are_the_first_of_each_class_by_turns(dataset):
    shown = figures.examples(dataset, 5)
    images, labels = shown.images, shown.targets
    assert labels.tolist() == [0, 1, 2, 0, 1]
    np.testing.assert_array_equal(images, dataset.test.images[[0, 10, 20, 1, 11]])


@pytest.mark.parametrize(
    ("method", "schedule", "names"),
    [
        ("vanilla", ("f:1",), ["figure1.png"]),
        ("attention", ("f+f_l:1",), ["figure2.png"]),
        ("proposal", ("f:1", "f_m:1", "f+f_b:3"), ["figure3.png", "figure4.png", "figure4.gif"]),
    ],
)
def test_every_method_has_its_figures(module_config, tmp_path, method, schedule, names):
    write_workdir(changed(module_config, method=method, schedule=schedule, steps=5), tmp_path)
    if method == "proposal":  # training paints before f_b's first step, and after
        random = np.random.RandomState(0)
        for step in (2, 4, 5):
            background_strips.write(tmp_path, step, random.rand(background_strips.SHOWN, 16, 16, 1))
    (run,) = scoring.load([tmp_path])
    records = scoring.score(run) if method == "vanilla" else []  # the others draw none of them
    assert figures.write(run, records, tmp_path) == names
    for name in names:
        assert io.imread(tmp_path / name).std() > 10
