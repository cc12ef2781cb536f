"""The proposal in Breakout: f_b paints what stands behind wall, ball and paddle.

Command: python -m bginv_jax.train --config=experiments/breakout_proposal.py --workdir=runs/breakout_proposal
"""

from bginv_jax.backgrounds import families
from bginv_jax.config import default_config


def get_config():
    config = default_config()
    config.task, config.data.source = "q_learning", "world:breakout"
    config.classifier_average = 0.99
    config.play.discount = 0.93
    config.batch_size, config.steps = 32, 30000
    config.schedule = ("f:4000", "f_m:500", "f+f_b:25500")
    config.muon = ("f",)
    config.rate.update({"f": 3e-3, "f_b": 1e-3})
    config.mask.update({"width": 8, "area": 0.25, "halo": 4, "least_halo": 1})
    config.background.update({"width": 32, "families": families.DEVELOPMENT, "repeats": 3, "pictured_share": 0.35})
    config.background.update({"plain_share": 0.2, "zoom": 1.0, "gain": 1.0, "two_greys": 0.5})
    config.augment.update({"rotation": 0.0, "shift": 0.0, "zoom": 0.0, "brightness": 0.3})
    config.log_every, config.checkpoint_every = 200, 2000
    return config
