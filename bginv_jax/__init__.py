"""Background invariance by adversarial learning (Cruz et al., ICPR 2020) in JAX.

The public names are imported when they are first asked for, so that a door that needs few of them starts fast.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bginv_jax.backgrounds import families
    from bginv_jax.evaluation.predictors import load_mask_generator, load_predictor, load_pure

importlib.import_module("bginv_jax.forks")  # which watches from here on

__all__ = ["families", "load_mask_generator", "load_predictor", "load_pure"]

_ROOMS = {
    "families": "bginv_jax.backgrounds",
    "load_mask_generator": "bginv_jax.evaluation.predictors",
    "load_predictor": "bginv_jax.evaluation.predictors",
    "load_pure": "bginv_jax.evaluation.predictors",
}

importlib.import_module("bginv_jax.forks")  # which watches from here on


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(_ROOMS[name])
    return getattr(module, name) if hasattr(module, name) else importlib.import_module(f"{_ROOMS[name]}.{name}")
