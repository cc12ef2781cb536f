"""The proposal on Fashion-MNIST, with masks twice as large as a digit's: clothes fill 0.38 of the padded image.

Command: python -m bginv_jax.train --config=experiments/fashion_proposal.py --workdir=runs/fashion/proposal
"""

from bginv_jax.config import default_config


def get_config():
    config = default_config()
    config.data.source = "tfds:fashion_mnist"
    config.mask.area = 0.4
    config.schedule = ("f:800", "f_m:250", "f+f_b:2400")
    config.steps = 3450
    config.checkpoint_every = 1000
    return config
