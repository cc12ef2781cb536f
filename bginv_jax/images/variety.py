"""How pictures that stand behind objects are varied, so that a few are as good as many: one key for each.

Pictures are (N, S, S, C) float32 in [0, 1].
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bginv_jax.images.pixels import stretch

_SHARPEST = 3.0  # natural logarithm of how much steeper than a picture's range its hardest edge is


class Variety(NamedTuple):
    """What is random in a picture: the zoom of `enlarge`, the gain of `brighten`, and the shares of what follows.

    two_greys: of `split_greys`.
    reshaded: of `reshade`.
    mixed: of `mix`.
    """

    zoom: float = 0.0
    gain: float = 0.0
    two_greys: float = 0.0
    reshaded: float = 0.0
    mixed: float = 0.0


def vary_pictures(keys: jax.Array, pictures: jax.Array, variety: Variety) -> jax.Array:
    """Pictures varied at random, each by itself until they are mixed: (N, S, S, C)."""

    def fold(number: int) -> jax.Array:
        return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)

    if variety.zoom:
        pictures = enlarge(fold(5), pictures, zoom=variety.zoom)
    if variety.gain:
        pictures = brighten(fold(6), pictures, gain=variety.gain)
    if variety.two_greys:
        pictures = split_greys(fold(7), pictures, share=variety.two_greys)
    if variety.reshaded:
        pictures = reshade(fold(8), pictures, share=variety.reshaded)
    if variety.mixed:
        pictures = mix(fold(9), pictures, share=variety.mixed)
    return pictures


def enlarge(keys: jax.Array, images: jax.Array, *, zoom: float) -> jax.Array:
    """A random square part of each image, linearly interpolated to the whole size: (N, S, S, C).

    Args:
      keys: (N,).
      images: (N, S, S, C).
      zoom: parts are enlarged by a factor between 1 and 1 + zoom, its logarithm uniform.
    """
    size = images.shape[1]

    def one(key, image):
        scale_key, place_key = jax.random.split(key)
        share = jnp.exp(-jax.random.uniform(scale_key) * jnp.log1p(zoom))  # of the side
        corner = jax.random.uniform(place_key, (2,)) * (1 - share) * (size - 1)
        # As two products of matrices, since rows and columns are interpolated alike.
        places = corner[:, None] + share * jnp.arange(size)
        weights = jnp.maximum(1 - jnp.abs(places[..., None] - jnp.arange(size)), 0)
        return jnp.einsum("yi,xj,ijc->yxc", weights[0], weights[1], image)

    return jax.vmap(one)(keys, images)


def brighten(keys: jax.Array, images: jax.Array, *, gain: float) -> jax.Array:
    """Images in a stronger light, clipped at 1: what is bright becomes white, so that no object is known by its white.

    Args:
      keys: (N,).
      images: (N, H, W, C).
      gain: they are multiplied by a factor between 1 and 1 + gain.
    """
    factors = 1 + gain * jax.vmap(jax.random.uniform)(keys)
    return jnp.minimum(1.0, images * factors[:, None, None, None])


def split_greys(keys: jax.Array, images: jax.Array, *, share: float) -> jax.Array:
    """A share of the images in black and white alone, split at a random grey: full contrast and hard edges.

    Args:
      keys: (N,).
      images: (N, H, W, C); of several channels their mean is split.
      share: of the images, at random. Where an image is split is uniform between its darkest and its brightest pixel.
    """

    def one(key, image):
        chosen_key, place_key = jax.random.split(key)
        grey = image.mean(axis=-1, keepdims=True)
        split = grey.min() + jax.random.uniform(place_key) * (grey.max() - grey.min())
        return jnp.where(jax.random.bernoulli(chosen_key, share), (grey > split).astype(image.dtype), image)

    return jax.vmap(one)(keys, images)


def reshade(keys: jax.Array, images: jax.Array, *, share: float) -> jax.Array:
    """A share of the images with greys that span another range, from any grey to any other, and with colours that fade.

    Random colours differ much in hue and little in light; photographs, and patterns in black and white, the other way
    round.

    Args:
      keys: (N,).
      images: (N, H, W, C).
      share: of the images, at random. Both ends of the new range, and what is left of the colours, are uniform in
        [0, 1]; an image of one colour becomes another.
    """

    def one(key, image):
        chosen_key, ends_key, colour_key = jax.random.split(key, 3)
        grey = image.mean(axis=-1, keepdims=True)
        first, last = jax.random.uniform(ends_key, (2,))
        shaded = first + (last - first) * stretch(grey)
        shaded = jnp.clip(shaded + jax.random.uniform(colour_key) * (image - grey), 0.0, 1.0)
        return jnp.where(jax.random.bernoulli(chosen_key, share), shaded, image)

    return jax.vmap(one)(keys, images)


def mix(keys: jax.Array, images: jax.Array, *, share: float) -> jax.Array:
    """A share of the images with the one before them in their place where the one before that is dark.

    So one background ends and another begins behind one object, as in photographs, along an edge that is hard or soft.
    Those before are of the same share of the batch, on a device or in a slice, in a circle.

    Args:
      keys: (N,).
      images: (N, H, W, C).
      share: of the images, at random. The third one is split at a share of its range between 0.2 and 0.8; the edge lies
        within a range of its greys between all and a twentieth of it.
    """
    others, thirds = jnp.roll(images, 1, axis=0), jnp.roll(images, 2, axis=0)

    def one(key, image, other, third):
        chosen_key, split_key, edge_key = jax.random.split(key, 3)
        split = jax.random.uniform(split_key, minval=0.2, maxval=0.8)
        sharpness = jnp.exp(jax.random.uniform(edge_key, maxval=_SHARPEST))
        shown = jnp.clip((stretch(third.mean(axis=-1, keepdims=True)) - split) * sharpness + 0.5, 0.0, 1.0)
        mixed = other + shown * (image - other)
        return jnp.where(jax.random.bernoulli(chosen_key, share), mixed, image)

    return jax.vmap(one)(keys, images, others, thirds)
