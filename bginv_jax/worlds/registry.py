"""The worlds by name: each is a file of this folder and one entry here."""

from bginv_jax.worlds.breakout import BREAKOUT
from bginv_jax.worlds.catch import CATCH
from bginv_jax.worlds.contract import World

WORLDS: dict[str, World] = {"catch": CATCH, "breakout": BREAKOUT}
KIND = "world"


def find_world(dataset: str) -> World | None:
    """The world of which a data set of the name world:NAME is; None of any other."""
    kind, _, name = dataset.partition(":")
    return WORLDS[name] if kind == KIND and name in WORLDS else None
