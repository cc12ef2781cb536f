"""The vanilla row on Fashion-MNIST: f alone, trained on plain images.

Command: python -m bginv_jax.train --config=experiments/fashion_vanilla.py --workdir=runs/fashion/vanilla
"""

from bginv_jax.config import default_config


def get_config():
    config = default_config()
    config.method = "vanilla"
    config.data.source = "tfds:fashion_mnist"
    config.schedule = ("f:1",)
    config.steps = 1500
    return config
