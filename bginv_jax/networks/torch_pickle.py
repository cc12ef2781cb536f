"""What a pickle of `torch.save` describes, followed without running it: dicts, lists, tuples and tensors.

Its few opcodes are followed here; what else a name stands for is left aside, such as a training's optimiser beside its
weights, so nothing that a stranger's file says is ever called. What is built is no larger than the pickle: whoever
writes one can have a short one build gigabytes, or keys whose hashes take for ever.
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
_TENSORS = {"torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"}  # the second until PyTorch 0.3
_PARAMETERS = {  # the first argument is the tensor
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch.nn.parameter.Parameter",
}
_TYPED = "torch._tensor._rebuild_from_type_v2"  # of a call, its type, its arguments, and attributes
_MAPPING = "collections.OrderedDict"
_LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "SHORT_BINSTRING"}
_LITERALS |= {"BINBYTES", "SHORT_BINBYTES"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MOST_OPCODES = 5_000_000  # a hundred times those of the largest networks
_MOST_AXES = 32
_GROUPS = (
    "state_dict",
    "model",
    "model_state_dict",
    "net",
    "model_ema",
    "state_dict_ema",
)  # where a state dict may lie
_NAMED = 10  # keys in a message
_LARGEST = 2**62  # of an integer that is a key or a size; Python's hashes collide above


class Refused(Exception):
    """What a file holds is none of what is read here; says what."""


class _Name(NamedTuple):
    """A name of Python's that a pickle mentions."""

    name: str


class Aside(NamedTuple):
    """What is not followed: of this name, whatever it would have been."""

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


def _storage(persistent_id: Any) -> Storage | Aside:
    if not isinstance(persistent_id, tuple) or len(persistent_id) not in (5, 6):
        raise Refused("something persistent that is no storage")
    kind, name, key, _, count, *view = persistent_id
    if kind != "storage" or any(part is not None for part in view):
        raise Refused("a storage that is a view of another")
    if not isinstance(key, str) or not _is_size(count) or count < 0:
        raise Refused("a storage without a name, or of a number of numbers that is none")
    if name.name not in _STORAGES:
        return Aside(name.name)
    return Storage(key, np.dtype(_STORAGES[name.name]), count)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and abs(value) < _LARGEST


def _put(mapping: Any, items: Iterable[tuple[Any, Any]]) -> None:
    """Adds items to a dict whose keys are names or numbers, no others: of nested tuples the hash may take for ever."""
    if isinstance(mapping, dict):
        mapping.update((key, item) for key, item in items if isinstance(key, str) or _is_size(key))


def _tensor(storage: Any, offset: Any, shape: Any, steps: Any, *rest: Any) -> Tensor | Aside:
    if isinstance(storage, Aside):
        return storage
    if len(rest) > 2 and rest[2]:  # after what gradients need
        return Aside("a tensor that is negated or conjugated")
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
    if name in _PARAMETERS:
        return arguments[0]
    if name == _TYPED:
        inner, _, given = arguments[:3]
        return _reduced(inner.name, given) if inner.name in _TENSORS else Aside(inner.name)
    if name == "torch.Size":
        if len(arguments[0]) > _MOST_AXES:
            raise Refused(f"a shape of {len(arguments[0])} axes")
        return tuple(arguments[0])
    return _tensor(*arguments) if name in _TENSORS else Aside(name)


def follow(stream: Any, met: list[Storage] | None = None) -> Any:
    """What the next pickle of a stream describes; the numbers of its tensors are not read yet.

    Args:
      stream: has `read`, `readline` and `tell`, and gives no more than it holds, whatever is asked of it.
      met: takes every storage that is mentioned.

    Raises:
      Refused: at any other opcode, and where a pickle builds more than it holds.
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

    def marked() -> list[Any]:
        return popped(len(stack) - marks.pop())

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
            stack.append(tuple(marked()))
        elif name in ("SETITEM", "SETITEMS"):
            items = popped(2) if name == "SETITEM" else marked()
            _put(stack[-1], zip(items[::2], items[1::2], strict=True))
        elif name in ("APPEND", "APPENDS"):
            items = popped(1) if name == "APPEND" else marked()
            if isinstance(stack[-1], list):
                stack[-1].extend(items)
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            stack.append(_Name(argument.replace(" ", ".") if name == "GLOBAL" else ".".join(popped(2))))
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
            if met is not None and isinstance(stack[-1], Storage):
                met.append(stack[-1])
        elif name in ("REDUCE", "NEWOBJ"):
            called, arguments = popped(2)
            if called.name == _MAPPING:
                if len(arguments) > 1:
                    raise Refused("a dict of several arguments")
                copied += 1 + sum(map(len, arguments))
            if copied > place - start:
                raise Refused("one dict many times")
            stack.append(_reduced(called.name, arguments))
        elif name in ("EMPTY_SET", "FROZENSET", "ADDITEMS"):
            if name != "EMPTY_SET":
                marked()
            if name != "ADDITEMS":
                stack.append(Aside("a set"))
        elif name == "BUILD":
            stack.pop()  # attributes, such as the versions of modules that a state dict carries
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise Refused(f"the opcode {name}")
    raise Refused("a pickle without an end")


def _has_tensors(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(item, Tensor) for item in value.values())


def _inner(value: dict) -> Any:
    """The dict in which a state dict lies: of a known name, or the only one with tensors; else `value`."""
    for group in _GROUPS:
        if isinstance(value.get(group), dict):
            return value[group]
    inner = [item for item in value.values() if _has_tensors(item)]
    return inner[0] if len(inner) == 1 and not _has_tensors(value) else value


def tensors_of(value: Any) -> dict[str, Tensor]:
    """The tensors by name of what was saved: a state dict, or a dict that has one, two levels deep at most.

    Raises:
      Refused: says what there is instead.
    """
    for _ in range(2):
        value = _inner(value) if isinstance(value, dict) else value
    if isinstance(value, Aside):
        script = "a TorchScript archive, " if value.name.startswith("__torch__") else ""
        raise Refused(f"{script}{value.name}, which is none of what describes tensors; save its state_dict()")
    items = value.items() if isinstance(value, dict) else ()
    tensors = {name: item for name, item in items if isinstance(item, Tensor) and isinstance(name, str)}
    for name, item in items:
        if isinstance(item, Aside):
            raise Refused(f"{item.name}, which is none of what describes tensors, as {name!r:.99}")
    if not tensors:
        keys = [key for key, _ in items if isinstance(key, str)][:_NAMED]
        raise Refused("no dict of tensors" + (f", but one of {', '.join(map(repr, keys)):.999}" if keys else ""))
    return tensors
