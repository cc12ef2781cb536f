"""The PyTorch side of a comparison: which of its variants is fastest, and why others are not in the running.

Each variant has a clean start and leaves nothing behind: neither compiled programs, of which PyTorch takes only so many
before it silently falls back to eager, nor memory, which on a GPU both sides share.
"""

import contextlib
import dataclasses
import math
from collections.abc import Iterator

from ml_collections import ConfigDict

from bginv_jax.data.dataset import Dataset
from bginv_jax.errors import InputError
from bginv_jax.speed import timing
from bginv_jax.training import devices as hardware

VARIANTS = ("eager", "compile", "reduce-overhead")


@dataclasses.dataclass(frozen=True)
class Trial:
    """How a variant went in a short trial.

    compile_seconds, step_seconds: None where it failed.
    notes: why it failed, or where it was not what it is called.
    """

    variant: str
    compile_seconds: float | None
    step_seconds: float | None
    notes: tuple[str, ...] = ()


@contextlib.contextmanager
def started(config: ConfigDict, dataset: Dataset, active: tuple[str, ...], variant: str) -> Iterator[timing.TakeSteps]:
    """The peer's steps of `active` networks, as long as the context lasts.

    Raises:
      InputError: for what the peer does not do, or a PyTorch that lacks JAX's device.
    """
    import torch

    from bginv_jax.speed import torch_peer, torch_variants

    device = "cpu" if hardware.on_cpu() else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(f"--peer=torch: JAX runs on {hardware.describe()}, and this PyTorch finds no GPU")
    masks = timing.ready_masks(*timing.wire(config, dataset, active))
    with torch_variants.clean_start():
        trainer: torch_peer.Trainer | None = torch_peer.Trainer(
            config,
            dataset.train.images,
            masks,
            dataset.train.targets,
            classes=len(dataset.class_names),
            active=active,
            variant=variant,
            device=device,
        )

        def run(count):
            return trainer.run(count)

        try:
            yield run
        finally:
            trainer = None  # whoever still holds `run` holds no memory


def _reason(error: BaseException) -> str:
    lines = [f"{type(e).__name__}: {str(e).strip().partition(chr(10))[0]}" for e in (error, error.__cause__) if e]
    return "failed: " + "; ".join(lines)


def _try(config: ConfigDict, dataset: Dataset, active: tuple[str, ...], variant: str) -> Trial:
    from bginv_jax.speed import torch_variants

    try:
        with started(config, dataset, active, variant) as run:
            compile_seconds, step_seconds = timing.warm_up(run)
            notes = tuple(torch_variants.shortfalls(variant))
            return Trial(variant, compile_seconds, step_seconds, notes)
    except InputError:
        raise
    except Exception as error:  # whatever torch.compile's compilers raise
        if variant == "eager":
            raise
        return Trial(variant, None, None, (_reason(error),))


def try_variants(config: ConfigDict, dataset: Dataset, active: tuple[str, ...]) -> list[Trial]:
    """Eager and compiled PyTorch one after the other; on a GPU also with CUDA graphs."""
    variants = VARIANTS[:2] if hardware.on_cpu() else VARIANTS
    return [_try(config, dataset, active, variant) for variant in variants]


def fastest(trials: list[Trial]) -> Trial:
    """Of those that did not fail."""
    return min((trial for trial in trials if trial.step_seconds), key=lambda trial: trial.step_seconds or math.inf)
