"""Weights from the files of PyTorch's users: safetensors, and what `torch.save` wrote, without PyTorch.

What a file declares is checked against its size before any memory is taken for it.
"""

import errno
import io
import math
import mmap
import os
import re
import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import safetensors.numpy

from bginv_jax import files
from bginv_jax.errors import InputError
from bginv_jax.images.reading import printable
from bginv_jax.networks.torch_pickle import Refused, Storage, Tensor, follow, tensors_of

_START = 262  # bytes that tell what a file is
_WRAPPED = re.compile(r"^(module\.|_orig_mod\.)+")
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_MOST_SHARED = 8  # times the numbers of a file; tied weights share them, and a file could have thousands that do


def _view(tensor: Tensor, numbers: np.ndarray) -> np.ndarray:
    """What a tensor is of its storage's numbers."""
    last = tensor.offset + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.steps, strict=True))
    negative = any(size < 0 for size in (tensor.offset, *tensor.shape, *tensor.steps))
    if negative or math.prod(tensor.shape) > len(numbers) or (last >= len(numbers) and 0 not in tensor.shape):
        raise Refused(f"a tensor {tensor.shape} that its {len(numbers)} numbers do not fill")
    steps = [step * numbers.itemsize for step in tensor.steps]
    return np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, steps)


def _arrays(tensors: Mapping[str, Tensor], storages: Mapping[str, np.ndarray], size: int) -> dict[str, np.ndarray]:
    """The tensors of a file of so many bytes, as arrays of their own."""
    views = {name: _view(tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}
    needed = sum(view.nbytes for view in views.values())
    if needed > _MOST_SHARED * size:
        raise Refused(f"tensors of {needed} bytes that share {size}")
    return {name: view.copy() for name, view in views.items()}


def _described(mentioned: Iterable[Storage]) -> dict[str, Storage]:
    """Storages by key."""
    storages = set(mentioned)
    described = {storage.key: storage for storage in storages}
    if len(described) < len(storages):
        raise Refused("a storage of two kinds or lengths")
    return described


def _from_zip(path: Path) -> dict[str, np.ndarray]:
    """What torch.save has written since 2020: a zip of data.pkl and a file for each storage."""
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename.partition("/")[2]: info for info in archive.infolist()}

        def content(name: str) -> bytes:
            info = entries.get(name)
            if info is None or info.compress_type != zipfile.ZIP_STORED or info.file_size > size:
                raise Refused(f"no {name}, stored as it is")
            return archive.read(info)

        if "byteorder" in entries and content("byteorder") != b"little":
            raise Refused("numbers that are not little-endian")
        tensors = tensors_of(follow(io.BytesIO(content("data.pkl"))))
        storages: dict[str, np.ndarray] = {}
        for key, storage in _described(tensor.storage for tensor in tensors.values()).items():
            numbers = content(f"data/{key}")
            if len(numbers) != storage.length * storage.dtype.itemsize:
                raise Refused(f"data/{key} of {len(numbers)} bytes for {storage.length} {storage.dtype}")
            storages[key] = np.frombuffer(numbers, storage.dtype)
            if sum(array.nbytes for array in storages.values()) > size:  # entries may lie on one another
                raise Refused(f"storages of more than its {size} bytes")
    return _arrays(tensors, storages, size)


def _from_stream(path: Path) -> dict[str, np.ndarray]:
    """What torch.save wrote before: pickles, the last of them the storages' keys, then the storages."""
    size = path.stat().st_size
    # A mapping gives what there is, where a file would first take the memory for all that is asked of it.
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stream:
        if follow(stream) != _LEGACY_MAGIC:
            raise Refused("neither a zip nor a stream of torch.save")
        met: list[Storage] = []
        _, system = follow(stream), follow(stream)
        saved, keys = follow(stream, met), follow(stream)
        if not system["little_endian"]:
            raise Refused("numbers that are not little-endian")
        tensors = tensors_of(saved)
        wanted, described = {tensor.storage.key for tensor in tensors.values()}, _described(met)
        storages: dict[str, np.ndarray] = {}
        for key in keys:
            (count,) = struct.unpack("<q", stream.read(8))
            if not isinstance(key, str) or key not in described:
                raise Refused(f"a storage {key!s:.99} that no tensor names")
            dtype = described[key].dtype
            if count != described[key].length or count * dtype.itemsize > size - stream.tell():
                raise Refused(f"a storage of {count} numbers in {size - stream.tell()} bytes")
            if key in wanted:
                storages[key] = np.frombuffer(stream.read(count * dtype.itemsize), dtype)
            else:  # of an optimiser, or another network
                stream.seek(count * dtype.itemsize, os.SEEK_CUR)
    return _arrays(tensors, storages, size)


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a file by name: floats as float32, "module." and "_orig_mod." of wrapped networks taken away.

    Args:
      path: a .safetensors file, or what torch.save wrote of a state dict or of a training's dict that has one, as
        "state_dict" or "model"; which of them it is, its first bytes say. What else a training saved is passed over.

    Raises:
      InputError: names the file and what is in it instead.
      OSError: if it cannot be read.
    """
    path = Path(path)
    expected = "expected a state dict of PyTorch, or safetensors"
    try:
        with files.naming(path):
            with path.open("rb") as stream:
                start = stream.read(_START)
            tensors = _read(path, start)
    except Refused as error:
        raise InputError(f"{printable(path)} holds {error}; {expected}") from error
    except MemoryError as error:
        raise InputError(f"{printable(path)}: there is not enough memory for it; {expected}") from error
    except Exception as error:  # what is damaged may fail anywhere in zipfile, safetensors or what follows a pickle
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # of a place that a damaged zip names
            raise
        raise InputError(f"{printable(path)} is damaged: {error or type(error).__name__}; {expected}") from error
    with np.errstate(over="ignore"):  # what is too large is infinite, and told by its name where it would be used
        own = [tensor if tensor.dtype.kind in "iub" else tensor.astype(np.float32) for tensor in tensors.values()]
    named = dict(zip((_WRAPPED.sub("", name) for name in tensors), own, strict=True))
    if len(named) < len(tensors):
        raise InputError(f"{printable(path)} holds two networks, one of them wrapped; {expected}")
    return named


def _read(path: Path, start: bytes) -> dict[str, np.ndarray]:
    """The tensors of a file that starts with these bytes, as they are."""
    if start[8:9] == b"{":  # after the header's length, whose bytes may be anything
        try:
            tensors = safetensors.numpy.load_file(path)
        except AttributeError as error:  # NumPy has no such type
            raise Refused("numbers of a kind that is not read, such as of eight bits") from error
        if not tensors:
            raise Refused("safetensors without a tensor")
    elif start.startswith(b"PK"):
        tensors = _from_zip(path)
    elif start.startswith(b"\x80"):
        tensors = _from_stream(path)
    else:
        tar = start[257:262] == b"ustar"
        old = "the tar format of PyTorch's first versions; load it with PyTorch and save it once more"
        raise Refused(old if tar else "neither safetensors nor what torch.save writes")
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "c":
            raise Refused(f"complex numbers, in {name}")
    return tensors
