"""Leaves: trained on studio photographs alone, tested in the field. EfficientNet-Lite0, pretrained on ImageNet.

f_m is told that the border of a studio photograph is backdrop, and nothing else; it looks at 64x64 pixels. What differs
in the field besides the background is trained for, too, from the same photographs: scale, light, focus, several leaves.
:vanilla or :attention after the file's name are the other rows, with the same network, and as many images for f.
:vanilla_outside is vanilla with that light, scale and focus, :proposal_inside the proposal without, and without copies.

Command: python -m bginv_jax.train --config=experiments/leaves.py --config.data.source=folder:DIR --workdir=runs/leaves
"""

from bginv_jax.config import default_config
from bginv_jax.errors import InputError

ROWS = ("proposal", "vanilla", "attention", "vanilla_outside", "proposal_inside")
INSIDE = {"rotation": 180.0, "shift": 0.1, "zoom": 0.25, "flip": True, "brightness": 0.2}
BACKGROUNDS = ("smooth", "fractal", "blobs", "segments", "triangles", "cells")  # of families.DEVELOPMENT
OUTSIDE = {"zoom": 2.0, "shift": 0.2, "brightness": 0.5, "contrast": 0.5, "saturation": 0.5, "tint": 0.2, "blur": 0.5}
STEPS = 3000  # of f after its first 250


def get_config(row: str = "proposal"):
    if row not in ROWS:
        raise InputError(f"the row is {row!r}; allowed: {', '.join(ROWS)}")
    config = default_config()
    config.method, _, variant = row.partition("_")
    config.data.source = "folder:leaves"
    config.data.tests = ("field",)
    config.data.image_size = 160
    config.classifier = "efficientnet_lite0"
    config.classifier_weights = "imagenet"
    config.classifier_average = 0.998
    config.classifier_frozen = 3
    config.classifier_views = (1.0, 0.8, 0.65, 0.5)
    config.batch_size = 32
    config.rate.f = 5e-4
    config.rate.f_m = 2e-3
    config.weight_decay = 0.05
    config.label_smoothing = 0.1
    config.augment.update(INSIDE)
    if variant == "outside" or row == "proposal":
        config.augment.update(OUTSIDE)
    config.log_every, config.checkpoint_every = 50, 100
    alone = f"f:{250 + STEPS}"
    schedules = {"vanilla": (alone,), "attention": (alone, "f_l:400")}
    config.schedule = schedules.get(config.method, ("f:250", "f_m:400", f"f+f_b:{STEPS}"))
    config.steps = sum(int(phase.partition(":")[2]) for phase in config.schedule)
    if config.method == "proposal":
        config.mask.update({"size": 64, "width": 8, "fill": "border", "border_weight": 3.0})
        config.mask.update({"area": 0.9, "variation_weight": 0.05, "halo": 0, "erosion": 1})
        config.background.update({"families": BACKGROUNDS, "training_images": 4000, "zoom": 5.0})
        config.background.update({"pictured_share": 0.5, "plain_share": 0.25, "copies": 0 if variant else 2})
        config.background.recolour = True
    return config
