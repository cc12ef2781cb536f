"""Files of PyTorch's users are read as they were written; a damaged or strange one is refused, and nothing is run."""

import collections
import io
import json
import pickle
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from bginv_jax.errors import InputError
from bginv_jax.networks.torch_files import read_weights

_MAGIC = 0x1950A86A20F9469CFC6C


class _Named:
    """Pickles as a name of torch's, which need not be there."""

    def __init__(self, name):
        self.name = name


class _Call:
    def __init__(self, name, *arguments):
        self.name, self.arguments = name, arguments


class _Pickler(pickle._Pickler):
    """Writes names and calls of modules that are not installed, and storages as torch does."""

    def save(self, item, save_persistent_id=True):
        if isinstance(item, _Named):
            module, _, name = item.name.rpartition(".")
            self.write(f"c{module}\n{name}\n".encode())
        elif isinstance(item, _Call):
            self.save(_Named(item.name))
            self.save(item.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(item, save_persistent_id)

    def persistent_id(self, item):
        return item[1] if isinstance(item, tuple) and item[:1] == ("persistent",) else None


def _pickled(value) -> bytes:
    stream = io.BytesIO()
    _Pickler(stream, protocol=2).dump(value)
    return stream.getvalue()


def _tensor(key, array, *, kind="FloatStorage", count=None, offset=0, shape=None, steps=None):
    """As torch.save writes one; the lies that tests tell are the keywords."""
    storage = ("persistent", ("storage", _Named(f"torch.{kind}"), key, "cpu", array.size if count is None else count))
    whole = [step // array.itemsize for step in array.strides]
    arguments = (offset, shape or array.shape, tuple(whole) if steps is None else steps, False)
    return _Call("torch._utils._rebuild_tensor_v2", storage, *arguments, _Call("collections.OrderedDict"))


def _write_zip(path, value, storages, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("archive/data.pkl", _pickled(value))
        for key, array in storages.items():
            archive.writestr(f"archive/data/{key}", array.tobytes())
    return path


def _write_stream(path, value, storages, counts=None):
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    # in the stream a storage's description ends in which view of another it is
    parts = [_pickled(item) for item in (_MAGIC, 1001, system, value, list(storages))]
    for key, array in storages.items():
        parts += [struct.pack("<q", (counts or {}).get(key, array.size)), array.tobytes()]
    path.write_bytes(b"".join(parts))
    return path


def _typed(tensor):
    """As a tensor with attributes of its own is written."""
    return _Named(tensor.name), _Named("torch.Tensor"), tensor.arguments, {"mine": 3}


A = np.arange(6, dtype=np.float32).reshape(2, 3)
HALVES = A.astype(np.float16)
BRAIN = A.astype(ml_dtypes.bfloat16)
COUNT = np.array(7)


def _count():
    return _tensor("3", COUNT, kind="LongStorage")


def _both(tmp_path, value, storages):
    return _write_zip(tmp_path / "zip.pth", value, storages), _write_stream(tmp_path / "stream.pth", value, storages)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: tensors,
        lambda tensors: {"state_dict": tensors, "epoch": 3, "rate": 0.1, "history": [1, 2, (3, None, True)]},
        lambda tensors: {"model": {f"module.{name}": tensor for name, tensor in tensors.items()}},
        lambda tensors: {
            "model": tensors,
            "args": _Call("argparse.Namespace"),
            "best": _count(),
        },
        lambda tensors: {"net": {f"_orig_mod.module.{name}": tensor for name, tensor in tensors.items()}, "acc": 0.5},
        lambda tensors: {
            "model": {"state_dict": tensors},
            "optimizer": {"state": {0: {"step": _count()}}},
        },
        lambda tensors: {"weights": tensors, (3, 4): "x", "set": {3, 4}, "more": _Call("collections.defaultdict")},
    ],
    ids=["plain", "state_dict", "model of parallel training", "beside others", "compiled", "nested", "unknown name"],
)
def test_both_formats_of_torch_save_are_read(wrap, tmp_path):
    value = {
        "a": _tensor("0", A),
        "turned": _tensor("0", A, shape=(3, 2), steps=(1, 3)),
        "part": _tensor("0", A, offset=4, shape=(2,), steps=(1,)),
        "parameter": _Call("torch._utils._rebuild_parameter", _tensor("0", A), True, {}),
        "with state": _Call("torch._utils._rebuild_parameter_with_state", _tensor("0", A), True, {}, {"x": 1}),
        "typed": _Call("torch._tensor._rebuild_from_type_v2", *_typed(_tensor("0", A))),
        "old": _Call("torch._utils._rebuild_tensor", *_tensor("0", A).arguments[:4]),
        "halves": _tensor("1", HALVES, kind="HalfStorage"),
        "brain": _tensor("2", BRAIN, kind="BFloat16Storage"),
        "count": _count(),
        "none": _tensor("0", A, shape=(0, 3), steps=(3, 1)),
    }
    for path in _both(tmp_path, wrap(value), {"0": A, "1": HALVES, "2": BRAIN, "3": COUNT}):
        tensors = read_weights(path)
        assert tensors.keys() == value.keys()
        for name in ("a", "parameter", "with state", "typed", "old", "halves", "brain"):
            np.testing.assert_array_equal(tensors[name], A)
            assert tensors[name].dtype == np.float32
        np.testing.assert_array_equal(tensors["turned"], A.T)
        np.testing.assert_array_equal(tensors["part"], [4, 5])
        assert tensors["count"] == 7
        assert tensors["none"].shape == (0, 3)


def test_numbers_of_an_optimiser_beside_the_weights_are_passed_over(tmp_path):
    moments = {"state": {0: {"step": _tensor("0", COUNT, kind="LongStorage"), "mean": _tensor("2", HALVES + 1)}}}
    value = {"optimizer": moments, "state_dict": {"a": _tensor("1", A), "b": _tensor("3", A + 1)}}
    for path in _both(tmp_path, value, {"0": COUNT, "1": A, "2": (A + 2).ravel(), "3": A + 1}):
        tensors = read_weights(path)
        np.testing.assert_array_equal(tensors["a"], A)
        np.testing.assert_array_equal(tensors["b"], A + 1)
    counts = {"2": 2**40}  # of which there are not so many
    path = _write_stream(tmp_path / "lie.pth", value, {"0": COUNT, "1": A, "2": A, "3": A}, counts)
    with pytest.raises(InputError, match="a storage of 1099511627776 numbers in"):
        read_weights(path)


def test_a_negated_tensor_and_two_networks_in_one_are_refused(tmp_path):
    tensor = _tensor("0", A)
    negated = _Call(tensor.name, *tensor.arguments, {"neg": True})
    for path in _both(tmp_path, {"a": tensor, "b": negated}, {"0": A}):
        with pytest.raises(InputError, match="a tensor that is negated or conjugated, which is none of .*, as 'b'"):
            read_weights(path)
    for path in _both(tmp_path, {"a": tensor, "module.a": tensor}, {"0": A}):
        with pytest.raises(InputError, match="holds two networks, one of them wrapped"):
            read_weights(path)


def test_what_is_there_instead_of_weights_is_said(tmp_path):
    path = _write_zip(tmp_path / "a.pth", {"epoch": 3, "history": [1.0]}, {})
    with pytest.raises(InputError, match="holds no dict of tensors, but one of 'epoch', 'history'; expected a state"):
        read_weights(path)
    path = _write_zip(tmp_path / "b.pth", _Call("__torch__.nets.Net"), {})
    with pytest.raises(InputError, match="holds a TorchScript archive, __torch__.nets.Net, .*; save its state_dict"):
        read_weights(path)
    (tmp_path / "c.pth").write_bytes(b"pickle".ljust(257, b"\0") + b"ustar" + bytes(250))
    with pytest.raises(InputError, match="holds the tar format of PyTorch's first versions; load it with PyTorch and"):
        read_weights(tmp_path / "c.pth")
    header = json.dumps({"a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}).encode()
    (tmp_path / "d.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0")
    with pytest.raises(InputError, match="holds numbers of a kind that is not read, such as of eight bits"):
        read_weights(tmp_path / "d.safetensors")


def test_safetensors_are_read(tmp_path):
    safetensors.numpy.save_file({"module.a": A, "b": HALVES}, tmp_path / "a.safetensors")
    tensors = read_weights(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(tensors["a"], A)
    assert tensors["b"].dtype == np.float32


def test_nothing_of_a_pickle_is_run(tmp_path):
    marker = tmp_path / "was run"
    for number, name in enumerate(["os.system", "builtins.eval", "torch.load", "numpy.core.multiarray._reconstruct"]):
        call = {"a": _tensor("0", A), "b": _Call(name, f"touch '{marker}'")}
        for path in _both(tmp_path, call, {"0": A}):
            with pytest.raises(InputError, match=f"{path.name} holds {name}, which is none of what describes tensors"):
                read_weights(path)
        beside = {"model": {"a": _tensor("0", A)}, "args": _Call(name, f"touch '{marker}'"), 3.5: 1}
        for path in _both(tmp_path, beside, {"0": A}):
            np.testing.assert_array_equal(read_weights(path)["a"], A)  # what else a training saved is passed over
        (tmp_path / "bare.pth").write_bytes(_pickled(_Call(name, f"touch '{marker}'")))
        with pytest.raises(InputError, match="bare.pth holds neither a zip nor a stream of torch.save"):
            read_weights(tmp_path / "bare.pth")
        path = _write_zip(tmp_path / f"{number}.pth", _Call(name, f"touch '{marker}'"), {})
        with pytest.raises(InputError, match=f"holds {name}, which is none of .*; save its state_dict"):
            read_weights(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        ({"count": 2**31}, r"(data/0 of 24 bytes for 2147483648 float32|of 6 numbers in)"),
        ({"shape": (2, 2**31)}, r"a tensor \(2, 2147483648\) that its 6 numbers do not fill"),
        ({"shape": (2**20, 2**20), "steps": (0, 0)}, r"a tensor \(1048576, 1048576\) that its 6 numbers do not fill"),
        ({"offset": 3}, r"a tensor \(2, 3\) that its 6 numbers do not fill"),
        ({"steps": (-3, 1), "offset": 3}, r"a tensor \(2, 3\) that its 6 numbers do not fill"),
        ({"steps": (3,)}, r"is damaged"),
        ({"kind": "ComplexFloatStorage"}, r"holds torch.ComplexFloatStorage, which is none of"),
    ],
    ids=str,
)
def test_a_tensor_that_lies_is_refused(lie, message, tmp_path):
    for path in _both(tmp_path, {"a": _tensor("0", A, **lie)}, {"0": A}):
        with pytest.raises(InputError, match=message):
            read_weights(path)


def test_a_storage_of_more_than_the_file_is_refused_before_it_is_read(tmp_path):
    value = {"a": _tensor("0", A, count=2**31)}
    path = _write_stream(tmp_path / "a.pth", value, {"0": A}, counts={"0": 2**31})
    with pytest.raises(InputError, match="a storage of 2147483648 numbers in 24 bytes"):
        read_weights(path)
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**29], "data_offsets": [0, 2**31]}}).encode()
    for length in (len(header), 2**31):
        (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", length) + header + A.tobytes())
        with pytest.raises(InputError, match="a.safetensors is damaged"):
            read_weights(tmp_path / "a.safetensors")


def test_a_packed_zip_is_refused(tmp_path):
    big = np.zeros(10**6, np.float32)
    path = _write_zip(tmp_path / "a.pth", {"a": _tensor("0", big)}, {"0": big}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="a.pth holds no data.pkl, stored as it is"):
        read_weights(path)


@pytest.mark.parametrize("size", [0, 5, 30, 80, -1, -30])
def test_half_a_file_is_refused(size, tmp_path):
    value = collections.OrderedDict(a=_tensor("0", A))
    safetensors.numpy.save_file({"a": A}, tmp_path / "a.safetensors")
    for path in (*_both(tmp_path, dict(value), {"0": A}), tmp_path / "a.safetensors"):
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(InputError, match=path.name):
            read_weights(path)


def test_what_is_no_file_of_weights_is_refused(tmp_path):
    contents = {
        "text": b"weights, honestly",
        "empty dict": _pickled({}),
        "numbers": _pickled({"a": 1}),
        "nothing": b"",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name} holds neither|{name} is damaged"):
            read_weights(tmp_path / name)
    path = _write_zip(tmp_path / "numbers.pth", {"a": 1}, {})
    with pytest.raises(InputError, match="holds no dict of tensors, but one of 'a'; expected a state dict of PyTorch"):
        read_weights(path)


def test_what_pytorch_writes_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).to(
        memory_format=torch.channels_last
    )
    for name, new in (("new.pth", True), ("old.pth", False)):
        torch.save(module.state_dict(), tmp_path / name, _use_new_zipfile_serialization=new)
        tensors = read_weights(tmp_path / name)
        assert tensors.keys() == module.state_dict().keys()
        for key, tensor in module.state_dict().items():
            np.testing.assert_array_equal(tensors[key], tensor.numpy())


