"""Your own network, loss, arrays and loop, with this package's composites, f_m, f_b and objective.

python examples/own_loop.py trains f on bars, then f_m, then f with f_b, which maximises the loss that f minimises.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

import bginv_jax as bi

SHAPE = (16, 16, 1)
PHASES = (("f",), ("f_m",), ("f", "f_b"), ("f", "f_b"), ("f", "f_b"), ("f", "f_b"))  # of as many steps each


class MyNetwork(nn.Module):
    @nn.compact
    def __call__(self, x):
        for features, side in ((16, 5), (32, 3)):
            x = nn.max_pool(nn.relu(nn.Conv(features, (side, side))(x)), (2, 2), (2, 2))
        return nn.Dense(3)(nn.relu(nn.Dense(64)(x.reshape(x.shape[0], -1))))


def my_loss(outputs, targets):  # (N, 3), (N,) -> (N,)
    return optax.losses.sigmoid_focal_loss(outputs, jax.nn.one_hot(targets, 3)).sum(axis=-1)


def my_arrays(count, seed):  # bars that are upright, level or slanted: float32 (N, 16, 16, 1) in [0, 1], int (N,)
    random, i = np.random.default_rng(seed), np.arange(8)
    images, labels = np.zeros((count, *SHAPE), np.float32), np.arange(count) % 3
    for image, label, (row, column) in zip(images, labels, random.integers(1, 7, (count, 2)), strict=True):
        image[row + i * (label != 1), column + i * (label != 0)] = 1
    return images, labels


def main(steps=240, batch_size=32):
    task = bi.Task(3, my_loss, lambda outputs, targets: {"accuracy": outputs.argmax(-1) == targets}, "accuracy")
    f, f_m = bi.flax_network(MyNetwork(), SHAPE), bi.flax_network(bi.MaskGenerator(), SHAPE)
    f_b = bi.background_source("generated", SHAPE, tiles=2)
    options = {"mask": bi.MaskOptions(area=0.1), "variation": bi.Variation(halo=2, move=True)}
    method, optimizer = bi.make_proposal(f, f_m, f_b, task, **options), optax.adam(1e-3)
    layout = bi.Layout(kept=batch_size // 4, painted=batch_size - batch_size // 4)

    @functools.partial(jax.jit, static_argnames="active")
    def step(variables, state, x, y, keys, active):
        batch, trained = bi.Batch(x, y, layout, masks=method.ready_masks(variables, x)), dict(variables)
        loss = jax.grad(lambda v: method.objective(keys, v, batch, active), has_aux=True)
        gradients, (metrics, changed) = loss(variables)  # changed: by applying them, as batch normalisation's averages
        for name in active:
            gradient, params = gradients[name]["params"], variables[name]["params"]
            gradient = jax.tree.map(jnp.negative, gradient) if name == "f_b" else gradient
            updates, state[name] = optimizer.update(gradient, state[name])
            trained[name] = {**trained[name], **changed.get(name, {}), "params": optax.apply_updates(params, updates)}
        return trained, state, metrics

    (images, labels), (test_images, test_labels) = my_arrays(1200, seed=0), my_arrays(300, seed=1)
    variables, random, accuracies = method.init(jax.random.key(0)), np.random.default_rng(2), []
    state = {name: optimizer.init(own["params"]) for name, own in variables.items()}
    for i in range(steps):
        active = PHASES[6 * i // steps]
        chosen, keys = random.integers(0, len(images), batch_size), jax.random.split(jax.random.key(i), batch_size)
        variables, state, metrics = step(variables, state, images[chosen], labels[chosen], keys, active)
        if 6 * (i + 1) % steps == 0:  # before the poster's test backgrounds, which no network saw
            outputs = {name: method.predict(variables, bi.compose_test(test_images, name)) for name in bi.BACKGROUNDS}
            accuracies.append({name: float((one.argmax(-1) == test_labels).mean()) for name, one in outputs.items()})
            print(f"{i + 1} steps, {'+'.join(active)}: right {accuracies[-1]}")
            print({name: round(float(value), 3) for name, value in metrics.items()})
    return accuracies


if __name__ == "__main__":
    main()
