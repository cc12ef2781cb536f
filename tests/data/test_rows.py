"""Rows are read from arrays in memory and in files alike, and a file that is read through does not stay in memory."""

import subprocess
import sys

import numpy as np
import pytest

from bginv_jax.data import rows
from tests.conftest import ROOT


@pytest.fixture(params=["memory", "file"])
def array(request, tmp_path):
    values = np.random.RandomState(0).randint(0, 256, (10, 3, 3, 1), np.uint8)
    return values if request.param == "memory" else rows.store(iter([values[:4], values[4:]]), tmp_path / "new")


def test_rows_are_those_that_were_asked_for(array):
    expected = np.array(array)
    for wanted in (np.array([7, 0, 7]), slice(2, 5), slice(8, 20), np.array([], int)):
        taken = rows.take(array, wanted)
        assert type(taken) is np.ndarray
        np.testing.assert_array_equal(taken, expected[wanted])
        assert not np.shares_memory(taken, array)


@pytest.mark.parametrize(("count", "lengths"), [(0, [10]), (4, [4, 4, 2]), (5, [5, 5])])
def test_chunks_are_all_rows_in_order(array, count, lengths):
    parts = list(rows.chunks(array, count))
    assert [len(part) for part in parts] == lengths
    np.testing.assert_array_equal(np.concatenate(parts), array)


def test_what_is_stored_leaves_no_file(tmp_path):
    array = rows.store(iter([np.float32([1, 2]), np.float32([3])]), tmp_path)
    assert array.tolist() == [1, 2, 3]
    assert array.dtype == np.float32
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says what a process holds")
def test_memory_stays_flat_while_a_file_is_read(tmp_path):
    """Of 200 MB."""
    path = tmp_path / "rows.npy"
    np.save(path, np.ones((2000, 100_000), np.uint8))
    code = f"""
import numpy as np
from bginv_jax.data import rows
def held():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS")) / 1000
array = np.load({str(path)!r}, mmap_mode="r")
before = held()
most = before
for start in range(0, 2000, 20):
    rows.take(array, np.arange(start, start + 20))
    most = max(most, held())
for part in rows.chunks(array, 20):
    most = max(most, held())
print(most - before)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert float(found.stdout) < 40
