"""Networks of one number and a squared loss, small enough to work every objective out by hand."""

import jax
import jax.numpy as jnp

from bginv_jax.methods.contract import Batch, Layout
from bginv_jax.networks.contract import BackgroundSource, Network, stateless
from bginv_jax.tasks.contract import Task


def scalar(weight, apply):
    """A network of one number: apply(weight, inputs) -> outputs."""
    return stateless(lambda key: jnp.float32(weight), apply)


def fixed(apply):
    """A network without parameters."""
    return stateless(lambda key: {}, lambda params, x: apply(x))


def source(network, draw):
    """A network of noise as a source of backgrounds."""
    return BackgroundSource(network.init, draw, network.apply)


def weights(**values):
    """Variables by the name of the network."""
    return {name: {"params": jnp.float32(value)} for name, value in values.items()}


# f is a weight times the mean of the image, f_m is one value everywhere, f_b likewise: all scalars.
F = scalar(2, lambda w, x: w * x.mean(axis=(1, 2, 3)))
F_M = scalar(0.5, lambda w, x: jnp.broadcast_to(w, (*x.shape[:3], 1)))
F_B = source(scalar(0.75, lambda w, z: jnp.broadcast_to(w, z.shape)), lambda key: jnp.ones((2, 2, 1)))
SQUARES = Task(
    outputs=1,
    loss=lambda outputs, targets: (outputs - targets) ** 2,
    measures=lambda outputs, targets: {"above": outputs > targets},
    shown="above",
)
KEYS = jax.random.split(jax.random.key(0), 2)
X = jnp.stack([jnp.full((2, 2, 1), 0.4), jnp.full((2, 2, 1), 0.8)])
Y = jnp.array([1.0, 2.0])
HALF = jnp.tile(jnp.array([[1.0, 0.0], [1.0, 0.0]]).reshape(1, 2, 2, 1), (2, 1, 1, 1))


def batch(images=X, targets=Y, *, kept=0, pictured=0, **rest):
    """A batch of which the first images are kept, the next stand before pictures, and the rest are painted."""
    return Batch(images, targets, Layout(kept, pictured, len(images) - kept - pictured), **rest)


def objective(method, networks, batch, active, keys=KEYS):
    """The scalar and the metrics."""
    value, (metrics, _) = method.objective(keys, networks, batch, active)
    return value, metrics


def gradients(method, networks, batch, active):
    """Of the scalar, by the name of the network, all of them numbers."""
    slopes = jax.grad(lambda networks: objective(method, networks, batch, active)[0])(networks)
    return {name: slope["params"] for name, slope in slopes.items()}


def noted(network, seen, name):
    """The network, noting in the list `seen` (name, whether in training, data of the key) of each time it is applied.

    Of each time in training its variables "times" grow by one.
    """

    def apply(variables, inputs, *, train=False, key=None):
        seen.append((name, train, None if key is None else jax.random.key_data(key).tolist()))
        outputs, same = network.apply(variables, inputs, train=train, key=key)
        return outputs, {**same, "times": variables["times"] + 1} if train else variables

    return Network(lambda key: {**network.init(key), "times": jnp.int32(0)}, apply)
