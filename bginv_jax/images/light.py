"""Random light and colours: what changes of a picture without moving a pixel. One key for each image.

Images are (N, H, W, C) float32 in [0, 1].
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

_SPREAD = 4.0  # of the mixtures: most of a channel comes from one, and all of a colour from any


def vary_light(
    keys: jax.Array,
    images: jax.Array,
    *,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    tint: float = 0.0,
    blur: float = 0.0,
    gamma: float = 0.0,
) -> jax.Array:
    """Images in a random light, each by itself, clipped to [0, 1].

    Args:
      keys: (N,).
      images: (N, H, W, C).
      brightness: they are multiplied by 1 -+ this.
      contrast: differences from the image's mean are multiplied by 1 -+ this.
      saturation: differences from the pixel's grey are multiplied by 1 -+ this; of one channel nothing changes.
      tint: each channel is multiplied by 1 -+ this.
      blur: share of the images that is out of focus, by up to a mean of 3x3 pixels.
      gamma: they are raised to a power between 1 / (1 + this) and 1 + this: the grey edge of bright ink becomes ink, or
        is left out, so that strokes are thicker or thinner, harder or softer.
    """

    def factors(fold: int, amount: float, channels: int = 1) -> jax.Array:
        def draw(key):
            return jax.random.uniform(jax.random.fold_in(key, fold), (channels,), minval=-1.0, maxval=1.0)

        return 1 + amount * jax.vmap(draw)(keys)[:, None, None]

    if gamma:
        images = images ** jnp.exp(jnp.log1p(gamma) * (factors(11, 1.0) - 1))
    if brightness:
        images = images * factors(5, brightness)
    if contrast:
        mean = images.mean(axis=(1, 2, 3), keepdims=True)
        images = mean + factors(7, contrast) * (images - mean)
    if saturation:
        grey = images.mean(axis=-1, keepdims=True)
        images = grey + factors(8, saturation) * (images - grey)
    if tint:
        images = images * factors(9, tint, images.shape[-1])
    if brightness or contrast or saturation or tint:
        images = jnp.clip(images, 0.0, 1.0)
    return _blurred(keys, images, blur) if blur else images


def _blurred(keys: jax.Array, images: jax.Array, share: float) -> jax.Array:
    """A share of the images mixed with their means over 3x3 pixels, the edge going on."""

    def amount(key):
        chosen_key, amount_key = jax.random.split(jax.random.fold_in(key, 10))
        return jax.random.bernoulli(chosen_key, share) * jax.random.uniform(amount_key)

    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), "edge")
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    means = (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / 9
    amounts = jax.vmap(amount)(keys)[:, None, None, None]
    return images + amounts * (means - images)


def recolour(keys: jax.Array, images: jax.Array) -> jax.Array:
    """Patterns in other colours: each channel becomes a random mixture of the image's own, and is inverted or not.

    What paints for a loss finds one pair of colours that f minds most and paints nothing else; so it finds a pattern.

    Args:
      keys: (N,).
      images: (N, H, W, C); of one channel they are inverted or not.
    """

    def draw(key):
        mixture_key, inversion_key = jax.random.split(key)
        channels = images.shape[-1]
        mixture = nn.softmax(_SPREAD * jax.random.normal(mixture_key, (channels, channels)), axis=0)
        return mixture, jax.random.bernoulli(inversion_key, shape=(1, 1, channels))

    mixtures, inverted = jax.vmap(draw)(keys)
    mixed = jnp.einsum("nhwc,ncd->nhwd", images, mixtures)
    return jnp.where(inverted, 1 - mixed, mixed)
