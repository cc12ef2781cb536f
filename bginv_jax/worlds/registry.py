"""The worlds by name: each is a file of this folder and one entry here."""

from bginv_jax.worlds.breakout import BREAKOUT
from bginv_jax.worlds.catch import CATCH
from bginv_jax.worlds.contract import World

WORLDS: dict[str, World] = {"catch": CATCH, "breakout": BREAKOUT}
KIND = "world"  # how a data source and its data set begin: world:NAME
