"""Background invariance by adversarial learning (Cruz et al., ICPR 2020) in JAX."""

from bginv_jax.evaluation.predictors import load_mask_generator, load_predictor

__all__ = ["load_mask_generator", "load_predictor"]
