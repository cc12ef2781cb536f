"""The attention baseline on Fashion-MNIST.

Command: python -m bginv_jax.train --config=experiments/fashion_attention.py --workdir=runs/fashion/attention
"""

from bginv_jax.config import default_config


def get_config():
    config = default_config()
    config.method = "attention"
    config.data.source = "tfds:fashion_mnist"
    config.schedule = ("f:2000", "f_l:1000")
    config.steps = 3000
    return config
