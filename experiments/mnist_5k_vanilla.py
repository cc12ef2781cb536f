"""Vanilla row."""
from bginv_jax.config import default_config
def get_config():
    config = default_config()
    config.method = "vanilla"
    config.schedule = ("f:1",)
    config.steps = 600
    return config
