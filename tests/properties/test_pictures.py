"""Pictures of every kind that Pillow opens, damaged, and what merely begins as one."""

import io
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bginv_jax.images.reading import MOST_PIXELS, read_picture
from tests.properties.cases import attempt, times
from tests.properties.damage import any_bytes

# The first bytes of kinds that Pillow opens and does not write, or writes otherwise.
_BEGINNINGS = (
    *(b"8BPS\0\1\0\0\0\0\0\0\0\3\0\0\0\4\0\0\0\4\0\x08\0\3", b"\x59\xa6\x6a\x95\0\0\0\4\0\0\0\4\0\0\0\x18\0\0\0\x30"),
    *(b'/* XPM */\nstatic char *x[] = {\n"4 4 2 1",\n', b"SIMPLE  =                    T", b"\0\0\2\0\1\0\4\4\0\0"),
    *(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", b"\xb1\x68\xde\x3a", b"FTEX\0\1\0\0"),
    *(b"\0\0\0\x1c\0\0\0\2\0\0\0\4\0\0\0\4\0\0\0\3GIMP", b"icns\0\0\0\x40ic07", b"qoif\0\0\0\4\0\0\0\4\3\0", b"BLP2"),
    *(
        b"\0\0\0\x0cjP  \r\n\x87\n",
        b"\xff\x4f\xff\x51\0\x2f",
        b"\0\0\0\x1cftypavif",
        b"RIFF\x40\0\0\0WEBPVP8X",
        b"GIF89a",
    ),
    *(
        b"II*\0\x08\0\0\0\1\0",
        b"MM\0+\0\x08\0\0",
        b"P6 4 4 255\n",
        b"P3 4 4 255\n",
        b"Pf\n4 4\n-1.0\n",
        b"\x01\xda\1\1",
    ),
    *(b"PCD_OPA", b"\x0a\5\1\x08", b"Image type: ", b"#define im_width 4\n#define im_height 4\n", b"\xd7\xcd\xc6\x9a"),
)


def _sound() -> list[bytes]:
    """A small picture of every kind that Pillow writes, in several modes."""
    random = np.random.RandomState(0)
    colour = Image.fromarray(random.randint(0, 256, (12, 10, 3)).astype(np.uint8))
    Image.init()
    found = []
    for kind in sorted(set(Image.SAVE) - {"PDF", "HDF5", "GRIB", "BUFR", "WMF", "EPS", "PALM"}):
        for mode in ("RGB", "L", "P", "1", "RGBA", "CMYK", "I;16", "F"):
            stream = io.BytesIO()
            try:
                image = colour.convert("L").convert(mode) if mode == "I;16" else colour.convert(mode)
                image.save(stream, kind)
            except Exception:  # not every kind has every mode
                continue
            found.append(stream.getvalue())
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "tiff_ccitt"):
        stream = io.BytesIO()
        colour.convert("1" if "ccitt" in compression else "RGB").save(stream, "TIFF", compression=compression)
        found.append(stream.getvalue())
    return found


@pytest.fixture(scope="module")
def originals():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _sound()


def _read(kind, path, content):
    path.write_bytes(content)
    picture = attempt(kind, lambda: read_picture(path), names=path.name)
    if picture is not None:
        assert picture.dtype == np.uint8
        assert picture.ndim == 3
        assert picture.shape[2] == 3
        assert 0 < picture[..., 0].size <= MOST_PIXELS


@given(st.data())
@times(4)
def test_any_bytes(folder, originals, data):
    _read("pictures, any bytes", folder / "any.png", data.draw(any_bytes(originals)))


@given(st.sampled_from(_BEGINNINGS), st.binary(max_size=300))
@times(1)
def test_what_merely_begins_as_one(folder, beginning, rest):
    _read("pictures, any beginning", folder / "any.jpg", beginning + rest)
