"""Predictors whose worst backgrounds are known, and images with masks for them."""

import jax.numpy as jnp
import numpy as np

COUNT, SIZE = 7, 8
WEIGHTS = np.random.RandomState(1).randn(SIZE, SIZE, 1).astype(np.float32)


def make_images():
    return np.random.RandomState(0).rand(COUNT, SIZE, SIZE, 1).astype(np.float32)


def make_masks():
    """The middle, and a corner that differs between the images."""
    masks = np.zeros((COUNT, SIZE, SIZE, 1), np.float32)
    masks[:, 2:6, 2:6] = 1
    for i in range(COUNT):
        masks[i, 0, : i + 1] = 1
    return masks


def linear(x):
    """Logits (N, 2): 0 and the weighted sum of the pixels."""
    total = (x * WEIGHTS).sum(axis=(1, 2, 3))
    return jnp.stack([jnp.zeros_like(total), total], axis=1)


def bent(x):
    """Three classes that no background is the worst of by pixels alone."""
    parts = [jnp.tanh((x * jnp.roll(WEIGHTS, i, axis=0)).sum(axis=(1, 2, 3))) for i in range(3)]
    return 3 * jnp.stack([parts[0] * parts[1], parts[1] - parts[2], parts[2]], axis=1)


def only_numpy(x):
    x = np.frombuffer(x.tobytes(), np.float32).reshape(len(x), -1)
    return np.stack([np.zeros(len(x), np.float32), x @ WEIGHTS.ravel()], axis=1)


def labels_of(predict, x):
    return np.asarray(predict(x)).argmax(axis=1)
