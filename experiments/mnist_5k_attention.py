"""The attention baseline on the 5,000 digits that ship with the dependencies: a crop is no mask.

What `make table1` trains. Expect 95 % on plain digits and less than Vanilla on the other backgrounds; three
minutes on two CPU cores.

Command: python -m bginv_jax.train --config=experiments/mnist_5k_attention.py --workdir=runs/mnist_5k_attention
"""

from bginv_jax.config import default_config


def get_config():
    config = default_config()
    config.method = "attention"
    config.schedule = ("f:800", "f_l:800")
    config.steps = 1600
    return config
