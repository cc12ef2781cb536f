"""How far is a digit turned? The proposal: f_m learns from the loss of the angle where the digit is, f_b distracts f.

The digits are those of experiments/rotation_vanilla.py.

Command: python -m bginv_jax.train --config=experiments/rotation_proposal.py --workdir=runs/rotation_proposal
"""

from bginv_jax.config import default_config


def get_config():
    config = default_config()
    config.task, config.data.targets = "rotation", "angle"
    config.augment.rotation = 45.0
    config.schedule = ("f:600", "f_m:200", "f+f_b:2200")
    config.steps = 3000
    return config
