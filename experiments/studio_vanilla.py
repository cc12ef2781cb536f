"""The vanilla network on 4,000 digits before a grey wall; :texture after the file's name sets them before a texture.

Command: python -m bginv_jax.train --config=experiments/studio_vanilla.py:wall --workdir=runs/studio/vanilla
"""

from bginv_jax.config import default_config


def get_config(studio: str = "wall"):
    config = default_config()
    config.method = "vanilla"
    config.data.studio = studio
    config.schedule = ("f:800",)
    config.steps = 800
    return config
