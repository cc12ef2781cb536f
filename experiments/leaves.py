"""Leaves: trained on studio photographs alone, tested in the field. EfficientNet-Lite0, pretrained on ImageNet.

:vanilla or :attention after the file's name are the other rows, with the same network and as many images. f_m is told
that the border of a studio photograph is backdrop, and nothing else; it looks at 64x64 pixels. What differs in the
field besides the background is trained for, too, from studio photographs: scale, light, focus, several leaves.

Command: python -m bginv_jax.train --config=experiments/leaves.py --config.data.source=folder:DIR --workdir=runs/leaves
"""

from bginv_jax.backgrounds import families
from bginv_jax.config import default_config

ROWS = ("proposal", "vanilla", "attention")


def get_config(row: str = "proposal"):
    config = default_config()
    config.method = row
    config.data.source = "folder:leaves"
    config.data.tests = ("field",)
    config.data.image_size = 112
    config.classifier = "efficientnet_lite0"
    config.classifier_weights = "imagenet"
    config.classifier_averages = "fixed"
    config.batch_size = 32
    config.rate.f = 5e-4
    config.weight_decay = 0.05
    config.label_smoothing = 0.1
    config.augment.update({"rotation": 180.0, "shift": 0.1, "zoom": 0.25, "flip": True, "brightness": 0.2})
    config.log_every, config.checkpoint_every = 20, 100
    if row == "vanilla":
        config.schedule, config.steps = ("f:1600",), 1600
    elif row == "attention":
        config.schedule, config.steps = ("f:1600", "f_l:400"), 2000
    else:
        config.schedule, config.steps = ("f:300", "f_m:250", "f+f_b:1300"), 1850
        config.mask.update({"size": 64, "width": 8, "fill": "border", "area": 0.5, "border_weight": 2.0, "halo": 0})
        config.mask.update({"erosion": 1, "variation_weight": 0.1})
        config.augment.update({"zoom": 1.2, "contrast": 0.3, "saturation": 0.3, "tint": 0.1, "blur": 0.3})
        config.augment.update({"brightness": 0.4, "shift": 0.2})
        config.background.update({"families": families.DEVELOPMENT, "training_images": 1000, "zoom": 5.0, "copies": 2})
        config.background.update({"pictured_share": 0.5, "plain_share": 0.25})
    return config
