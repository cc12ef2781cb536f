"""Weights for the photographs' classifiers that need no file, and what PyTorch makes of them.

Writes the logits that test_photographs.py compares with, where torchvision and timm are installed:
python -m tests.networks.photographs
"""

import functools
import json
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from bginv_jax.networks import pretrained
from bginv_jax.networks.classifiers import STAGED, make_classifier

STORED = Path(__file__).parents[1] / "data" / "photograph_logits.json"
CLASSES, SIDE = 10, 80  # a side that is halved to 5 and 3
IMAGENET_PIXELS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
TENSORFLOW_PIXELS = (3 * (127 / 255,), 3 * (128 / 255,))


def images(count: int = 2, side: int = SIDE) -> np.ndarray:
    return np.random.RandomState(0).rand(count, side, side, 3).astype(np.float32)


@functools.cache
def shapes(name: str, classes: int = CLASSES) -> dict:
    """Of a classifier's variables."""
    module = make_classifier(name, classes)
    return jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, SIDE, SIDE, 3)))


def tensors(name: str, library: int = 0, classes: int = CLASSES) -> dict[str, np.ndarray]:
    """Weights by the names that one of the libraries gives them, which follow from the names."""
    naming, made = STAGED[name].names[library], {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(shapes(name, classes))[0]:
        keys = tuple(part.key for part in path)
        random = np.random.RandomState(zlib.crc32("/".join(keys).encode()))
        shape = leaf.shape
        if keys[-1] == "kernel":
            shape = shape[::-1] if len(shape) == 2 else (shape[3], shape[2], *shape[:2])
            shape = shape if len(shape) == 4 or "head" in keys else (*shape, 1, 1)
            value = random.randn(*shape) * np.sqrt(2 / np.prod(shape[1:]))
        elif keys[-1] in ("scale", "var"):  # of scales so small that logits stay near 1 over fifty layers
            value = random.uniform(0.7, 1.3, shape) * (0.5 if "resnet" in name and keys[-1] == "scale" else 1)
        else:
            value = 0.1 * random.randn(*shape)
        part = {"scale": "weight", "kernel": "weight", "mean": "running_mean", "var": "running_var"}
        made[f"{naming('/'.join(keys[1:-1]))}.{part.get(keys[-1], keys[-1])}"] = value.astype(np.float32)
    return made


def fitted(name: str, weights: dict[str, np.ndarray], classes: int = CLASSES) -> dict:
    return pretrained.fit_weights(STAGED[name].names, weights, shapes(name, classes), head=True)


@functools.cache
def forward(name: str, classes: int = CLASSES):
    """The compiled classifier: (variables, images) -> logits."""
    return jax.jit(make_classifier(name, classes).apply)


def torch_module(name: str, classes: int = CLASSES):
    """PyTorch's own network of the same architecture, and the pixels' mean and deviation that it expects."""
    if name.startswith("efficientnet"):
        import timm

        theirs = "efficientnet_lite0" if name.endswith("timm") else "tf_efficientnet_lite0"
        pixels = IMAGENET_PIXELS if name.endswith("timm") else TENSORFLOW_PIXELS
        return timm.create_model(theirs, num_classes=classes), pixels
    import torchvision
    from torch import nn

    kind, _, group = name.partition("_")
    options = {"norm_layer": lambda channels: nn.GroupNorm(32, channels)} if group else {}
    return getattr(torchvision.models, kind)(num_classes=classes, **options), IMAGENET_PIXELS


def torch_logits(name: str, weights: dict[str, np.ndarray], x: np.ndarray, classes: int = CLASSES) -> np.ndarray:
    import torch

    module, (mean, deviation) = torch_module(name, classes)
    # strict but for the counters of batches
    missing, unexpected = module.load_state_dict({key: torch.tensor(w) for key, w in weights.items()}, strict=False)
    assert not unexpected
    assert all(key.endswith("num_batches_tracked") for key in missing)
    pixels = torch.tensor((x - np.float32(mean)) / np.float32(deviation)).permute(0, 3, 1, 2)
    with torch.no_grad():
        return module.eval()(pixels).numpy()


def main() -> None:
    stored = {}
    for name in STAGED:
        library = len(STAGED[name].names) - 1  # timm's names, where there are several
        stored[name] = torch_logits(name, tensors(name, library), images()).astype(float).round(6).tolist()
    weights = pretrained.load_weights("imagenet")
    names = shapes("efficientnet_lite0", 1000)
    fits = pretrained.fit_weights(STAGED["efficientnet_lite0"].names, weights, names, head=True)
    stored["imagenet"] = torch_logits("efficientnet_lite0", as_timm(fits), images(), 1000)[:, ::100]
    stored["imagenet"] = stored["imagenet"].astype(float).round(6).tolist()
    STORED.write_text(json.dumps(stored) + "\n")


def as_timm(variables: dict) -> dict[str, np.ndarray]:
    """EfficientNet-Lite0's variables by timm's names, as PyTorch has them."""
    naming, made = STAGED["efficientnet_lite0_timm"].names[0], {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(variables)[0]:
        keys = tuple(part.key for part in path)
        value = np.asarray(leaf)
        if keys[-1] == "kernel":
            value = value.T if value.ndim == 2 else value.transpose(3, 2, 0, 1)
            value = value if value.ndim == 4 or "head" in keys else value[:, :, None, None]
        part = {"scale": "weight", "kernel": "weight", "mean": "running_mean", "var": "running_var"}
        made[f"{naming('/'.join(keys[1:-1]))}.{part.get(keys[-1], keys[-1])}"] = value
    return made


if __name__ == "__main__":
    main()
