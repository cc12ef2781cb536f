"""Hands that sign a digit: trained before a studio's wall alone, tested before photographs of the world outside.

EfficientNet-Lite0, pretrained on ImageNet, 96x96 pixels. f_m is told that the border of a studio photograph is
backdrop, and nothing else, though wrists touch it. f_b and families of random backgrounds stand behind the hands; no
photograph does. :vanilla or :attention after the file's name are the other rows: the same network, turns and light.
experiments/photographs_table.py scores them; it cuts the test's hands out by their colour.

Command: python -m bginv_jax.train --config=experiments/hands.py --config.data.source=folder:DIR --workdir=runs/hands
"""

from bginv_jax.backgrounds import families
from bginv_jax.config import default_config
from bginv_jax.errors import InputError

SCHEDULES = {
    "proposal": ("f:150", "f_m:500", "f+f_b:4000"),
    "vanilla": ("f:800",),
    "attention": ("f:800", "f_l:300"),
}


def get_config(row: str = "proposal"):
    if row not in SCHEDULES:
        raise InputError(f"the row is {row!r}; allowed: {', '.join(SCHEDULES)}")
    config = default_config()
    config.method = row
    config.data.source = "folder:sign_digits"
    config.data.image_size = 96
    config.classifier = "efficientnet_lite0"
    config.classifier_weights = "imagenet"
    config.classifier_average = 0.99
    config.batch_size = 32
    config.schedule = SCHEDULES[row]
    config.steps = sum(int(phase.partition(":")[2]) for phase in config.schedule)
    config.rate.f = 5e-4
    config.rate.f_m = 2e-3
    config.weight_decay = 0.05
    config.label_smoothing = 0.1
    config.augment.update({"rotation": 20.0, "shift": 0.1, "zoom": 0.25, "flip": True, "brightness": 0.3})
    config.augment.update({"contrast": 0.2, "saturation": 0.2, "tint": 0.1})
    config.log_every, config.checkpoint_every = 50, 100
    if row == "proposal":
        config.mask.update({"size": 64, "width": 8, "fill": "border", "border_weight": 2.0})
        config.mask.update({"area": 0.4, "halo": 0, "erosion": 1})
        config.background.update({"families": families.DEVELOPMENT, "repeats": 3, "zoom": 2.0})
        config.background.update({"pictured_share": 0.625, "plain_share": 0.125, "recolour": True})
    return config
