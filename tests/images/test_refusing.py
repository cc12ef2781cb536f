"""What is no still picture is refused in one line, or passed over; nothing else is said of it, and it takes no time."""

import os
import struct
import subprocess
import time
import warnings

import numpy as np
import pytest
import tifffile
from PIL import Image

from bginv_jax.errors import InputError
from bginv_jax.images import reading
from bginv_jax.images.reading import list_pictures, read_picture
from tests.images.png_files import png

BLOCKS = np.array([[[200, 100, 50], [10, 240, 30], [60, 70, 250]]], np.uint8).repeat(16, axis=0).repeat(16, axis=1)


def _refusal(path) -> str:
    """The message that refuses `path`, which is one line and says what is expected."""
    with pytest.raises(InputError) as caught:
        read_picture(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    assert message.endswith("; expected a still picture that Pillow reads, of at most 175 megapixels")
    return message


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_animations_and_pages_are_refused_and_one_frame_is_not(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    image = Image.fromarray(BLOCKS)
    image.save(path, save_all=True, append_images=[Image.fromarray(255 - BLOCKS)])
    assert f"it has 2 {'pages' if suffix == 'tif' else 'frames'};" in _refusal(path)
    image.save(path, save_all=True)
    assert read_picture(path).shape == BLOCKS.shape


@pytest.mark.parametrize(("width", "height"), [(15000, 13000), (17501, 10000), (10000, 17501), (400000, 400000)])
def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, width, height):
    path = tmp_path / "a.png"
    path.write_bytes(png(width, height, 8, 2))
    assert "pixels" in _refusal(path)


def test_a_hundred_megapixels_are_read(tmp_path):
    path = tmp_path / "a.png"
    Image.new("1", (20000, 5000), 1).save(path)
    picture = read_picture(path)
    assert picture.shape == (5000, 20000, 3)
    assert picture[::999, ::999].min() == 255


FORMATS = ("jpg", "png", "webp", "bmp", "tif", "gif", "tga", "ppm", "ico", "qoi", "avif", "jp2")


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("share", [0.03, 0.5, 0.9])
def test_half_a_file_is_refused(tmp_path, suffix, share):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.random.RandomState(0).randint(0, 256, (64, 64, 3), np.uint8)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    _refusal(path)


def test_what_is_no_picture_is_refused(tmp_path):
    path = tmp_path / "a.jpg"
    path.touch()
    assert "it is empty" in _refusal(path)
    resource_fork = b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(200)
    for content in (b"hello\nworld", resource_fork, b"\xff\xd8\xff\xe0", bytes(50)):
        path.write_bytes(content)
        assert "it is no picture, or a damaged one" in _refusal(path)
    path.write_bytes(b"GRIB\0\0\0\1" + bytes(100))  # data that Pillow knows by name only
    _refusal(path)
    assert "it is a folder" in _refusal(tmp_path)
    assert "No such file or directory" in _refusal(tmp_path / "missing.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "it is a pipe or a device" in _refusal(tmp_path / "pipe.jpg")


def test_a_name_of_several_lines_is_refused_in_one(tmp_path):
    with pytest.raises(InputError, match=r"a\\nb.jpg': No such file") as caught:
        read_picture(tmp_path / "a\nb.jpg")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (MemoryError(), "there is not enough memory for it"),
        (RuntimeError("two\n  lines"), "it cannot be decoded (two lines)"),
        (EOFError(), "it cannot be decoded (EOFError)"),
    ],
)
def test_whatever_is_raised_below_becomes_one_line(tmp_path, monkeypatch, error, words):
    def fail(_, **_options):
        raise error

    path = tmp_path / "a.png"
    Image.fromarray(BLOCKS).save(path)
    monkeypatch.setattr(reading.Image, "open", fail)
    assert f": {words};" in _refusal(path)


def test_nothing_is_printed(tmp_path, capfd, caplog):
    damaged = tmp_path / "a.tif"
    tifffile.imwrite(damaged, np.random.RandomState(0).randint(0, 256, (200, 200), np.uint8), compression="zlib")
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 255  # libtiff would print of it
    damaged.write_bytes(content)
    many = tmp_path / "b.tif"
    layers = BLOCKS[..., [0, 1, 2, 0, 1, 2, 0]]
    tifffile.imwrite(many, layers, photometric="rgb", planarconfig="contig", extrasamples=4 * [0])
    large = tmp_path / "c.png"
    Image.new("1", (10000, 9500)).save(large)  # Pillow would warn
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _refusal(damaged)
        _refusal(many)
        assert read_picture(large).shape == (9500, 10000, 3)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    os.write(2, b"standard error is back")
    assert capfd.readouterr().err == "standard error is back"


PICTURES = ("b.jpg", "A.PNG", "c.WebP", "d.tiff", "e.gif", "f.jfif", "фото.jpeg", "g.mpo", "写真.bmp", "with space.JPG")
HIDDEN = (".hidden.jpg", "._b.jpg", ".DS_Store")
OTHERS = ("Thumbs.db", "desktop.ini", "notes.txt", "film.mpg", "table.h5", "page.pdf", "none")


def test_the_pictures_of_a_folder_are_found_and_the_rest_is_passed_over(tmp_path, caplog):
    for name in PICTURES + HIDDEN + OTHERS:
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    caplog.set_level("INFO", "bginv_jax")
    assert [path.name for path in list_pictures(tmp_path, field="--photographs")] == sorted(PICTURES)
    assert "10 pictures; other files passed over: 7 (" in caplog.text


def test_a_folder_without_pictures_is_refused_with_the_field(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").touch()
    for folder, reason in (
        (empty, "it holds no file whose name ends as a picture's"),
        (tmp_path / "missing", "No such file or directory"),
        (empty / "notes.txt", "Not a directory"),
        ("~nobody-of-this-name/photos", "Could not determine home directory"),
    ):
        with pytest.raises(InputError) as caught:
            list_pictures(folder, field="config.background.photographs")
        message = str(caught.value)
        assert message.startswith(f"config.background.photographs is {str(folder)!r}; expected a folder with pictures")
        assert reason in message
        assert "\n" not in message


def test_postscript_is_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    Image.fromarray(BLOCKS).save(tmp_path / "a.eps")
    for name in ("a.eps", "a.png"):
        (tmp_path / "a.eps").replace(tmp_path / name) if name == "a.png" else None
        assert "it is no picture" in _refusal(tmp_path / name)


def test_a_tiff_of_a_million_pages_is_refused_at_once(tmp_path):
    count = 100_000
    entry = 18  # bytes: a page of one tag
    pages = b"".join(
        struct.pack("<HHHIII", 1, 256, 4, 1, 4, 8 + entry * (i + 1) if i < count - 1 else 0) for i in range(count)
    )
    (tmp_path / "a.tif").write_bytes(b"II*\0" + struct.pack("<I", 8) + pages)
    start = time.perf_counter()
    _refusal(tmp_path / "a.tif")
    assert time.perf_counter() - start < 2


def test_a_tiff_of_many_whole_pages_is_refused_at_once(tmp_path):
    page = Image.fromarray(BLOCKS)
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page] * 150)
    assert "it has more than 100 pages" in _refusal(tmp_path / "a.tif")
