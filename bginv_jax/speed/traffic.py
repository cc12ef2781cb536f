"""What a step sends between devices, on paper: the gradients of its networks, and the bandwidth that this needs."""

import math

import jax

from bginv_jax.methods.contract import Method

DEVICES = (8, 64, 512)


def gradient_bytes(method: Method, active: tuple[str, ...]) -> int:
    """Bytes of the gradients that a step averages over the devices: a float32 for each parameter of what trains."""
    networks = jax.eval_shape(method.init, jax.random.key(0))
    params = [networks[name]["params"] for name in active]
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(params))


def bandwidth(sent: int, *, devices: int, seconds: float, efficiency: float = 0.9) -> float:
    """Bytes a second that each device must send, and receive at once, so that a step stays as efficient.

    A ring sends 2 (n - 1) / n of the gradients from each device, and nothing else is done meanwhile.

    Args:
      sent: bytes of gradients.
      devices: n.
      seconds: of the step on one device alone, with its share of the batch.
      efficiency: the share of the time that is not spent sending.
    """
    return 2 * (devices - 1) / devices * sent / (seconds * (1 / efficiency - 1))
