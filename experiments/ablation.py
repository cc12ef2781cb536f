"""What each part of the proposal is worth: one config with a variant of one setting after the colon.

experiments/ablation_table.py trains all of them and draws the table. 950 steps on the 5,000 digits that ship with the
dependencies; a minute and a half a variant on two CPU cores.

Command: python -m bginv_jax.train --config=experiments/ablation.py:halo=0 --workdir=runs/ablation/halo=0
"""

from bginv_jax.config import default_config

# The authors' code offers the first four groups; what the proposal trains is "ours".
VARIANTS = {
    "ours": {},
    "background=black": {"background.kind": "black"},
    "background=noise": {"background.kind": "noise"},
    "background=photographs": {"background.kind": "black", "background.pictured_share": 0.75},
    "mask=nonzero": {"mask.kind": "nonzero", "schedule": ("f:300", "f+f_b:500")},
    "binarize=none": {"mask.binarize": "none"},
    "binarize=otsu": {"mask.binarize": "otsu"},
    "binarize=quantile": {"mask.binarize": "quantile"},
    "tiles=1": {"background.tiles": 1},
    "tiles=4": {"background.tiles": 4},
    "plain_share=0": {"background.plain_share": 0.0},
    "halo=0": {"mask.halo": 0},
    "move=False": {"background.move": False},
    "aligned=False": {"mask.aligned": False},
    "flip=True": {"augment.flip": True},
}


def get_config(variant: str = "ours"):
    if variant not in VARIANTS:
        raise ValueError(f"experiments/ablation.py:{variant} is unknown; the variants are {', '.join(VARIANTS)}")
    config = default_config()
    config.schedule = ("f:300", "f_m:150", "f+f_b:500")
    config.update_from_flattened_dict(VARIANTS[variant])
    config.steps = sum(int(phase.split(":")[1]) for phase in config.schedule)
    return config
