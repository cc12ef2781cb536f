"""What f and f_b train on: a batch before pictures and what f_b paints, its targets, and what brightness costs."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from bginv_jax.images.compose import Variation, painter_keys, vary_and_compose
from bginv_jax.images.light import recolour
from bginv_jax.methods.ascent import Ascent, ascend
from bginv_jax.methods.contract import Batch, Networks, network_key
from bginv_jax.networks.contract import BackgroundSource, Network
from bginv_jax.tasks.contract import Targets, Task


def _visible(task: Task, batch: Batch, shown: jax.Array) -> Targets:
    """The targets of a batch whose composites show of their images what these masks show."""
    targets, layout = batch.targets, batch.layout
    if task.visible is None:
        return targets
    part = task.visible(jax.tree.map(layout.composed, targets), shown)
    return jax.tree.map(lambda leaf, seen: jnp.concatenate([layout.split(leaf)[0], seen]), targets, part)


def paint(f_b: BackgroundSource, networks: Networks, keys: jax.Array, **options: Any) -> tuple[jax.Array, Any]:
    """What f_b makes of a noise for each of the (N,) keys: (N, S, S, C), and its variables; options as `apply` has."""
    return f_b.apply(networks["f_b"], jax.vmap(f_b.draw)(keys), **options)


def make_set_before(
    f: Network,
    f_b: BackgroundSource,
    task: Task,
    *,
    variation: Variation,
    brightness_weight: float,
    recoloured: bool,
    ascent: Ascent | None,
) -> Callable[[jax.Array, Networks, Batch, jax.Array], tuple[jax.Array, Targets, jax.Array, Any]]:
    """(keys, networks, batch, cut masks) -> (images before other backgrounds, targets, cost, f_b's variables).

    The images are in the order of the batch's layout. The cost, of brightness, is what f_b minimises beside. Options
    are those of `methods.proposal.make_proposal`.
    """

    def search_on(keys, networks, targets, images, x, shown):
        """The composites `x` before the worst backgrounds near those that f_b painted, f held still."""
        own = lax.stop_gradient(networks["f"])
        keys = jax.vmap(lambda key: jax.random.fold_in(key, 7))(keys)
        return ascend(keys, lambda z: task.loss(f.apply(own, z)[0], targets), images, x, shown, ascent)

    def set_before(keys, networks, batch, m):
        layout = batch.layout
        kept_images, _, painted_images = layout.split(batch.images)
        _, _, painted_keys = layout.split(keys)
        b, changed = paint(f_b, networks, painter_keys(painted_keys), train=True, key=network_key(keys, 2))
        if recoloured:
            b = recolour(jax.vmap(lambda key: jax.random.fold_in(key, 5))(painted_keys), b)
        excess = nn.relu(b.mean(axis=(1, 2, 3)) - 0.5) if b.shape[-1] == 1 else jnp.zeros(1)
        cost = brightness_weight * excess.sum() / max(1, len(b))
        b = b if batch.pictures is None else jnp.concatenate([batch.pictures, b])
        x, shown = vary_and_compose(*map(layout.composed, (keys, batch.images, m)), b, variation)
        targets = _visible(task, batch, shown)
        if ascent:
            asked = jax.tree.map(lambda leaf: layout.split(leaf)[2], targets)
            among = layout._replace(kept=0)  # what of the batch was composed
            _, pictured, painted = among.split(x)
            searched = search_on(painted_keys, networks, asked, painted_images, painted, among.split(shown)[2])
            x = jnp.concatenate([pictured, searched])
        return jnp.concatenate([kept_images, x]), targets, cost, changed

    return set_before
