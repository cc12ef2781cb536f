"""The proposal on full MNIST, hardened: half of its composites stand before families of random strokes and textures.

The families are none of the test patterns, and none of those that bginv_jax.unseen reports. Masks are learned; at
random they are also cut a pixel too close. f convolves twice in every block but the first; smoothed labels, decayed
weights and bent digits keep it from learning by heart; f predicts by the mean over an image and its enlarged middle.
Expect 99.6 % as they are and 99.4 % or more on each background after 34 minutes on one CPU core.

Command: python -m bginv_jax.train --config=experiments/mnist_best.py --workdir=runs/mnist_best
"""

from bginv_jax.backgrounds import families
from bginv_jax.config import default_config


def get_config():
    config = default_config()
    config.data.source = "tfds:mnist"
    config.classifier, config.classifier_views = "vgg", (1.0, 0.85)
    config.schedule = ("f:1000", "f_m:300", "f+f_b:18700")
    config.steps = 20000
    config.rate.f = 2e-3
    config.weight_decay = 0.03
    config.label_smoothing = 0.1
    config.augment.update({"rotation": 15.0, "shear": 15.0, "zoom": 0.4, "elastic": 0.025})
    config.mask.erosion = 1
    config.background.families = families.DEVELOPMENT
    config.background.pictured_share = 0.375
    config.log_every, config.checkpoint_every = 100, 500
    return config
