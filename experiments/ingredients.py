"""What each ingredient of the hardened recipe is worth on families that it was not trained on.

The config of one variant and fold after the colon: the fold's families are left out of training, and the 1,500 digits
of the test split are of MNIST's training set, so nothing here looks at test digits or test backgrounds. 600 steps.
"ours" is the recipe of experiments/mnist_best.py with the authors' f, masks of what is above 0, the default rate and
moves, and neither smoothed labels nor decayed weights.
experiments/ingredients_table.py trains all variants and draws the table.

Command: python -m bginv_jax.train --config=experiments/ingredients.py:halo=5,0 --workdir=runs/ingredients/halo=5,0
"""

from bginv_jax.backgrounds import families
from bginv_jax.config import default_config

VARIANTS = {
    "ours": {},
    "rate.f_b=3e-3": {"rate.f_b": 3e-3},
    "no families": {"background.families": (), "background.pictured_share": 0.0},
    "no f_b": {"background.kind": "black", "background.pictured_share": 0.75},
    "erosion=0": {"mask.erosion": 0},
    "halo=1": {"mask.halo": 1},
    "halo=5": {"mask.halo": 5},
    "plain_share=0": {"background.plain_share": 0.0, "background.pictured_share": 0.5},
    "plain_share=0.5": {"background.plain_share": 0.5, "background.pictured_share": 0.25},
}


def get_config(name: str = "ours,0"):
    variant, _, fold = name.rpartition(",")
    if variant not in VARIANTS or fold not in map(str, range(len(families.FOLDS))):
        known = ", ".join(VARIANTS)
        raise ValueError(f"experiments/ingredients.py:{name} is unknown; VARIANT,FOLD with FOLD 0 to 2 and {known}")
    config = default_config()
    config.data.source = "tfds:mnist"
    config.data.train_split, config.data.test_split = "train[:57000]", "train[57000:58500]"
    config.schedule = ("f:150", "f+f_b:450")
    config.steps = config.checkpoint_every = 600
    config.seed = int(fold)
    config.mask.update({"kind": "nonzero", "erosion": 1})
    config.background.families = tuple(
        family for i, names in enumerate(families.FOLDS) if i != config.seed for family in names
    )
    config.background.pictured_share = 0.375
    config.update_from_flattened_dict(VARIANTS[variant])
    return config
