"""Where a network looks, as a crop: heat map, largest component, box (Guan et al. 2018, AG-CNN), on the device.

Heat maps and their masks are (N, H, W), boxes (N, 4) int32: top, left, bottom, right, the last two excluded.
"""

import jax
import jax.numpy as jnp
from jax import lax


def heat_map(maps: jax.Array) -> jax.Array:
    """Largest |activation| over the channels of maps (N, H, W, K), from 0 to 1 in each image; 0 where all are equal."""
    heat = jnp.abs(maps).max(axis=-1)
    low, high = heat.min(axis=(1, 2), keepdims=True), heat.max(axis=(1, 2), keepdims=True)
    return jnp.where(high > low, (heat - low) / jnp.where(high > low, high - low, 1), 0.0)


def _smallest_of_neighbours(labels: jax.Array, outside: int) -> jax.Array:
    for axis in (1, 2):
        padded = jnp.pad(labels, [(1, 1) if a == axis else (0, 0) for a in range(3)], constant_values=outside)
        length = labels.shape[axis]
        parts = [lax.slice_in_dim(padded, i, i + length, axis=axis) for i in range(3)]
        labels = jnp.minimum(jnp.minimum(*parts[:2]), parts[2])
    return labels


def label_components(mask: jax.Array) -> jax.Array:
    """Numbers each pixel of a mask by the first pixel, in reading order, that it is connected to, over corners too.

    Returns:
      int32 (N, H, W): 0 to H * W - 1 on the mask, H * W elsewhere.
    """
    _, height, width = mask.shape
    outside = height * width
    own = jnp.where(mask, jnp.arange(outside, dtype=jnp.int32).reshape(height, width), outside)

    def spread(state):
        labels, _ = state
        spread = jnp.where(mask, _smallest_of_neighbours(labels, outside), outside)
        return spread, (spread != labels).any()

    return lax.while_loop(lambda state: state[1], spread, (own, mask.any()))[0]


def largest_component(mask: jax.Array) -> jax.Array:
    """The connected component with the most pixels, and of several the first in reading order; empty if `mask` is.

    Every pixel is compared with every other, which suits maps of up to some thousand pixels.
    """
    n = mask.shape[0]  # which may be symbolic, in exports
    labels = label_components(mask).reshape(n, -1)
    members = (labels[:, :, None] == labels[:, None, :]).sum(axis=-1)
    largest = jnp.where(mask.reshape(n, -1), members, 0).argmax(axis=1)
    chosen = jnp.take_along_axis(labels, largest[:, None], axis=1)
    return (labels == chosen).reshape(mask.shape) & mask


def bounding_box(mask: jax.Array) -> jax.Array:
    """The smallest box around each mask; (0, 0, 0, 0) around an empty one."""
    sides = []
    for axis in (2, 1):
        hit = mask.any(axis=axis)
        start = hit.argmax(axis=1)
        stop = jnp.where(hit.any(axis=1), hit.shape[1] - hit[:, ::-1].argmax(axis=1), 0)
        sides.append((start, stop))
    (top, bottom), (left, right) = sides
    return jnp.stack([top, left, bottom, right], axis=1).astype(jnp.int32)


def attended_box(heat: jax.Array, *, threshold: float, size: int) -> jax.Array:
    """The box, in pixels of a square image, around the largest component of heat >= threshold.

    A box that would be empty is the whole image.

    Args:
      heat: (N, H, W) in [0, 1].
      threshold: what counts as hot.
      size: the side of the image, pixels; heat covers it evenly.
    """
    hot = (heat >= threshold) & (heat > 0)
    cells = jnp.array(heat.shape[1:])
    box = bounding_box(largest_component(hot))
    box = jnp.concatenate([box[:, :2] * size // cells, -(-box[:, 2:] * size // cells)], axis=1)
    empty = (box[:, 2:] <= box[:, :2]).any(axis=1, keepdims=True)
    return jnp.where(empty, jnp.array([0, 0, size, size]), box)


def _resize_weights(start: jax.Array, stop: jax.Array, size: int) -> jax.Array:
    """(size, size): how much of each pixel goes to each of `size` places spread over pixels start to stop."""
    places = start + (jnp.arange(size) + 0.5) * (stop - start) / size - 0.5
    places = jnp.clip(places, start, stop - 1)
    return jnp.maximum(0, 1 - jnp.abs(places[:, None] - jnp.arange(size)))


def crop(images: jax.Array, boxes: jax.Array) -> jax.Array:
    """What lies in each image's box, resized bilinearly to the whole image: (N, S, S, C) -> (N, S, S, C)."""
    weigh = jax.vmap(_resize_weights, in_axes=(0, 0, None))
    rows = weigh(boxes[:, 0], boxes[:, 2], images.shape[1])
    columns = weigh(boxes[:, 1], boxes[:, 3], images.shape[2])
    return jnp.einsum("nip,njq,npqc->nijc", rows, columns, images)
