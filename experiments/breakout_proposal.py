"""The proposal in Breakout: f_b paints what stands behind wall, ball and paddle.

Command: python -m bginv_jax.train --config=experiments/breakout_proposal.py --workdir=runs/breakout_proposal
"""

from bginv_jax.config import default_config


def get_config():
    config = default_config()
    config.task, config.data.source = "q_learning", "world:breakout"
    config.classifier, config.classifier_average = "small", 0.99
    config.batch_size, config.steps = 32, 25000
    config.schedule = ("f:12000", "f_m:1000", "f+f_b:12000")
    config.mask.update({"width": 8, "area": 0.25})
    config.background.width = 32
    config.augment.update({"rotation": 0.0, "shift": 0.0, "zoom": 0.0})
    config.log_every, config.checkpoint_every = 200, 2000
    return config
