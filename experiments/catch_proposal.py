"""The proposal in Catch: f_b paints what stands behind ball and paddle, where Q must stay what it is on black.

f_m trains until its masks end where ball and paddle do: f then learns what touches these. A world has no light that
changes, so neither have its pictures: that ball and paddle are the brightest tells them from what is a little darker.

Command: python -m bginv_jax.train --config=experiments/catch_proposal.py --workdir=runs/catch_proposal
"""

from bginv_jax.backgrounds import families
from bginv_jax.config import default_config


def get_config():
    config = default_config()
    config.task, config.data.source = "q_learning", "world:catch"
    config.classifier_average = 0.99
    config.batch_size, config.steps = 32, 36000
    config.schedule = ("f:500", "f_m:1000", "f+f_b:34500")
    config.muon = ("f",)
    config.rate.update({"f": 3e-3, "f_b": 2e-4})
    config.mask.update({"width": 8, "area": 0.02, "area_weight": 4.0, "halo": 4, "least_halo": 1})
    config.background.update({"width": 32, "families": families.DEVELOPMENT, "repeats": 6, "pictured_share": 0.7})
    config.background.update({"zoom": 1.0, "gain": 1.0, "two_greys": 0.5})
    config.augment.update({"rotation": 0.0, "shift": 0.0, "zoom": 0.0, "brightness": 0.0})
    config.log_every, config.checkpoint_every = 200, 2000
    return config
