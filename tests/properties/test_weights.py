"""Files of weights: safetensors, and what torch.save writes, whatever is in them."""

import io
import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from bginv_jax.networks.torch_files import read_weights
from tests.networks import test_torch_files as torch_files
from tests.properties.cases import attempt, times
from tests.properties.damage import SIZES, any_bytes, changed_json

A = np.arange(6, dtype=np.float32).reshape(2, 3)
HEADER = {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}


@pytest.fixture(scope="module")
def originals(folder):
    value = {"state_dict": {"a": torch_files._tensor("0", A), "b": torch_files._tensor("0", A, shape=(3,), steps=(1,))}}
    paths = [
        torch_files._write_zip(folder / "zip.pth", value, {"0": A}),
        torch_files._write_stream(folder / "stream.pth", value, {"0": A}),
    ]
    return [*(path.read_bytes() for path in paths), safetensors.numpy.save({"a": A, "b": A.astype(np.float16)})]


def _read(kind, path, content):
    path.write_bytes(content)
    tensors = attempt(kind, lambda: read_weights(path), names=path.name)
    if tensors is not None:
        assert all(isinstance(name, str) and isinstance(array, np.ndarray) for name, array in tensors.items())
        assert sum(array.nbytes for array in tensors.values()) <= 20 * len(content) + 1000


@given(st.data())
@times(2)
def test_any_bytes(folder, originals, data):
    _read("weights, any bytes", folder / "any.pth", data.draw(any_bytes(originals)))


@given(changed_json(HEADER), st.sampled_from([0, *SIZES]), st.binary(max_size=64))
def test_any_header_of_safetensors(folder, header, lie, numbers):
    text = json.dumps(header).encode()
    length = struct.pack("<Q", lie) if lie > 2**31 else struct.pack("<Q", len(text))
    _read("safetensors, any header", folder / "any.safetensors", length + text + numbers)


_PLAIN = (
    *("MARK", "EMPTY_TUPLE", "EMPTY_DICT", "EMPTY_LIST", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "SETITEM", "SETITEMS"),
    *("APPEND", "APPENDS", "BINPERSID", "REDUCE", "BUILD", "NONE", "NEWTRUE", "POP", "DUP", "MEMOIZE", "STACK_GLOBAL"),
)
_NAMES = (
    *("torch FloatStorage", "torch HalfStorage", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"),
    *("collections OrderedDict", "torch Size", "os system", "builtins eval"),
)
_TENSOR = torch_files._pickled(torch_files._tensor("0", A))[2:-1]  # without the protocol and the end
_TEXTS = ("storage", "0", "cpu", "a", "state_dict")


def _long(number):
    raw = pickle.encode_long(number)
    return pickle.LONG1 + bytes([len(raw)]) + raw


_OPCODES = st.one_of(
    st.sampled_from([*(getattr(pickle, name) for name in _PLAIN), _TENSOR]),
    st.builds(
        lambda opcode, place: opcode + bytes([place]),
        st.sampled_from([pickle.BINPUT, pickle.BINGET]),
        st.integers(0, 3),
    ),
    st.sampled_from(["c{}\n{}\n".format(*name.split()).encode() for name in _NAMES]),
    st.builds(lambda number: pickle.BININT + struct.pack("<i", number), st.integers(-(2**31), 2**31 - 1)),
    st.builds(_long, st.integers(-(2**500), 2**500)),
    st.sampled_from([pickle.BINUNICODE + struct.pack("<I", len(text)) + text.encode() for text in _TEXTS]),
    st.sampled_from([pickle.BINUNICODE8 + struct.pack("<Q", size % 2**64) for size in SIZES]),
)


@given(st.lists(_OPCODES, max_size=60), st.booleans())
@times(2)
def test_any_opcodes(folder, opcodes, zipped):
    pickled = b"\x80\x02" + b"".join(opcodes) + b"."
    if zipped:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("a/data.pkl", pickled)
            archive.writestr("a/data/0", A.tobytes())
        pickled = stream.getvalue()
    _read("weights, any opcodes", folder / "opcodes.pth", pickled)
