"""Weights from the files of PyTorch's users: safetensors, and what `torch.save` wrote, without PyTorch.

The pickle in a .pth is not run. Its few opcodes that describe a dict of tensors are followed here; a name of anything
else is refused, so nothing that a stranger's file says is ever called.
"""

import io
import math
import pickletools
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

from bginv_jax.errors import InputError

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {
    "torch.FloatStorage": np.float32,
    "torch.HalfStorage": np.float16,
    "torch.BFloat16Storage": ml_dtypes.bfloat16,
    "torch.DoubleStorage": np.float64,
    "torch.LongStorage": np.int64,
    "torch.IntStorage": np.int32,
    "torch.ShortStorage": np.int16,
    "torch.CharStorage": np.int8,
    "torch.ByteStorage": np.uint8,
    "torch.BoolStorage": np.bool_,
}
_TENSOR, _PARAMETER = "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"
_MAPPING = "collections.OrderedDict"
_NAMES = {*_STORAGES, _TENSOR, _PARAMETER, _MAPPING, "torch.Size"}
_LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "SHORT_BINSTRING"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_DAMAGED = (ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, struct.error)  # of what is followed


class _Refused(Exception):
    """What a file holds is none of what is read here; says what."""


class _Name(NamedTuple):
    """A name of Python's that a pickle mentions."""

    name: str


class _Storage(NamedTuple):
    """Numbers in a row: which, and how many, before they are read."""

    key: str
    dtype: np.dtype
    length: int


class _Tensor(NamedTuple):
    """A view of a storage, as torch describes it; steps are counted in numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    steps: tuple[int, ...]


def _storage(persistent_id: Any) -> _Storage:
    kind, name, key, _, count, *view = persistent_id
    if kind != "storage" or any(part is not None for part in view):
        raise _Refused("a storage that is a view of another")
    return _Storage(key, np.dtype(_STORAGES[name.name]), int(count))


def _reduced(name: str, arguments: tuple) -> Any:
    """What torch would have called `name` for."""
    if name == _MAPPING:
        return dict(*arguments)
    if name == _PARAMETER:
        return arguments[0]
    if name == "torch.Size":
        return tuple(arguments[0])
    if name != _TENSOR:
        raise _Refused(f"a call of {name}")
    storage, offset, shape, steps = arguments[:4]
    return _Tensor(storage, offset, shape, steps)


def _follow(stream: BinaryIO) -> Any:
    """What the next pickle of a stream describes, in dicts, lists, tuples and tensors whose numbers are not read yet.

    Raises:
      _Refused: at any other opcode or name.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def popped(count: int) -> list[Any]:
        items = stack[len(stack) - count :]
        del stack[len(stack) - count :]
        return items

    argument: Any
    for opcode, argument, _ in pickletools.genops(stream):
        name = opcode.name
        if name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("EMPTY_DICT", "EMPTY_LIST"):
            stack.append({} if name == "EMPTY_DICT" else [])
        elif name == "MARK":
            marks.append(len(stack))
        elif name in _TUPLES:
            stack.append(tuple(popped(_TUPLES[name])))
        elif name == "TUPLE":
            stack.append(tuple(popped(len(stack) - marks.pop())))
        elif name in ("SETITEM", "SETITEMS"):
            items = popped(2 if name == "SETITEM" else len(stack) - marks.pop())
            stack[-1].update(zip(items[::2], items[1::2], strict=True))
        elif name in ("APPEND", "APPENDS"):
            items = popped(1 if name == "APPEND" else len(stack) - marks.pop())
            stack[-1].extend(items)
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            mentioned = argument.replace(" ", ".") if name == "GLOBAL" else ".".join(popped(2))
            if mentioned not in _NAMES:
                raise _Refused(f"{mentioned}, which is none of what describes tensors")
            stack.append(_Name(mentioned))
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name == "REDUCE":
            called, arguments = popped(2)
            stack.append(_reduced(called.name, arguments))
        elif name == "BUILD":
            stack.pop()  # attributes, such as the versions of modules that a state dict carries
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise _Refused(f"the opcode {name}")
    raise _Refused("a pickle without an end")


