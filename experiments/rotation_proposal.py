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
    config.schedule = ("f:1500", "f_m:300", "f+f_b:9200")
    config.steps = 11000
    config.mask.erosion = 1
    config.background.families = families.DEVELOPMENT
    config.background.pictured_share = 0.5
    config.background.gain = 1.0
    return config
