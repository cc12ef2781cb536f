"""What stands behind an object: the poster's test patterns, families of random backgrounds, photographs."""

from bginv_jax.backgrounds.patterns import BACKGROUNDS, compose_test

__all__ = ["BACKGROUNDS", "compose_test"]
