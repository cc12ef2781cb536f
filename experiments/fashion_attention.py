"""The attention baseline on Fashion-MNIST.

Command: python -m bginv_jax.train --config=experiments/fashion_attention.py --workdir=runs/fashion/attention
"""

from bginv_jax.config import default_config


def get_config():
    config = default_config()
    config.method = "attention"
    config.data.source = "tfds:fashion_mnist"
    config.schedule = ("f:1500", "f_l:600")
    config.steps = 2100
    return config
