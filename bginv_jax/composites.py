"""Objects before backgrounds, as training sees them: the poster's m x + b (1 - m), and what varies it at random.

Images and backgrounds are (N, S, S, C) float32 in [0, 1], masks (N, S, S, 1), keys (N,). An image's draws follow from
its key alone.
"""

import jax
import jax.numpy as jnp

from bginv_jax import images
from bginv_jax.augment import rearrange


def vary_masks(keys: jax.Array, m: jax.Array, *, halo: int, erosion: int) -> jax.Array:
    """Each mask dilated by 0 to `halo` pixels, or eroded by 1 to `erosion` of them, all equally likely."""
    radius = jax.vmap(lambda key: jax.random.randint(key, (), -erosion, halo + 1))(keys)
    return images.erode(images.dilate(m, radius, largest=halo), -radius, largest=erosion)


def ink(keys: jax.Array, x: jax.Array, m: jax.Array, b: jax.Array, *, share: float, contrast: float) -> jax.Array:
    """compose(x, m, b), but a `share` of the objects in the ink of another background, as `images.compose_ink`."""
    inked = images.compose_ink(x, m, b, jnp.roll(b, 1, axis=0), contrast=contrast)
    chosen = jax.vmap(lambda key: jax.random.bernoulli(key, share))(keys)
    return jnp.where(chosen[:, None, None, None], inked, images.compose(x, m, b))


def make(keys: jax.Array, x: jax.Array, m: jax.Array, b: jax.Array, *, mask, background) -> jax.Array:
    """Objects on backgrounds; `mask` and `background` are the config's groups of these names."""
    mask_keys, _, move_keys = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(keys)
    m = vary_masks(mask_keys, m, halo=mask.halo, erosion=mask.erosion)
    b = rearrange(move_keys, b) if background.move else b
    if not background.ink_share:
        return images.compose(x, m, b)
    ink_keys = jax.vmap(lambda key: jax.random.fold_in(key, 3))(keys)
    return ink(ink_keys, x, m, b, share=background.ink_share, contrast=background.ink_contrast)


def painter_keys(keys: jax.Array) -> jax.Array:
    """The keys of f_b's noise, which `make` leaves alone."""
    return jax.vmap(lambda key: jax.random.split(key, 3)[1])(keys)
