"""The proposal on 4,000 digits before a grey wall, where x > 0 says nothing: f_m has to find the objects.

What f_m hides is filled with the backdrop that the training images have in common. :texture after the file's name sets
the digits before a texture instead of the wall. Expect 96 % or more in every column and masks with an IoU of 74 % or
more; three seeds take a quarter of an hour on one CPU core.

Command: python -m bginv_jax.train --config=experiments/studio_proposal.py:wall --workdir=runs/studio/proposal
"""

from bginv_jax.backgrounds import families
from bginv_jax.config import default_config


def get_config(studio: str = "wall"):
    config = default_config()
    config.data.studio = studio
    config.schedule = ("f:600", "f_m:350", "f+f_b:2000")
    config.steps = 2950
    config.mask.update({"fill": "backdrop", "area": 0.12, "area_weight": 3.0, "erosion": 1})
    config.background.families = families.DEVELOPMENT
    config.background.pictured_share = 0.375
    return config