def _tensors(value: Any) -> dict[str, _Tensor]:
    """The tensors by name of what was saved: a state dict, or a dict that has one beside other things."""
    if not isinstance(value, dict):
        raise _Refused("no dict of tensors")
    for group in ("state_dict", "model"):
        if isinstance(value.get(group), dict):
            return _tensors(value[group])
    tensors = {name: item for name, item in value.items() if isinstance(item, _Tensor) and isinstance(name, str)}
    if not tensors:
        raise _Refused("no dict of tensors")
    return tensors


def _array(tensor: _Tensor, numbers: np.ndarray) -> np.ndarray:
    """The view of its storage's numbers, as an array of its own."""
    sizes = (tensor.offset, *tensor.shape, *tensor.steps)
    last = tensor.offset + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.steps, strict=True))
    negative = any(not isinstance(size, int) or size < 0 for size in sizes)
    if negative or math.prod(tensor.shape) > len(numbers) or (last >= len(numbers) and 0 not in tensor.shape):
        raise _Refused(f"a tensor {tensor.shape} that its {len(numbers)} numbers do not fill")
    steps = [step * numbers.itemsize for step in tensor.steps]
    return np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, steps).copy()


def _from_zip(path: Path) -> dict[str, np.ndarray]:
    """What torch.save has written since 2020: a zip of data.pkl and a file for each storage."""
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename.partition("/")[2]: info for info in archive.infolist()}

        def content(name: str) -> bytes:
            info = entries.get(name)
            if info is None or info.compress_type != zipfile.ZIP_STORED or info.file_size > size:
                raise _Refused(f"no {name}, stored as it is")
            return archive.read(info)

        if "byteorder" in entries and content("byteorder") != b"little":
            raise _Refused("numbers that are not little-endian")
        tensors = _tensors(_follow(io.BytesIO(content("data.pkl"))))
        storages: dict[str, np.ndarray] = {}
        for storage in {tensor.storage for tensor in tensors.values()}:
            numbers = content(f"data/{storage.key}")
            if len(numbers) != storage.length * storage.dtype.itemsize:
                raise _Refused(f"data/{storage.key} of {len(numbers)} bytes for {storage.length} {storage.dtype}")
            storages[storage.key] = np.frombuffer(numbers, storage.dtype)
        return {name: _array(tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}


def _from_stream(path: Path) -> dict[str, np.ndarray]:
    """What torch.save wrote before: pickles, the last of them the storages' keys, then the storages."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        if _follow(stream) != _LEGACY_MAGIC:
            raise _Refused("neither a zip nor a stream of torch.save")
        _, system, saved, keys = (_follow(stream) for _ in range(4))
        if not system["little_endian"]:
            raise _Refused("numbers that are not little-endian")
        tensors = _tensors(saved)
        described = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
        storages: dict[str, np.ndarray] = {}
        for key in keys:
            (count,) = struct.unpack("<q", stream.read(8))
            if key not in described:
                raise _Refused(f"a storage {key} that no tensor names")
            dtype = described[key].dtype
            if count != described[key].length or count * dtype.itemsize > size - stream.tell():
                raise _Refused(f"a storage of {count} numbers in {size - stream.tell()} bytes")
            storages[key] = np.frombuffer(stream.read(count * dtype.itemsize), dtype)
    return {name: _array(tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a file by name: floats as float32, the prefix "module." of parallel training taken away.

    Args:
      path: a .safetensors file, or what torch.save wrote of a state dict or of a dict that has one as "state_dict" or
        "model"; which of them it is, its first bytes say.

    Raises:
      InputError: names the file and what is in it instead.
      OSError: if it cannot be read.
    """
    path = Path(path)
    with path.open("rb") as stream:
        start = stream.read(10)
    try:
        if start[8:9] == b"{":  # after the header's length, whose bytes may be anything
            tensors = safetensors.numpy.load_file(path)
        elif start.startswith(b"PK"):
            tensors = _from_zip(path)
        elif start.startswith(b"\x80"):
            tensors = _from_stream(path)
        else:
            raise _Refused("neither safetensors nor what torch.save writes")
    except _Refused as error:
        raise InputError(f"{path} holds {error}; expected a state dict of PyTorch, or safetensors") from error
    except (safetensors.SafetensorError, zipfile.BadZipFile, *_DAMAGED) as error:
        raise InputError(f"{path} is damaged: {error}; expected a state dict of PyTorch, or safetensors") from error
    return {
        name.removeprefix("module."): tensor if tensor.dtype.kind in "iub" else tensor.astype(np.float32)
        for name, tensor in tensors.items()
    }
