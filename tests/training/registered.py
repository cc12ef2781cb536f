"""Second users of the seams: sources in memory, networks and a config that trains in seconds."""

import json

import numpy as np
from flax import linen as nn

from bginv_jax.config import default_config
from bginv_jax.data.dataset import make_dataset
from bginv_jax.data.sources import Source
from tests.training.toys import images


class Normalised(nn.Module):
    """f with batch normalisation and dropout: images (N, S, S, C) -> (N, outputs)."""

    outputs: int

    @nn.compact
    def __call__(self, x, *, train):
        # No bias: the normalisation takes it away, and Adam would move it by what rounding makes of no gradient.
        x = nn.Dense(8, use_bias=False)(x.reshape(len(x), -1))
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        return nn.Dense(self.outputs)(nn.Dropout(0.5, deterministic=not train)(nn.relu(x)))


def source(name, targets=None):
    """A source of 48 images to train and 21 to test; targets(images) -> targets, or else they are labels."""

    def load(config, _):
        splits = {}
        for split, count, seed in (("train", 48, 1), ("test", 21, 2)):
            drawn, labels = images(count, seed)
            splits[split] = drawn, labels if targets is None else targets(drawn)
        return make_dataset(config, name, splits, None if targets is None else ())

    return Source(name, load)


def brightness(drawn):
    """A float for each image: (N,)."""
    return (drawn.mean(axis=(1, 2, 3)) / 8).astype(np.float32)


def place_and_brightness(drawn):
    """Where the object's centre is, row and column from the middle, and a float: a dict of (N, 2) and (N,)."""
    weights = drawn[..., 0] / drawn.sum(axis=(1, 2, 3))[:, None, None]
    pixels = np.arange(drawn.shape[1]) - (drawn.shape[1] - 1) / 2
    place = np.stack([weights.sum(axis=2) @ pixels, weights.sum(axis=1) @ pixels], axis=1)
    return {"place": place.astype(np.float32), "brightness": brightness(drawn)}


def config(**changes):
    """A vanilla run of 6 steps of f on the source "toy", a checkpoint every three."""
    made = default_config()
    made.method, made.schedule, made.steps, made.batch_size = "vanilla", ("f:1",), 6, 16
    made.log_every, made.checkpoint_every = 2, 3
    made.augment.update({"rotation": 10.0, "shift": 0.1, "zoom": 0.0})
    made.data.source, made.classifier = "toy", "linear"
    made.update_from_flattened_dict({name.replace("__", "."): value for name, value in changes.items()})
    return made


def lines(workdir):
    """metrics.jsonl, whose every line must be JSON as the standard has it: without NaN."""

    def refuse(constant):
        raise AssertionError(f"{constant} in metrics.jsonl")

    return [json.loads(line, parse_constant=refuse) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def steps_kept(workdir):
    """The checkpoints of a workdir."""
    return sorted(int(path.name) for path in (workdir / "checkpoints").iterdir())
