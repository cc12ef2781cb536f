"""A folder of photographs of any size and colour becomes one array; what is wrong is named."""

import numpy as np
import pytest
from skimage import io

from bginv_jax.backgrounds import photographs as pictures


@pytest.fixture
def folder(tmp_path):
    left_half = np.zeros((40, 80, 3), np.uint8)
    left_half[:, :40] = (200, 100, 50)
    io.imsave(tmp_path / "a.png", left_half, check_contrast=False)
    io.imsave(tmp_path / "b.PNG", np.full((90, 30), 128, np.uint8), check_contrast=False)
    io.imsave(tmp_path / "c.png", np.full((64, 64, 4), 77, np.uint8), check_contrast=False)
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
    assert (squares[2] == 77).all()


def test_one_channel_is_luminance(folder):
    squares = pictures.load_photographs(folder, size=8, channels=1)
    assert squares.shape == (3, 32, 32, 1)
    assert squares[0, 5, 2, 0] == round(0.2125 * 200 + 0.7154 * 100 + 0.0721 * 50)


def test_an_empty_folder_and_a_damaged_file_are_named(folder, tmp_path):
    with pytest.raises(ValueError, match="config.background.photographs is '/nowhere'; expected a folder"):
        pictures.load_photographs("/nowhere", size=8, channels=1)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 half a photograph")
    with pytest.raises(ValueError, match=r"broken.jpg: .*; expected a photograph, JPEG or PNG"):
        pictures.load_photographs(folder, size=8, channels=1)
