"""Pictures of a world as a random player sees it, and what its moves were worth."""

import jax
import numpy as np
from ml_collections import ConfigDict

from bginv_jax.data.dataset import Dataset, make_dataset
from bginv_jax.errors import InputError
from bginv_jax.jax_settings import own_settings
from bginv_jax.worlds.contract import World
from bginv_jax.worlds.play import play_at_random
from bginv_jax.worlds.registry import KIND, WORLDS

_PLAYED = 32  # worlds side by side
_STEPS = 64
_DISCOUNT = 0.97


@own_settings()
def load(config: ConfigDict, name: str) -> Dataset:
    """2,048 pictures to train and to test, each with the action that was taken and the return that followed.

    What f learns from is played in training; masks and figures are made of these, too.

    Raises:
      InputError: if there is no world of this name.
    """
    if name not in WORLDS:
        raise InputError(f"config.data.source is '{KIND}:{name}'; the worlds are {', '.join(WORLDS)}")
    splits = {split: _frames(WORLDS[name], seed) for seed, split in enumerate(("train", "test"))}
    return make_dataset(config, f"{KIND}:{name}", splits, ())


def _frames(world: World, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Pictures uint8 (N, 32, 32, 1), and their targets: actions (N,), and the discounted rewards from each on (N,)."""
    _, moves = jax.jit(lambda key: play_at_random(key, world, _PLAYED, steps=_STEPS))(jax.random.key(seed))
    frames = jax.jit(jax.vmap(jax.vmap(world.draw)))(moves.before)
    values, after = np.zeros((_STEPS, _PLAYED), np.float32), np.zeros(_PLAYED, np.float32)
    for step in reversed(range(_STEPS)):
        after = np.asarray(moves.rewards[step] + _DISCOUNT * np.where(moves.ended[step], 0, after), np.float32)
        values[step] = after
    images = np.round(255 * np.asarray(frames)).astype(np.uint8)
    targets = {"action": np.asarray(moves.actions, np.int32).reshape(-1), "value": values.reshape(-1)}
    return images.reshape(-1, *images.shape[2:]), targets
