"""The proposal with the authors' settings and defects: 100 epochs each of f, f_m, and f with f_b, in batches of 8.

The poster has 94.9 92.3 76.8 93.1 93.7 70.8 86.2. All of it takes some eight hours on two CPU cores;
--config.steps=112500 are 5 epochs a phase.

Command: python -m bginv_jax.train --config=experiments/poster_proposal.py --workdir=runs/poster/proposal
"""

from bginv_jax.config import poster_config


def get_config():
    config = poster_config()
    config.schedule = ("f:1", "f_m:1", "f+f_b:1")
    config.steps = 3 * 100 * 7500
    return config