def _nested(depth):
    """Opcodes of a tuple of itself twice, and so on: its hash, or its text, takes 2**depth steps."""
    return pickle.EMPTY_TUPLE + (pickle.BINPUT + b"\0" + pickle.BINGET + b"\0" + pickle.TUPLE2) * depth


def _pair_of_names(times):
    """Opcodes of an OrderedDict of the same long list of pairs, as Python 2 wrote them, many times."""
    pair = pickle.EMPTY_LIST + pickle.MARK + pickle.BININT1 + b"\1" + pickle.NONE + pickle.APPENDS
    items = pickle.EMPTY_LIST + pickle.MARK + pair * 1000 + pickle.APPENDS + pickle.TUPLE1 + pickle.BINPUT + b"\0"
    return items + (b"ccollections\nOrderedDict\n" + pickle.BINGET + b"\0" + pickle.REDUCE) * times


def _many_uses(before, after):
    """Opcodes of something of the same 40,000 empty tuples, a thousand times."""
    items = pickle.MARK + pickle.EMPTY_TUPLE * 40_000 + pickle.TUPLE + pickle.BINPUT + b"\0"
    return items + (before + pickle.BINGET + b"\0" + after) * 1000


@pytest.mark.parametrize(
    ("opcodes", "message"),
    [
        (pickle.EMPTY_DICT + _nested(100) + pickle.NONE + pickle.SETITEM, "no dict of tensors"),
        (
            pickle.EMPTY_DICT + pickle.LONG1 + b"\x09" + bytes(8) + b"\1" + pickle.NONE + pickle.SETITEM,
            "no dict of tensors",
        ),
        (b"ctorch\nSize\n" + pickle.MARK + pickle.NONE * 40 + pickle.TUPLE + pickle.TUPLE1 + pickle.REDUCE, "40 axes"),
        (_pair_of_names(10_000), "one dict many times"),
        (_many_uses(b"ccollections\nOrderedDict\n", pickle.REDUCE), "a dict of several arguments"),
        (_many_uses(b"ccollections\nOrderedDict\n", pickle.TUPLE1 + pickle.REDUCE), "is damaged"),
        (_many_uses(b"", pickle.BINPERSID), "something persistent that is no storage"),
        (
            pickle.EMPTY_DICT + pickle.BINPUT + b"\0" + b"X\5\0\0\0model" + pickle.BINGET + b"\0" + pickle.SETITEM,
            "no dict",
        ),
        (pickle.BINUNICODE8 + struct.pack("<Q", 2**62), "is damaged"),
        (pickle.LONG4 + struct.pack("<i", 2**31 - 1), "is damaged"),
        (pickle.BINUNICODE + struct.pack("<I", 2**32 - 1), "is damaged"),
    ],
    ids=[
        "hash of a key",
        "huge key",
        "axes",
        "one dict often",
        "empty pairs often",
        "empty pairs in one often",
        "one long id often",
        "itself",
        "2**62 letters",
        "2**31 digits",
        "2**32 letters",
    ],
)
def test_a_pickle_that_would_build_more_than_it_holds_is_refused(opcodes, message, tmp_path):
    pickled = pickle.PROTO + b"\2" + opcodes + pickle.STOP
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
    (tmp_path / "b.pth").write_bytes(
        _pickled(_MAGIC) + _pickled(1001) + _pickled({"little_endian": True}) + pickled * 2
    )
    for path in tmp_path.iterdir():
        with pytest.raises(InputError, match=f"{path.name} .*{message}"):
            read_weights(path)


