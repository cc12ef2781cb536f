"""Objects before backgrounds: the poster's m x + b (1 - m), and what training varies of it at random.

Images and backgrounds are (N, S, S, C) float32 in [0, 1], masks (N, S, S, 1), keys (N,). An image's draws follow from
its key alone.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from bginv_jax.images import masks
from bginv_jax.images.augment import draw_moves, in_sight, rearrange, resample
from bginv_jax.images.pixels import SameArray


def compose(x: SameArray, m: SameArray, b: SameArray) -> SameArray:
    """m * x + b * (1 - m), the poster's equation: the object of x on the background b."""
    return m * x + b * (1 - m)


def compose_ink(x: jax.Array, m: jax.Array, b: jax.Array, texture: jax.Array, *, contrast: float) -> jax.Array:
    """The object of x, bright on black, drawn on b with a texture as its ink: a * t + b * (1 - a).

    a is the mask times the grey value of x, so b shows wherever x is black. t is the texture, its values squeezed in
    order into what lies at least `contrast` from b, [0, b - contrast] and [b + contrast, 1]: ink of any colour and
    pattern, lighter than what is dark in b and darker than what is light, which vanishes nowhere. Black on white is
    one of them. In |b - x| (MNIST-M, Ganin et al. 2016) the ink is always 1 - b.

    Args:
      x: images (N, H, W, C) in [0, 1].
      m: masks (N, H, W, 1).
      b: backgrounds (N, H, W, C).
      texture: what the ink looks like, (N, H, W, C) in [0, 1].
      contrast: the least |t - b| of every pixel and channel, 0 to 0.5.
    """
    below, above = nn.relu(b - contrast), nn.relu(1 - b - contrast)
    squeezed = texture * (below + above)
    ink = jnp.where((squeezed < below) | (above == 0), squeezed, squeezed - below + b + contrast)
    return compose(ink, m * x.mean(axis=-1, keepdims=True), b)


def vary_masks(keys: jax.Array, m: jax.Array, *, halo: int, erosion: int) -> tuple[jax.Array, jax.Array]:
    """Each mask dilated by 0 to `halo` pixels, or eroded by 1 to `erosion` of them, all equally likely.

    Returns the masks and by how much each was dilated (N,), below 0 where it was eroded.
    """
    radius = jax.vmap(lambda key: jax.random.randint(key, (), -erosion, halo + 1))(keys)
    return masks.grow(m, radius, least=-erosion, most=halo), radius


def darken(keys: jax.Array, b: jax.Array, chosen: jax.Array) -> jax.Array:
    """Backgrounds (N, S, S, C), the `chosen` ones (N,) of them each times a random number between 0 and 1."""
    factors = jnp.where(chosen, jax.vmap(jax.random.uniform)(keys), 1.0)
    return factors[:, None, None, None] * b


def compose_negative(x: jax.Array, m: jax.Array, b: jax.Array) -> jax.Array:
    """The object of x drawn on b in the negative of b, as |b - x| (MNIST-M, Ganin et al. 2016) has white objects."""
    return compose(1 - b, m * x.mean(axis=-1, keepdims=True), b)


def ink(
    keys: jax.Array,
    x: jax.Array,
    m: jax.Array,
    b: jax.Array,
    *,
    share: float = 0.0,
    contrast: float = 0.0,
    negative_share: float = 0.0,
) -> jax.Array:
    """compose(x, m, b), but a `share` of the objects in the ink of another background, some in the negative of theirs.

    As `compose_ink` and, for a `negative_share`, as `compose_negative`.
    """
    drawn = jax.vmap(jax.random.uniform)(keys)[:, None, None, None]
    composites = compose(x, m, b)
    if share:
        inked = compose_ink(x, m, b, jnp.roll(b, 1, axis=0), contrast=contrast)
        composites = jnp.where(drawn < share, inked, composites)
    if negative_share:
        composites = jnp.where(drawn >= 1 - negative_share, compose_negative(x, m, b), composites)
    return composites


def add_copies(keys: jax.Array, x: jax.Array, m: jax.Array, b: jax.Array, *, most: int) -> jax.Array:
    """Backgrounds with 0 to `most` copies of the object, turned, scaled and shifted, all counts equally likely.

    Outside, an object seldom stands alone.
    """
    layers = jnp.concatenate([x, m], axis=-1)
    counts = jax.vmap(lambda key: jax.random.randint(key, (), 0, most + 1))(keys)
    for i in range(most):
        copy_keys = jax.vmap(lambda key, i=i: jax.random.fold_in(key, i + 1))(keys)
        moves = draw_moves(copy_keys, x.shape[1], rotation=180.0, shift=0.5, zoom=0.8, flip=True)
        assert moves, "these options move"
        moved = resample(layers, moves)
        shown = in_sight(moves, x.shape[1]) & (i < counts)[:, None, None, None]
        b = compose(moved[..., :-1], moved[..., -1:] * shown, b)
    return b


class Variation(NamedTuple):
    """What is random in a composite.

    halo, erosion: of its mask, in pixels, as `vary_masks`.
    least_halo: what stands behind is as `darken` where a mask is dilated by less, or eroded.
    move: the background is rolled, mirrored and transposed, as `augment.rearrange`.
    ink_share, ink_contrast, negative_share: as `ink`.
    copies: how many more of the object may stand in the background, as `add_copies`.
    """

    halo: int = 0
    erosion: int = 0
    least_halo: int = 0
    move: bool = False
    ink_share: float = 0.0
    ink_contrast: float = 0.25
    negative_share: float = 0.0
    copies: int = 0


def vary_and_compose(
    keys: jax.Array, x: jax.Array, m: jax.Array, b: jax.Array, variation: Variation
) -> tuple[jax.Array, jax.Array]:
    """Objects on backgrounds: compose(x, m, b) with masks and backgrounds varied at random; and these masks."""
    mask_keys, _, move_keys = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(keys)
    m, radius = vary_masks(mask_keys, m, halo=variation.halo, erosion=variation.erosion)
    b = rearrange(move_keys, b) if variation.move else b
    if variation.copies:
        b = add_copies(jax.vmap(lambda key: jax.random.fold_in(key, 4))(keys), x, m, b, most=variation.copies)
    if variation.least_halo:
        b = darken(jax.vmap(lambda key: jax.random.fold_in(key, 8))(keys), b, radius < variation.least_halo)
    if not variation.ink_share and not variation.negative_share:
        return compose(x, m, b), m
    ink_keys = jax.vmap(lambda key: jax.random.fold_in(key, 3))(keys)
    inks = {
        "share": variation.ink_share,
        "contrast": variation.ink_contrast,
        "negative_share": variation.negative_share,
    }
    return ink(ink_keys, x, m, b, **inks), m


def painter_keys(keys: jax.Array) -> jax.Array:
    """The keys of f_b's noise, which `vary_and_compose` leaves alone."""
    return jax.vmap(lambda key: jax.random.split(key, 3)[1])(keys)
