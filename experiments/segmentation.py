"""Which digit is each pixel of? Two or three digits on a canvas of 64x64 pixels, eleven classes; f is a U-Net.

The rows: vanilla, f alone on plain canvases; proposal, whose f_m learns from the loss of the classes where the digits
are; copy_paste, the ablation that is given them: true masks as m, and f_b. Canvases are of the 5,000 digits that ship;
the same on full MNIST: --config.data.source=tfds:mnist.

Command: python -m bginv_jax.train --config=experiments/segmentation.py:proposal --workdir=runs/segmentation/proposal
"""

from bginv_jax.backgrounds import families
from bginv_jax.config import default_config
from bginv_jax.errors import InputError

ROWS = ("proposal", "vanilla", "copy_paste")


def get_config(row: str = "proposal"):
    if row not in ROWS:
        raise InputError(f"the row is {row!r}; allowed: {', '.join(ROWS)}")
    config = default_config()
    config.task, config.data.targets = "segmentation", "canvas"
    config.classifier = "unet"
    config.batch_size = 32
    config.rate.f = 3e-3
    config.steps = 3600
    config.schedule = {"vanilla": ("f:1",), "copy_paste": ("f:600", "f+f_b:3000")}.get(
        row, ("f:600", "f_m:250", "f+f_b:2750")
    )
    if row == "vanilla":
        config.method, config.steps = "vanilla", 1500
        return config
    config.mask.kind = "nonzero" if row == "copy_paste" else "learned"
    config.mask.update({"area": 0.08, "width": 8, "halo": 4})
    config.classifier_average = 0.99
    config.rate.f_b = 3e-4
    config.muon = ("f",)
    config.background.update({"families": families.DEVELOPMENT, "repeats": 3, "pictured_share": 0.6})
    config.background.update({"gain": 1.0, "two_greys": 0.5})
    return config
