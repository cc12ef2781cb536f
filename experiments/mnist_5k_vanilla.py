"""The vanilla row on the 5,000 digits that ship with the dependencies: f alone, trained on plain images.

What `make table1` trains. Expect 98 % on plain digits and 20 to 80 % on the other backgrounds; under a minute on two
CPU cores.

Command: python -m bginv_jax.train --config=experiments/mnist_5k_vanilla.py --workdir=runs/mnist_5k_vanilla
"""

from bginv_jax.config import default_config


def get_config():
    config = default_config()
    config.method = "vanilla"
    config.schedule = ("f:1",)
    config.steps = 800
    return config
