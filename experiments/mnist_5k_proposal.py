"""Proposal row."""
from bginv_jax.config import default_config
def get_config():
    config = default_config()
    config.augment.shift = 0.07
    return config
