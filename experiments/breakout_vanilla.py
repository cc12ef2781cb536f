"""Q-learning of Breakout from its pictures, by f alone.

Command: python -m bginv_jax.train --config=experiments/breakout_vanilla.py --workdir=runs/breakout_vanilla
"""

from bginv_jax.config import default_config


def get_config():
    config = default_config()
    config.method = "vanilla"
    config.schedule = ("f:1",)
    config.task, config.data.source = "q_learning", "world:breakout"
    config.classifier_average = 0.99
    config.batch_size, config.steps = 32, 12000
    config.augment.update({"rotation": 0.0, "shift": 0.0, "zoom": 0.0})
    config.log_every, config.checkpoint_every = 200, 2000
    return config
