"""The attention baseline on Fashion-MNIST.

Command: python -m bginv_jax.train --config=experiments/fashion_attention.py --workdir=runs/fashion/attention
"""

from bginv_jax.config import default_config


def get_config():
    config = default_config()
    config.method = "attention"
    config.data.source = "tfds:fashion_mnist"
    config.schedule = ("f:3000", "f_l:1500")
    config.steps = 4500
    return config
