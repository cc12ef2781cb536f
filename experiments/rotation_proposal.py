"""How far is a digit turned? The proposal: f_m learns from the loss of the angle where the digit is, f_b distracts f.

The digits are those of experiments/rotation_vanilla.py.

Command: python -m bginv_jax.train --config=experiments/rotation_proposal.py --workdir=runs/rotation_proposal
"""

from bginv_jax.backgrounds import families
from bginv_jax.config import default_config


def get_config():
    config = default_config()
    config.task, config.data.source, config.data.targets = "rotation", "tfds:mnist", "angle"
    config.augment.rotation = 45.0
    config.classifier_average = 0.995
    config.schedule = ("f:15", "f_m:3", "f+f_b:92")
    config.steps = 7500
    config.muon = ("f",)
    config.rate.f = 3e-3
    config.mask.erosion = 1
    config.background.update({"families": families.DEVELOPMENT, "repeats": 3, "pictured_share": 0.5})
    config.background.update({"zoom": 1.0, "gain": 1.0, "two_greys": 0.5})
    return config
