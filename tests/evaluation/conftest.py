"""Images that predictors of `foolable` are asked about."""

import numpy as np
import pytest

from tests.evaluation.foolable import COUNT, SIZE


@pytest.fixture
def x():
    return np.random.RandomState(0).rand(COUNT, SIZE, SIZE, 1).astype(np.float32)


@pytest.fixture
def masks():
    """The middle, and a corner that differs between the images."""
    masks = np.zeros((COUNT, SIZE, SIZE, 1), np.float32)
    masks[:, 2:6, 2:6] = 1
    for i in range(COUNT):
        masks[i, 0, : i + 1] = 1
    return masks