def test_tensors_that_share_more_than_the_file_holds_are_refused(tmp_path):
    big = np.zeros(10**5, np.float32)
    value = {f"t{i}": _tensor("0", big) for i in range(100)}
    for path in _both(tmp_path, value, {"0": big}):
        with pytest.raises(InputError, match="tensors of 40000000 bytes that share 4"):
            read_weights(path)


def test_entries_that_lie_on_one_another_are_read_once(tmp_path):
    big = np.zeros(10**4, np.float32)
    names = [f"{i}" for i in range(50)]
    path = _write_zip(tmp_path / "a.pth", {name: _tensor(name, big) for name in names}, {"0": big})
    with zipfile.ZipFile(path, "a") as archive:
        for name in names[1:]:  # each is said to be where the first is
            entry = zipfile.ZipInfo(f"archive/data/{name}")
            first = archive.getinfo("archive/data/0")
            entry.header_offset, entry.CRC = first.header_offset, first.CRC
            entry.compress_size = entry.file_size = first.file_size
            archive.filelist.append(entry)
            archive.NameToInfo[entry.filename] = entry
        archive._didModify = True
    with pytest.raises(InputError, match="a.pth (holds storages of more than|is damaged)"):
        read_weights(path)


def test_an_encrypted_zip_and_complex_numbers_are_refused(tmp_path):
    path = _write_zip(tmp_path / "a.pth", {"a": _tensor("0", A)}, {"0": A})
    content = bytearray(path.read_bytes())
    for start in (b"PK\3\4", b"PK\1\2"):
        content[content.index(start) + (6 if start[2] == 3 else 8)] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="a.pth is damaged: .* encrypted"):
        read_weights(path)
    safetensors.numpy.save_file({}, tmp_path / "none.safetensors")
    with pytest.raises(InputError, match=r"none.safetensors.*safetensors without a tensor"):
        read_weights(tmp_path / "none.safetensors")
    safetensors.numpy.save_file({"a": A.astype(np.complex64)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="a.safetensors holds complex numbers, in a; expected"):
        read_weights(tmp_path / "a.safetensors")


def test_a_place_before_the_file_is_damage(tmp_path):
    path = _write_zip(tmp_path / "a.pth", {"a": _tensor("0", A)}, {"0": A})
    path.write_bytes(path.read_bytes()[:2] + path.read_bytes()[4:])
    with pytest.raises(InputError, match="a.pth is damaged"):
        read_weights(path)


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError, match="a.pth"):
        read_weights(tmp_path / "a.pth")
