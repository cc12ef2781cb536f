"""Random augmentation of training images on the device, one key per image.

Images are (N, H, W, C) float32 in [0, 1]; extra arrays move with them but keep their values.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from bginv_jax.images.light import vary_light

_KNOTS = 5  # along a side, between which an elastic displacement is interpolated


def _inverse_affine(key, size, *, rotation, shift, shear, zoom, flip):
    """A random 2x2 matrix and offset that take an output pixel (row, column), from the centre, to its source."""
    keys = jax.random.split(key, 5)
    angle, slant = jnp.deg2rad(
        jax.random.uniform(keys[0], (2,), minval=-1.0, maxval=1.0) * jnp.array([rotation, shear])
    )
    scale = jnp.exp(jax.random.uniform(keys[1], minval=-1.0, maxval=1.0) * jnp.log1p(zoom))
    mirror = jnp.where(flip & jax.random.bernoulli(keys[2]), -1.0, 1.0)
    rotate = jnp.array([[jnp.cos(angle), -jnp.sin(angle)], [jnp.sin(angle), jnp.cos(angle)]])
    matrix = rotate @ jnp.array([[1.0, 0.0], [jnp.tan(slant), mirror]]) / scale
    return matrix, size * shift * jax.random.uniform(keys[3], (2,), minval=-1.0, maxval=1.0)


def _displacement(key, size, elastic):
    """A smooth random displacement of every pixel, row and column: (2, size * size)."""
    knots = size * elastic * jax.random.normal(key, (2, _KNOTS, _KNOTS))
    return jax.image.resize(knots, (2, size, size), "cubic").reshape(2, -1)


class Moves(NamedTuple):
    """How images were moved: output pixels, row and column from the centre, come from matrix @ pixel + offset, bent.

    matrix: (N, 2, 2), offset: (N, 2), pixels.
    sources: (N, 2, S * S), the row and column that each output pixel comes from, elastic displacement included.
    """

    matrix: jax.Array
    offset: jax.Array
    sources: jax.Array


class Augmented(NamedTuple):
    """Images and masks after `augment`, and how they were moved, None where nothing moves."""

    images: jax.Array
    masks: jax.Array | None
    moves: Moves | None


def resample(layers: jax.Array, moves: Moves, *, order: int = 1) -> jax.Array:
    """Moves layers (N, S, S, K), linearly interpolated, or of the nearest pixel with order 0; the edge goes on."""

    def take(layers, sources):
        coordinates = list(sources)
        move = jax.vmap(
            lambda plane: map_coordinates(plane, coordinates, order=order, mode="nearest"), in_axes=2, out_axes=1
        )
        return move(layers).reshape(layers.shape)

    return jax.vmap(take)(layers, moves.sources)


def in_sight(moves: Moves, size: int) -> jax.Array:
    """Whether each pixel comes from within the image of `size` pixels: bool (N, size, size, 1)."""
    within = (moves.sources >= -0.5) & (moves.sources <= size - 0.5)
    return within.all(axis=1).reshape(-1, size, size, 1)


def _pixels(size: int) -> jax.Array:
    """The row and column of every pixel from the centre: (2, size * size)."""
    return jnp.stack(jnp.meshgrid(jnp.arange(size), jnp.arange(size), indexing="ij")).reshape(2, -1) - (size - 1) / 2


def turns(degrees: jax.Array, size: int) -> Moves:
    """The moves that turn images of `size` pixels about their centre, counter-clockwise, by degrees (N,)."""
    radians = jnp.deg2rad(degrees)
    cos, sin = jnp.cos(radians), jnp.sin(radians)
    matrix = jnp.stack([jnp.stack([cos, sin], axis=-1), jnp.stack([-sin, cos], axis=-1)], axis=-2)
    return Moves(matrix, jnp.zeros((len(degrees), 2)), matrix @ _pixels(size) + (size - 1) / 2)


def draw_moves(
    keys: jax.Array,
    size: int,
    *,
    rotation: float = 0.0,
    shift: float = 0.0,
    shear: float = 0.0,
    zoom: float = 0.0,
    elastic: float = 0.0,
    flip: bool = False,
) -> Moves | None:
    """Random moves of images of `size` pixels, one key for each; None if no option moves them. Options as `augment`."""
    if not (rotation or shift or shear or zoom or elastic or flip):
        return None
    centre, pixels = (size - 1) / 2, _pixels(size)

    def draw(key):
        matrix, offset = _inverse_affine(key, size, rotation=rotation, shift=shift, shear=shear, zoom=zoom, flip=flip)
        sources = matrix @ pixels + offset[:, None] + centre
        if elastic:
            sources += _displacement(jax.random.fold_in(key, 6), size, elastic)
        return Moves(matrix, offset, sources)

    return jax.vmap(draw)(keys)


def augment(
    keys: jax.Array,
    images: jax.Array,
    masks: jax.Array | None = None,
    *,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    tint: float = 0.0,
    blur: float = 0.0,
    gamma: float = 0.0,
    **moving: Any,
) -> Augmented:
    """The same random affine map, bent, for each image and its mask, then a random light for the image alone.

    What comes from beyond the edge is as the edge, and no part of the object.

    Args:
      keys: one key per image, (N,).
      images: (N, S, S, C).
      masks: (N, S, S, 1) or None; they move as the images do, and are 0 beyond the edge.
      brightness, contrast, saturation, tint, blur, gamma: as `light.vary_light`.
      rotation: largest angle, degrees.
      shift: largest shift along each axis, as a share of the side.
      shear: largest shear angle, degrees.
      zoom: the side is scaled by a factor between 1 / (1 + zoom) and 1 + zoom.
      elastic: standard deviation of a smooth displacement at its 5x5 knots, along each axis, as a share of the side
        (after Simard et al. 2003, who smooth the displacements of pixels instead).
      flip: mirror every second image left to right.
    """
    moves = draw_moves(keys, images.shape[1], **moving)
    if moves is not None:
        layers = resample(images if masks is None else jnp.concatenate([images, masks], axis=-1), moves)
        channels = images.shape[-1]
        images, masks = layers[..., :channels], None if masks is None else layers[..., channels:]
        if masks is not None:
            masks *= in_sight(moves, images.shape[1])
    varied = vary_light(
        keys,
        images,
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
        tint=tint,
        blur=blur,
        gamma=gamma,
    )
    return Augmented(varied, masks, moves)


def random_crops(keys: jax.Array, pictures: jax.Array, *, size: int) -> jax.Array:
    """A random square of `size` pixels from a random picture for each key: (P, T, T, C) -> (N, size, size, C)."""
    count, side, _, channels = pictures.shape

    def one(key):
        high = jnp.array([count, side - size + 1, side - size + 1, 1])
        start = jax.random.randint(key, (4,), 0, high)
        return jax.lax.dynamic_slice(pictures, start, (1, size, size, channels))[0]

    return jax.vmap(one)(keys)


def rearrange(keys: jax.Array, images: jax.Array) -> jax.Array:
    """Rolls each image by a random number of pixels along both axes, mirrors it along each, and transposes it.

    Backgrounds so moved keep their pixels and lose their place: no seam between tiles, no edge and no direction is
    where f could learn to expect it.

    Args:
      keys: one key per image, (N,).
      images: (N, S, S, C).
    """

    roll_keys, turn_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
    shifts = jax.vmap(lambda key: jax.random.randint(key, (2,), 0, images.shape[1]))(roll_keys)
    return _moved(images, shifts, jax.vmap(lambda key: jax.random.bernoulli(key, shape=(3,)))(turn_keys))


@jax.custom_vjp
def _moved(images, shifts, turns):
    """Pixels only change places, so the gradient is the same moves backwards: one gather, as the moves are."""

    def sources(shift, turn):  # for each pixel, the number of the pixel that comes to it
        place = jnp.arange(images.shape[1])
        rows = (jnp.where(turn[0], place[::-1], place) - shift[0]) % len(place)
        columns = (jnp.where(turn[1], place[::-1], place) - shift[1]) % len(place)
        numbers = rows[:, None] * len(place) + columns
        return jnp.where(turn[2], numbers.T, numbers)

    return _taken(images, jax.vmap(sources)(shifts, turns))


def _moved_back(moves, gradient):
    def goals(shift, turn):  # for each pixel, the number of the pixel that it went to
        place = jnp.arange(gradient.shape[1])
        rows, columns = (place + shift[0]) % len(place), (place + shift[1]) % len(place)
        rows = jnp.where(turn[0], len(place) - 1 - rows, rows)[:, None]
        columns = jnp.where(turn[1], len(place) - 1 - columns, columns)
        return jnp.where(turn[2], columns * len(place) + rows, rows * len(place) + columns)

    return _taken(gradient, jax.vmap(goals)(*moves)), None, None


def _taken(images: jax.Array, numbers: jax.Array) -> jax.Array:
    n, height, width, channels = images.shape
    flat = images.reshape(n, height * width, channels)
    taken = jnp.take_along_axis(flat, numbers.reshape(n, -1, 1), axis=1, mode="promise_in_bounds")
    return taken.reshape(images.shape)


_moved.defvjp(lambda images, *moves: (_moved(images, *moves), moves), _moved_back)
