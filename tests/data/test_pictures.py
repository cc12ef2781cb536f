"""Pictures are decoded once: what is kept is found by content, and made anew where it is damaged."""

import errno
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from bginv_jax.data import pictures
from bginv_jax.errors import InputError
from bginv_jax.images import reading
from tests.conftest import write_pictures


@pytest.fixture
def folder(tmp_path):
    return write_pictures(tmp_path / "set", {"train": {"a": 5}}, size=(20, 30)) / "train" / "a"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BGINV_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that were decoded."""
    names = []

    def read(path):
        names.append(path.name)
        return reading.read_picture(path)

    monkeypatch.setattr(pictures, "read_picture", read)
    return names


def _load(folder, **options):
    paths = sorted(folder.iterdir())
    options = {"size": 16, "fit": "pad", "channels": 3} | options
    return pictures.load(paths, pictures.Fitting(**options, first=paths[0]), name="train")


def test_what_was_decoded_is_found_by_content_wherever_it_lies(folder, cache, decoded):
    images, digests = _load(folder)
    assert isinstance(images, np.memmap)
    assert images.shape == (5, 16, 16, 3)
    assert not images.flags.writeable
    assert sorted(decoded) == [f"{i:03}.png" for i in range(5)]
    assert len(set(digests)) == 5
    moved = folder.rename(folder.with_name("moved"))
    again, same = _load(moved)
    assert len(decoded) == 5
    np.testing.assert_array_equal(again, images)
    assert same == digests
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("options", [{"size": 32}, {"fit": "crop"}, {"channels": 1}])
def test_another_way_to_fit_is_another_array(folder, cache, decoded, options):
    _load(folder)
    _load(folder, **options)
    assert len(decoded) == 10
    assert len(list(cache.iterdir())) == 2


def test_one_changed_file_is_seen(folder, cache, decoded):
    before, _ = _load(folder)
    (folder / "003.png").write_bytes((folder / "001.png").read_bytes())
    after, _ = _load(folder)
    np.testing.assert_array_equal(after[3], before[1])
    assert len(decoded) == 10


@pytest.mark.parametrize("place", [3, 60, 130, 1000, -1, "cut", "longer", "empty"])
def test_a_damaged_file_is_made_anew_with_a_warning(folder, cache, caplog, place):
    images, _ = _load(folder)
    images = np.array(images)
    (file,) = cache.iterdir()
    raw = bytearray(file.read_bytes())
    if isinstance(place, int):
        raw[place] ^= 1
    file.write_bytes({"cut": raw[:2000], "longer": raw + b"1", "empty": b""}.get(place, raw))
    again, _ = _load(folder)
    np.testing.assert_array_equal(again, images)
    assert f"{file} is damaged and made anew: " in caplog.text
    caplog.clear()
    _load(folder)
    assert not caplog.text


def test_without_a_place_to_keep_them_they_are_held_in_memory(folder, cache, caplog):
    expected = np.array(_load(folder)[0])
    shutil.rmtree(cache)
    cache.write_text("a file")
    images, _ = _load(folder)
    np.testing.assert_array_equal(images, expected)
    assert "the images of train cannot be kept for the next run: " in caplog.text


def test_nothing_is_left_of_a_set_that_is_refused(folder, cache):
    (folder / "003.png").write_bytes(b"no")
    with pytest.raises(ValueError, match="003.png: it is no picture"):
        _load(folder)
    assert list(cache.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_nothing_else(folder, cache):
    now = time.time()
    halves = {}
    for name, age in ((".tmpdead/" + "0" * 64, 4000), (".tmplive/" + "1" * 64, 3000), (".mine/array", 4000)):
        halves[name] = cache / f"{name}.npy"
        halves[name].parent.mkdir(parents=True)
        halves[name].write_bytes(b"half")
        os.utime(halves[name], (now - age, now - age))
    _load(folder)
    assert [half.is_file() for half in halves.values()] == [False, True, True]
    assert not (cache / ".tmpdead").exists()


def test_the_place_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("BGINV_CACHE", "~/mine")
    assert pictures.cache_folder() == tmp_path / "mine"
    monkeypatch.setenv("BGINV_CACHE", "~nobody_of_that_name/mine")
    with pytest.raises(InputError, match=r"^\$BGINV_CACHE is '~nobody_of_that_name/mine'; expected ~ or the ~NAME of"):
        pictures.cache_folder()
    monkeypatch.delenv("BGINV_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert pictures.cache_folder() == tmp_path / ".cache" / "bginv_jax"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert pictures.cache_folder() == tmp_path / "x" / "bginv_jax"


@pytest.mark.parametrize("within", [".", "in", "in/it"])
def test_a_place_that_cannot_be_reached_is_none(folder, cache, monkeypatch, caplog, within):
    monkeypatch.setenv("BGINV_CACHE", str(cache / within))
    real = Path.stat

    def stat(path, **options):  # as where only others may enter; root may
        if cache in path.parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, **options)

    expected, _ = _load(folder)
    shutil.rmtree(cache)
    cache.write_text("a file")
    monkeypatch.setattr(Path, "stat", stat)  # after what stands there cannot be entered by root either
    images, _ = _load(folder)
    np.testing.assert_array_equal(images, expected)
    assert "cannot be kept for the next run" in caplog.text


def test_a_file_that_is_written_while_it_is_read_is_not_kept(folder, cache, monkeypatch):
    def read(path):
        if path.name == "002.png":  # at once, since another thread may be reading it
            os.replace(shutil.copy(folder / "004.png", folder.parent / "new.png"), folder / "003.png")
        return reading.read_picture(path)

    monkeypatch.setattr(pictures, "read_picture", read)
    with pytest.raises(InputError, match=r"003.png was written while it was read; expected a folder that stays"):
        _load(folder)
    assert list(cache.iterdir()) == []
