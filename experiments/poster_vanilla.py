"""The vanilla row as the authors trained it: 100 epochs of f in batches of 8.

The poster has 97.3 38.0 24.3 61.4 32.9 19.7 11.2. 100 epochs take an hour and a half on two CPU cores;
--config.steps=37500 are 5.

Command: python -m bginv_jax.train --config=experiments/poster_vanilla.py --workdir=runs/poster/vanilla
"""

from bginv_jax.config import poster_config


def get_config():
    config = poster_config()
    config.method = "vanilla"
    config.schedule = ("f:1",)
    config.steps = 100 * 7500
    return config
