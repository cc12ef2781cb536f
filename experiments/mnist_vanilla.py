"""The vanilla row on full MNIST: f alone, trained on plain images.

Expect 99 % on plain digits and a fall on every other background; two minutes on two CPU cores.

Command: python -m bginv_jax.train --config=experiments/mnist_vanilla.py --workdir=runs/mnist_vanilla
"""

from bginv_jax.config import default_config


def get_config():
    config = default_config()
    config.method = "vanilla"
    config.data.source = "tfds:mnist"
    config.schedule = ("f:1",)
    config.steps = 2000
    return config
