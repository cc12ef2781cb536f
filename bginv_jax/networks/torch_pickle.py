"""What a pickle of `torch.save` describes, followed without running it: dicts, lists, tuples and tensors.

Its few opcodes are followed here; a name of anything else is refused, so nothing that a stranger's file says is ever
called. What is built is no larger than the pickle: whoever writes one can have a short one build gigabytes, or keys
whose hashes take for ever.
"""

import pickletools
from collections.abc import Iterable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

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
_MOST_OPCODES = 5_000_000  # a hundred times those of the largest networks
_MOST_AXES = 32
_LARGEST = 2**62  # of an integer that is a key or a size; Python's hashes collide above


class Refused(Exception):
    """What a file holds is none of what is read here; says what."""


class _Name(NamedTuple):
    """A name of Python's that a pickle mentions."""

    name: str


class Storage(NamedTuple):
    """Numbers in a row: which, and how many, before they are read."""

    key: str
    dtype: np.dtype
    length: int


class Tensor(NamedTuple):
    """A view of a storage, as torch describes it; steps are counted in numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    steps: tuple[int, ...]


def _storage(persistent_id: Any) -> Storage:
    kind, name, key, _, count, *view = persistent_id
    if kind != "storage" or any(part is not None for part in view):
        raise Refused("a storage that is a view of another")
    if not isinstance(key, str) or not _is_size(count) or count < 0:
        raise Refused("a storage without a name, or of a number of numbers that is none")
    return Storage(key, np.dtype(_STORAGES[name.name]), count)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and abs(value) < _LARGEST


def _put(mapping: dict, items: Iterable[tuple[Any, Any]]) -> None:
    """Adds items whose keys are names or numbers: of nested tuples the hash may take for ever."""
    for key, item in items:
        if not (isinstance(key, str) or _is_size(key)):
            raise Refused("a dict whose keys are no names")
        mapping[key] = item


def _tensor(storage: Any, offset: Any, shape: Any, steps: Any) -> Tensor:
    sizes = [part for part in (shape, steps) if isinstance(part, tuple) and len(part) <= _MOST_AXES]
    if not isinstance(storage, Storage) or len(sizes) < 2 or not all(map(_is_size, (offset, *shape, *steps))):
        raise Refused("a tensor whose storage, shape or steps are none")
    return Tensor(storage, offset, shape, steps)


def _reduced(name: str, arguments: tuple) -> Any:
    """What torch would have called `name` for."""
    if name == _MAPPING:
        mapping: dict = {}
        for items in arguments:
            _put(mapping, items)
        return mapping
    if name == _PARAMETER:
        return arguments[0]
    if name == "torch.Size":
        if len(arguments[0]) > _MOST_AXES:
            raise Refused(f"a shape of {len(arguments[0])} axes")
        return tuple(arguments[0])
    if name != _TENSOR:
        raise Refused(f"a call of {name}")
    return _tensor(*arguments[:4])


def follow(stream: Any) -> Any:
    """What the next pickle of a stream describes; the numbers of its tensors are not read yet.

    Args:
      stream: has `read`, `readline` and `tell`, and gives no more than it holds, whatever is asked of it.

    Raises:
      Refused: at any other opcode or name, and where a pickle builds more than it holds.
      Exception: of any kind, where it is damaged.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}
    start, copied = stream.tell(), 0

    def popped(count: int) -> list[Any]:
        items = stack[len(stack) - count :]
        del stack[len(stack) - count :]
        return items

    argument: Any
    for done, (opcode, argument, place) in enumerate(pickletools.genops(stream)):
        name = opcode.name
        if done > _MOST_OPCODES:
            raise Refused(f"a pickle of more than {_MOST_OPCODES} opcodes")
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
            _put(stack[-1], zip(items[::2], items[1::2], strict=True))
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
                raise Refused(f"{mentioned}, which is none of what describes tensors")
            stack.append(_Name(mentioned))
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name == "REDUCE":
            called, arguments = popped(2)
            copied += sum(map(len, arguments)) if called.name == _MAPPING else 0
            if copied > place - start:
                raise Refused("one dict many times")
            stack.append(_reduced(called.name, arguments))
        elif name == "BUILD":
            stack.pop()  # attributes, such as the versions of modules that a state dict carries
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise Refused(f"the opcode {name}")
    raise Refused("a pickle without an end")


def tensors_of(value: Any) -> dict[str, Tensor]:
    """The tensors by name of what was saved: a state dict, or a dict that has one as "state_dict" or "model"."""
    for group in ("state_dict", "model"):
        inner = value.get(group) if isinstance(value, dict) else None
        value = inner if isinstance(inner, dict) else value
    items = value.items() if isinstance(value, dict) else ()
    tensors = {name: item for name, item in items if isinstance(item, Tensor) and isinstance(name, str)}
    if not tensors:
        raise Refused("no dict of tensors")
    return tensors
