"""The proposal in Catch: f_b paints what stands behind ball and paddle, where Q must stay what it is on black.

Command: python -m bginv_jax.train --config=experiments/catch_proposal.py --workdir=runs/catch_proposal
"""

from bginv_jax.config import default_config


def get_config():
    config = default_config()
    config.task, config.data.source = "q_learning", "world:catch"
    config.classifier, config.classifier_average = "small", 0.99
    config.batch_size, config.steps = 32, 6000
    config.schedule = ("f:1500", "f_m:500", "f+f_b:4000")
    config.mask.update({"width": 8, "area": 0.05})
    config.background.width = 32
    config.augment.update({"rotation": 0.0, "shift": 0.0, "zoom": 0.0})
    config.log_every, config.checkpoint_every = 200, 2000
    return config
