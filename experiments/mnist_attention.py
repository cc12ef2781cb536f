"""The attention baseline on full MNIST: a crop is no mask.

Expect 97 % on plain digits and less than Vanilla on the other backgrounds; five minutes on two CPU cores.

Command: python -m bginv_jax.train --config=experiments/mnist_attention.py --workdir=runs/mnist_attention
"""

from bginv_jax.config import default_config


def get_config():
    config = default_config()
    config.method = "attention"
    config.data.source = "tfds:mnist"
    config.schedule = ("f:2000", "f_l:1200")
    config.steps = 3200
    return config
