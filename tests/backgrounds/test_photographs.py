"""A folder of photographs of any size and colour becomes one array; what is wrong is named."""

import numpy as np
import pytest
from PIL import Image

from bginv_jax.backgrounds import families
from bginv_jax.backgrounds import photographs as pictures
from bginv_jax.images import reading


@pytest.fixture
def folder(tmp_path):
    left_half = np.zeros((40, 80, 3), np.uint8)
    left_half[:, :40] = (200, 100, 50)
    Image.fromarray(left_half).save(tmp_path / "a.png")
    Image.fromarray(np.full((90, 30), 128, np.uint8)).save(tmp_path / "b.PNG")
    Image.fromarray(np.full((64, 64, 4), 77, np.uint8)).save(tmp_path / "c.png")
    (tmp_path / "notes.txt").write_text("not a photograph")
    return tmp_path


def test_colours_and_the_middle_square(folder):
    squares = pictures.load_photographs(folder, size=8, channels=3)
    assert squares.shape == (3, 32, 32, 3)
    assert squares.dtype == np.uint8
    assert squares[0, 5, 2].tolist() == [200, 100, 50]  # the square from 20 to 60 of 80: half of it coloured
    assert squares[0, 5, -2].tolist() == [0, 0, 0]
    assert abs(squares[0].mean() - (200 + 100 + 50) / 6) < 4
    assert (squares[1] == 128).all()
    assert (squares[2] == 201).all()  # 77 of 255 before white: 77 * 77 / 255 + 255 - 77


def test_one_channel_is_luminance(folder):
    squares = pictures.load_photographs(folder, size=8, channels=1)
    assert squares.shape == (3, 32, 32, 1)
    assert squares[0, 5, 2, 0] == round(0.2125 * 200 + 0.7154 * 100 + 0.0721 * 50)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3001), (3001, 1), (3, 701)])
def test_the_smallest_and_the_longest_photographs_work(tmp_path, shape):
    grey = np.full(shape, 30, np.uint8)
    grey[tuple(slice((side - min(shape)) // 2, (side + min(shape)) // 2) for side in shape)] = 60  # the middle square
    Image.fromarray(grey).save(tmp_path / "a.png")
    squares = pictures.load_photographs(tmp_path, size=4, channels=3)
    assert squares.shape == (1, 16, 16, 3)
    assert (squares == 60).all()


def test_a_large_photograph_is_halved_first_and_looks_the_same(tmp_path, monkeypatch):
    random = np.random.RandomState(0)
    smooth = Image.fromarray(random.randint(0, 256, (6, 7, 3), np.uint8)).resize((420, 360), Image.Resampling.BICUBIC)
    smooth.save(tmp_path / "a.png")
    whole = pictures.load_photographs(tmp_path, size=8, channels=3)
    monkeypatch.setattr(pictures, "_LARGE", 100)
    reduced = pictures.load_photographs(tmp_path, size=8, channels=3)
    assert (reduced != whole).any()
    assert np.abs(reduced.astype(int) - whole).max() <= 3


def test_an_empty_folder_and_a_damaged_file_are_named(folder):
    with pytest.raises(ValueError, match="config.background.photographs is '/nowhere'; expected a folder"):
        pictures.load_photographs("/nowhere", size=8, channels=1)
    with pytest.raises(ValueError, match="--photographs is '/nowhere'; expected a folder"):
        pictures.load_photographs("/nowhere", size=8, channels=1, field="--photographs")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 half a photograph")
    with pytest.raises(ValueError, match=r"broken.jpg: .*; expected a still picture"):
        pictures.load_photographs(folder, size=8, channels=1)


def test_photographs_are_read_one_at_a_time_as_often_as_asked(folder, monkeypatch):
    read = []
    monkeypatch.setattr(pictures, "read_picture", lambda path: read.append(path.name) or reading.read_picture(path))
    photographs = pictures.read_photographs(folder)
    assert len(photographs) == 3
    assert read == []
    iterator = iter(photographs)
    assert next(iterator).shape == (40, 80, 3)
    assert read == ["a.png"]
    assert [picture.shape for picture in photographs] == [(40, 80, 3), (90, 30, 3), (64, 64, 3)]
    assert read == ["a.png", "a.png", "b.PNG", "c.png"]


def test_a_photograph_that_is_too_small_is_named(folder):
    photographs = pictures.read_photographs(folder, smallest=32)
    with pytest.raises(ValueError, match=r"b.PNG has 90x30 pixels; expected at least 32x32"):
        list(photographs)


def test_families_and_images_are_gathered_beside_each_other():
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    gathered = pictures.gather(photographs="", families=("strokes",), images=images, size=8, channels=3)
    assert gathered.shape == (503, 8, 8, 3)
    assert gathered.dtype == np.uint8
    np.testing.assert_array_equal(gathered[500:], images)
    alone = pictures.gather(photographs="", families=(), images=images, size=8, channels=3)
    np.testing.assert_array_equal(alone, images)


def test_half_of_the_families_are_smaller_and_repeated_in_mirrors():
    none = np.zeros((0, 32, 32, 1), np.uint8)
    names = ("strokes", "cells")
    gathered = pictures.gather(photographs="", families=names, images=none, size=32, channels=1, repeats=3)

    def drawn(count, size, seed):
        return np.round(255 * families.draw(names, count, size=size, seed=seed)).astype(np.uint8)

    whole, halves, thirds = np.split(gathered, [500, 750])
    np.testing.assert_array_equal(whole, drawn(250, 32, 0))
    np.testing.assert_array_equal(halves[:, :16, :16], drawn(125, 16, 1))
    np.testing.assert_array_equal(halves[:, 16:, :16], halves[:, 15::-1, :16])
    np.testing.assert_array_equal(halves[:, :, 16:], halves[:, :, 15::-1])
    np.testing.assert_array_equal(thirds[:, :11, :11], drawn(125, 11, 2))
    np.testing.assert_array_equal(thirds[:, 11:22], thirds[:, 10::-1])
    np.testing.assert_array_equal(thirds[:, :, 22:], thirds[:, :, :10])
