"""Masks as tints, captions in many scripts, thumbnails."""

import io

import numpy as np
import pytest
from PIL import Image

from bginv_jax.evaluation import overlay

IMAGE = np.full((32, 32, 1), 200, np.uint8)
MASK = np.zeros((32, 32, 1), np.float32)
MASK[8:24, 8:24] = 0.9


def test_what_the_mask_takes_for_background_is_dark_and_the_object_outlined():
    picture = np.asarray(overlay.tint(IMAGE, MASK, side=256))
    assert picture.shape == (256, 256, 3)
    assert picture[4, 4].tolist() == [70] * 3
    assert picture[128, 128].tolist() == [200] * 3
    outlined = (picture == overlay._OUTLINE).all(axis=-1)
    rows, columns = np.nonzero(outlined)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (64, 191, 64, 191)
    assert not outlined[70:180, 70:180].any()


@pytest.mark.parametrize(
    ("shape", "size"), [((32, 32, 1), (256, 256)), ((224, 224, 3), (448, 448)), ((12, 30, 3), (270, 108))]
)
def test_without_a_mask_it_is_enlarged_by_a_whole_factor(shape, size):
    image = np.random.RandomState(0).randint(0, 255, shape).astype(np.uint8)
    picture = overlay.tint(image, None, side=256)
    assert picture.size == size
    factor = size[0] // shape[1]
    np.testing.assert_array_equal(np.asarray(picture)[::factor, ::factor], np.broadcast_to(image, (*shape[:2], 3)))


@pytest.mark.parametrize("text", ["seven 98.7 %", "Straße é", "Ελληνικά", "кошка", "חתול", "قطة"])
def test_captions_have_glyphs_in_many_scripts(text):
    drawn = np.asarray(overlay.draw(IMAGE, None, text).convert("L"))[256:]
    missing = np.asarray(overlay.draw(IMAGE, None, "\U0010fffd" * len(text)).convert("L"))[256:]
    assert (drawn < 128).sum() > 20
    assert (drawn != missing).any()


def test_long_captions_are_cut_before_their_end_and_lines_are_joined():
    line = overlay._fitting("a\nb\t" + "word " * 100 + "97.3 %", 200)
    assert line.startswith("a b word")
    assert line.endswith("…d 97.3 %")  # the probability, whole
    assert overlay._font().getlength(line) <= 200
    assert overlay._fitting("short", 200) == "short"


def test_thumbnails_are_small_jpegs():
    noise = np.random.RandomState(0).randint(0, 255, (224, 224, 3)).astype(np.uint8)
    content = overlay.thumbnail(noise, None)
    assert Image.open(io.BytesIO(content)).size == (96, 96)
    assert Image.open(io.BytesIO(content)).format == "JPEG"
    assert len(content) < 8000
