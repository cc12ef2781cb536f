"""Backgrounds along a run are read as they were written, and what is no such file is passed over."""

import numpy as np
import pytest
from PIL import Image

from bginv_jax.training import background_strips


@pytest.mark.parametrize("channels", [1, 3])
def test_backgrounds_are_read_as_they_were_written(tmp_path, channels):
    random = np.random.RandomState(0)
    written = {step: random.randint(0, 256, (8, 16, 16, channels), np.uint8) for step in (6, 40, 123456789)}
    for step, backgrounds in written.items():
        background_strips.write(tmp_path, step, backgrounds / np.float32(255))
    read = background_strips.read(tmp_path)
    assert read.keys() == written.keys()
    for step, backgrounds in written.items():
        np.testing.assert_array_equal(read[step], backgrounds[..., 0] if channels == 1 else backgrounds)
        assert read[step].dtype == np.uint8


def test_a_workdir_without_backgrounds_has_none(tmp_path):
    assert background_strips.read(tmp_path) == {}


def test_what_is_no_strip_is_passed_over_with_a_warning(tmp_path, caplog):
    for step in (6, 8):
        background_strips.write(tmp_path, step, np.full((8, 16, 16, 1), step / 255, np.float32))
    folder = tmp_path / "backgrounds"
    strip = (folder / "00000006.png").read_bytes()
    for name in (
        "00000006 (1).png",
        "copy.png",
        "6.png",
        "-0000007.png",
        "\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0667.png",
        "00000007.PNG",
        "notes.txt",
    ):
        (folder / name).write_bytes(strip)
    (folder / "._00000006.png").write_bytes(b"\0\5\x16\7 of a Mac")
    (folder / "00000010.png").write_bytes(strip[: len(strip) // 2])
    (folder / "00000011.png").touch()
    (folder / "00000012.png").mkdir()
    Image.new("L", (32, 32)).save(folder / "00000013.png")  # no eight squares
    Image.new("L", (8 * 4, 4)).save(folder / "00000014.png")  # eight of another size
    read = background_strips.read(tmp_path)
    assert list(read) == [6, 8]
    assert all((backgrounds == step).all() for step, backgrounds in read.items())
    warned = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(warned) == 13
    assert all(record.getMessage().startswith(f"passed over: {folder}/") for record in warned)
    assert "00000010.png: it cannot be decoded" in caplog.text
    assert "00000013.png: it has 32x32 pixels; expected 8 squares in a row" in caplog.text
    assert "00000014.png: its backgrounds have another size than those of most files" in caplog.text
