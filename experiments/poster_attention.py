"""The attention row with the authors' settings: 100 epochs of f, then 100 of f_l, in batches of 8.

The poster has 93.4 28.1 26.8 57.3 40.1 29.3 25.1. All of it takes some seven hours on two CPU cores;
--config.steps=75000 are 5 epochs a phase.

Command: python -m bginv_jax.train --config=experiments/poster_attention.py --workdir=runs/poster/attention
"""

from bginv_jax.config import poster_config


def get_config():
    config = poster_config()
    config.method = "attention"
    config.schedule = ("f:1", "f_l:1")
    config.steps = 2 * 100 * 7500
    return config
