"""How far is a digit turned? The vanilla row: f alone, trained on plain images, of full MNIST.

Digits are turned by up to 45 degrees: in training by augmentation, and their targets with them; to test once for all
methods. The same on the 5,000 digits that ship: --config.data.source=mnist_5k.

Command: python -m bginv_jax.train --config=experiments/rotation_vanilla.py --workdir=runs/rotation_vanilla
"""

from bginv_jax.config import default_config


def get_config():
    config = default_config()
    config.task, config.data.source, config.data.targets = "rotation", "tfds:mnist", "angle"
    config.augment.rotation = 45.0
    config.method = "vanilla"
    config.schedule = ("f:1",)
    config.classifier_average = 0.995
    config.steps = 4000
    return config
