"""The proposal whose inner maximum is searched: from what f_b paints, each background is made worse for its own image.

As experiments/mnist_best.py, and steps of projected gradient on the background's pixels, within budgets up to the
whole range. python -m bginv_jax.attack says how bad a background can still be.

Command: python -m bginv_jax.train --config=experiments/mnist_worst.py --workdir=runs/mnist_worst
"""

from bginv_jax.backgrounds import families
from bginv_jax.config import default_config


def get_config():
    config = default_config()
    config.data.source = "tfds:mnist"
    config.classifier = "vgg"
    config.schedule = ("f:1000", "f_m:300", "f+f_b:10700")
    config.steps = 12000
    config.rate.f = 2e-3
    config.weight_decay = 0.03
    config.label_smoothing = 0.1
    config.augment.update({"rotation": 15.0, "shear": 15.0, "zoom": 0.4, "elastic": 0.025})
    config.mask.erosion = 1
    config.background.families = families.DEVELOPMENT
    config.background.update({"ascent_steps": 5, "plain_share": 0.1875, "pictured_share": 0.25})
    config.log_every, config.checkpoint_every = 100, 500
    return config
