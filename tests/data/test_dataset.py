"""Classes that no training image has are reported, not refused."""

import numpy as np
import pytest

from bginv_jax.config import default_config
from bginv_jax.data.dataset import make_dataset


def _make(train, test, names=None):
    splits = {
        split: (np.zeros((len(labels), 4, 4, 1), np.uint8), np.array(labels))
        for split, labels in (("train", train), ("test", test))
    }
    return make_dataset(default_config().data, "toy", splits, names)


@pytest.mark.parametrize(
    ("train", "test", "names", "expected"),
    [
        ([0, 1, 2], [2, 0], None, []),
        ([1, 2, 3], [1, 2], None, ["data set toy: 1 of 4 classes have no training image: 0"]),
        ([0, 2], [0], ("bag", "shirt", "shoe"), ["data set toy: 1 of 3 classes have no training image: shirt"]),
        (
            [0, 3],
            [0, 1],
            ("bag", "shirt", "shoe", "coat"),
            [
                "data set toy: 2 of 4 classes have no training image: shirt, shoe",
                "data set toy: 1 of 4 classes have test images but no training image: shirt",
            ],
        ),
        (
            [0, 1, 255],
            [0],
            None,
            ["data set toy: 253 of 256 classes have no training image: 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 243 more"],
        ),
    ],
)
def test_classes_without_a_training_image_are_named(caplog, train, test, names, expected):
    dataset = _make(train, test, names)
    assert [record.getMessage() for record in caplog.records] == expected
    assert (dataset.train.targets.dtype, dataset.train.images.dtype) == (np.int32, np.uint8)
