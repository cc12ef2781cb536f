"""Background invariance by adversarial learning (Cruz et al., ICPR 2020) in JAX.

What a trained workdir gives: `load_predictor`, `load_mask_generator`, `load_pure`.

What a loop of one's own takes (`examples/own_loop.py`): networks (`Network`, `flax_network`, `stateless`; f_m is
`MaskGenerator`, and `background_source` makes an f_b, a `BackgroundSource`), a `Task` (`classification`, `regression`,
`q_learning`, or one's own, with `Shown` and `Trivial`), the poster's objective (`make_proposal` of them, with
`MaskOptions`, `Variation` and `Ascent`, is a `Method`), what it learns from (`Batch`, `Layout`), and composites
(`compose`).

What one scores with: `BACKGROUNDS` and `compose_test`, the poster's, and `families`, random ones.

The public names are imported when they are first asked for, so that a door that needs few of them starts fast.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bginv_jax.backgrounds import BACKGROUNDS, compose_test, families
    from bginv_jax.evaluation.predictors import load_mask_generator, load_predictor, load_pure
    from bginv_jax.images.compose import Variation, compose
    from bginv_jax.methods.ascent import Ascent
    from bginv_jax.methods.contract import Batch, Layout, Method
    from bginv_jax.methods.masking import MaskOptions
    from bginv_jax.methods.proposal import make_proposal
    from bginv_jax.networks.contract import BackgroundSource, Network, flax_network, stateless
    from bginv_jax.networks.generators import MaskGenerator, background_source
    from bginv_jax.tasks.classification import classification
    from bginv_jax.tasks.contract import Shown, Task, Trivial
    from bginv_jax.tasks.q_learning import q_learning
    from bginv_jax.tasks.regression import regression

importlib.import_module("bginv_jax.forks")  # which watches from here on

__all__ = [
    "BACKGROUNDS",
    "Ascent",
    "BackgroundSource",
    "Batch",
    "Layout",
    "MaskGenerator",
    "MaskOptions",
    "Method",
    "Network",
    "Shown",
    "Task",
    "Trivial",
    "Variation",
    "background_source",
    "classification",
    "compose",
    "compose_test",
    "families",
    "flax_network",
    "load_mask_generator",
    "load_predictor",
    "load_pure",
    "make_proposal",
    "q_learning",
    "regression",
    "stateless",
]

_ROOMS = {
    "BACKGROUNDS": "bginv_jax.backgrounds",
    "Ascent": "bginv_jax.methods.ascent",
    "BackgroundSource": "bginv_jax.networks.contract",
    "Batch": "bginv_jax.methods.contract",
    "Layout": "bginv_jax.methods.contract",
    "MaskGenerator": "bginv_jax.networks.generators",
    "MaskOptions": "bginv_jax.methods.masking",
    "Method": "bginv_jax.methods.contract",
    "Network": "bginv_jax.networks.contract",
    "Shown": "bginv_jax.tasks.contract",
    "Task": "bginv_jax.tasks.contract",
    "Trivial": "bginv_jax.tasks.contract",
    "Variation": "bginv_jax.images.compose",
    "background_source": "bginv_jax.networks.generators",
    "classification": "bginv_jax.tasks.classification",
    "compose": "bginv_jax.images.compose",
    "compose_test": "bginv_jax.backgrounds",
    "families": "bginv_jax.backgrounds",
    "flax_network": "bginv_jax.networks.contract",
    "load_mask_generator": "bginv_jax.evaluation.predictors",
    "load_predictor": "bginv_jax.evaluation.predictors",
    "load_pure": "bginv_jax.evaluation.predictors",
    "make_proposal": "bginv_jax.methods.proposal",
    "q_learning": "bginv_jax.tasks.q_learning",
    "regression": "bginv_jax.tasks.regression",
    "stateless": "bginv_jax.networks.contract",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(_ROOMS[name])
    return getattr(module, name) if hasattr(module, name) else importlib.import_module(f"{_ROOMS[name]}.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
