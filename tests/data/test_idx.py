"""What is wrong with an IDX folder or file is said in one line, and no more memory is taken than the file can fill."""

import gzip
import os
import struct
import tracemalloc

import numpy as np
import pytest

from bginv_jax.data import idx
from bginv_jax.errors import InputError, MissingDataError
from tests.data.test_sources import IMAGES, LABELS, _load


def _declare(path, *sizes, data=b"", zipped=False, kind=8):
    raw = struct.pack(f">BBBB{len(sizes)}I", 0, 0, kind, len(sizes), *sizes) + data
    path.write_bytes(gzip.compress(raw) if zipped else raw)


def _flip(path):
    raw = bytearray(gzip.compress(path.read_bytes()))
    raw[-6] ^= 1  # in the checksum
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (IMAGES, lambda path: _declare(path, 2**31, 28, 28), "0 bytes of data; expected 1683627180032 for the shape"),
        (
            IMAGES,
            lambda path: _declare(path, 2**31, 28, 28, zipped=True),
            "bytes, gzipped; too few to hold 16836271800",
        ),
        (IMAGES, lambda path: _declare(path, *[2**32 - 1] * 4), "0 bytes of data; expected 3402823"),
        (IMAGES, lambda path: _declare(path, *[2**16] * 4), "0 bytes of data; expected 18446744073709551616 for"),
        (IMAGES, lambda path: _declare(path, 48, 0, 12), r"no images; expected at least one, and .* \(48, 0, 12\)"),
        (
            IMAGES,
            lambda path: _declare(path, 48, 12, 12, data=bytes(6911), zipped=True),
            "6911 bytes of data; expected 69",
        ),
        (
            IMAGES,
            lambda path: _declare(path, 48, 12, 12, data=bytes(6913), zipped=True),
            "more than 6912 bytes of data",
        ),
        (IMAGES, lambda path: _declare(path, 48, 12, 12, data=bytes(6913)), "6913 bytes of data; expected 6912"),
        (IMAGES, _flip, "CRC check failed .*; expected a whole IDX file, raw or gzipped"),
        (IMAGES, lambda path: path.write_bytes(b"\x1f\x8bgarbage and more of it"), "expected a whole IDX file"),
        (
            LABELS,
            lambda path: _declare(path, 48, data=bytes(192), kind=0x0D),
            "starts with 00 00 0d 01; expected 00 00 08 01",
        ),
        (LABELS, lambda path: (path.unlink(), path.mkdir()), f"{LABELS} is missing; expected it"),
    ],
)
def test_sizes_and_bytes_must_agree(tiny_folder, name, damage, message):
    damage(tiny_folder / name)
    with pytest.raises(InputError, match=message) as caught:
        _load(f"idx:{tiny_folder}")
    assert str(tiny_folder / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bomb_is_not_unpacked(tiny_folder):
    with gzip.open(tiny_folder / LABELS, "wb") as file:
        file.write(struct.pack(">BBBBI", 0, 0, 8, 1, 48) + bytes(100_000_000))
    tracemalloc.start()
    with pytest.raises(InputError, match="more than 48 bytes of data; expected 48"):
        _load(f"idx:{tiny_folder}")
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_the_folder_is_found_wherever_it_lies(tiny_folder, monkeypatch):
    moved = tiny_folder.rename(tiny_folder.with_name("цифры 数字"))
    expected = _load(f"idx:{moved}")
    assert expected.name == "idx:цифры 数字"
    monkeypatch.chdir(moved.parent)
    monkeypatch.setenv("HOME", str(moved.parent))
    for folder in (moved.name, f"./{moved.name}/", f"~/{moved.name}"):
        assert _load(f"idx:{folder}").description == expected.description
    monkeypatch.chdir(moved)
    assert _load("idx:.").description == expected.description


@pytest.mark.parametrize("folder", ["nowhere", "~no_such_user/digits", "a\0b"])
def test_a_missing_folder_says_which_field_names_it(folder):
    with pytest.raises(MissingDataError, match=f"{IMAGES} is missing; .* in the folder that config.data.source names"):
        _load(f"idx:{folder}")


def test_a_folder_that_is_none_is_said(tiny_folder):
    with pytest.raises(InputError, match=f"{IMAGES} is a file; expected the folder with MNIST's four files"):
        _load(f"idx:{tiny_folder / IMAGES}")
    with pytest.raises(InputError, match="File name too long; expected the folder that config.data.source names"):
        _load(f"idx:{'x' * 300}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_said(tiny_folder):
    tiny_folder.chmod(0)
    with pytest.raises(InputError, match="Permission denied; expected the folder that config.data.source names"):
        _load(f"idx:{tiny_folder}")
    tiny_folder.chmod(0o700)


def test_the_arrays_are_those_of_the_files(tiny_folder):
    images, labels = idx.load(tiny_folder)["train"]
    assert (images.dtype, labels.dtype, images.shape) == (np.uint8, np.uint8, (48, 12, 12, 1))
    assert labels.tolist() == [0, 1, 2] * 16


def test_a_bomb_that_tells_its_size_is_not_unpacked(tiny_folder, monkeypatch):
    monkeypatch.setattr(idx, "_HARMLESS", 10**6)
    with gzip.open(tiny_folder / LABELS, "wb") as file:
        file.write(struct.pack(">BBBBI", 0, 0, 8, 1, 10**7) + bytes(10**7))
    tracemalloc.start()
    with pytest.raises(InputError, match="bytes, gzipped, that hold 10000000; expected images or labels"):
        _load(f"idx:{tiny_folder}")
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("shape", [(1, 65), (4, 257), (1300, 20)])
def test_images_that_no_square_holds_well_are_refused(tiny_folder, shape):
    for name, count in ((IMAGES, 48), (IMAGES.replace("train", "t10k"), 21)):
        _declare(tiny_folder / name, count, *shape, data=bytes(count * shape[0] * shape[1]))
    with pytest.raises(
        InputError, match=f"data set idx:tiny: images have {shape[0]}x{shape[1]} pixels; expected at most"
    ):
        _load(f"idx:{tiny_folder}")
    assert _load(f"idx:{tiny_folder}", image_size=16).shape == (16, 16, 1)
