"""How far is a digit turned? The vanilla row: f alone, trained on plain images, of the 5,000 digits that ship.

Digits are turned by up to 45 degrees: in training by augmentation, and their targets with them; to test once for all
methods. The same on full MNIST: --config.data.source=tfds:mnist.

Command: python -m bginv_jax.train --config=experiments/rotation_vanilla.py --workdir=runs/rotation_vanilla
"""

from bginv_jax.config import default_config


def get_config():
    config = default_config()
    config.task, config.data.targets = "rotation", "angle"
    config.augment.rotation = 45.0
    config.method = "vanilla"
    config.schedule = ("f:1",)
    config.steps = 1600
    return config
