"""Every still format becomes upright RGB of known numbers."""

import concurrent.futures
import io
import struct
import time

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from bginv_jax.errors import InputError
from bginv_jax.images import colours, reading
from bginv_jax.images.reading import read_picture
from tests.images.png_files import png

ROWS = [[[200, 100, 50], [10, 240, 30], [60, 70, 250]], [[0, 0, 0], [255, 255, 255], [90, 90, 90]]]
COLOURS = np.array(ROWS, np.uint8)
BLOCKS = COLOURS.repeat(16, axis=0).repeat(16, axis=1)  # for JPEG, which mixes neighbours; 32x48
GREYS = np.arange(256, dtype=np.uint8).reshape(16, 16)
WORDS = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)  # 257 times GREYS


def _read(path, image, **options):
    image.save(path, **options)
    return read_picture(path)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "tga", "ppm", "pcx", "qoi", "sgi", "PNG", "jp2"])
def test_formats_without_loss_give_the_very_colours(tmp_path, suffix):
    picture = _read(tmp_path / f"a.{suffix}", Image.fromarray(BLOCKS))
    np.testing.assert_array_equal(picture, BLOCKS)
    assert picture.dtype == np.uint8
    assert picture.flags.writeable


@pytest.mark.parametrize("suffix", ["jpg", "jfif", "webp"])
def test_formats_with_loss_give_them_nearly(tmp_path, suffix):
    picture = _read(tmp_path / f"a.{suffix}", Image.fromarray(BLOCKS), quality=100)
    assert picture.shape == BLOCKS.shape
    assert np.abs(picture.astype(int) - BLOCKS)[8::16, 8::16].max() <= 4


def test_the_content_counts_not_the_suffix(tmp_path):
    np.testing.assert_array_equal(_read(tmp_path / "a.jpg", Image.fromarray(BLOCKS), format="PNG"), BLOCKS)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize(("orientation", "turns", "mirrored"), [(1, 0, 0), (2, 0, 1), (3, 2, 0), (6, 3, 0), (8, 1, 0)])
def test_orientation_is_applied_once(tmp_path, suffix, compression, orientation, turns, mirrored):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"compression": compression} if suffix == "tif" else {"quality": 100}
    picture = _read(tmp_path / f"a.{suffix}", Image.fromarray(BLOCKS), exif=exif, **options)
    expected = np.rot90(BLOCKS[:, ::-1] if mirrored else BLOCKS, turns)
    assert picture.shape == expected.shape
    assert np.abs(picture.astype(int) - expected)[8::16, 8::16].max() <= 4


def test_damaged_exif_does_not_matter(tmp_path):
    picture = _read(tmp_path / "a.png", Image.fromarray(BLOCKS), exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff damaged")
    np.testing.assert_array_equal(picture, BLOCKS)


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_is_not_inverted(tmp_path, suffix):
    inks = np.zeros((16, 64, 4), np.uint8)
    for i in range(4):  # cyan, magenta, yellow, black
        inks[:, 16 * i : 16 * i + 16, i] = 255
    options = {"quality": 100} if suffix == "jpg" else {}
    picture = _read(tmp_path / f"a.{suffix}", Image.fromarray(inks, "CMYK"), **options)
    expected = [[0, 255, 255], [255, 0, 255], [255, 255, 0], [0, 0, 0]]
    assert np.abs(picture[8, 8::16].astype(int) - expected).max() <= 6


def test_ycck_is_not_inverted(tmp_path):
    no_red = Image.new("YCbCr", (16, 16), Image.new("RGB", (1, 1), (55, 195, 215)).convert("YCbCr").getpixel((0, 0)))
    bands = [band.point(lambda value: 255 - value) for band in no_red.split()]
    data = io.BytesIO()  # Pillow inverts what it writes: Y, Cb, Cr and 255 stand in the file, as Photoshop has red
    Image.merge("CMYK", (*bands, Image.new("L", (16, 16)))).save(data, "JPEG", quality=100)
    content = bytearray(data.getvalue())
    content[content.index(b"Adobe") + 11] = 2  # YCCK
    (tmp_path / "a.jpg").write_bytes(content)
    assert np.abs(read_picture(tmp_path / "a.jpg")[8, 8].astype(int) - [200, 60, 40]).max() <= 4


def _screen_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _ink_profile() -> bytes:
    """A profile of CMYK for which cyan is a middle grey, and the other inks are black."""
    lab = np.zeros((2, 2, 2, 2, 3), np.uint8)
    lab[..., 1:] = 128
    lab[0, 0, 0, 0, 0], lab[1, 0, 0, 0, 0] = 255, round(2.55 * 50)
    ramp = bytes(range(256))
    identity = struct.pack(">9i", *(0x10000 * np.eye(3, dtype=int)).flat)
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + 4 * ramp + lab.tobytes() + 3 * ramp
    white = struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    tags = struct.pack(">I4sII", 1, b"A2B0", 144, len(table))
    header = struct.pack(">I4sI4s4s4s12s4s", 144 + len(table), b"", 0x02400000, b"prtr", b"CMYK", b"Lab ", b"", b"acsp")
    return (header + bytes(28) + white).ljust(128, b"\0") + tags + table


@pytest.mark.parametrize(("suffix", "options"), [("jpg", {"quality": 100}), ("tif", {})])
def test_cmyk_follows_a_sound_profile(tmp_path, suffix, options):
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    picture = _read(tmp_path / f"a.{suffix}", cyan, icc_profile=_ink_profile(), **options)
    assert np.abs(picture[8, 8].astype(int) - 119).max() <= 4  # L = 50 in sRGB
    for unsound in (b"no profile", _ink_profile()[:200], _screen_profile()):
        picture = _read(tmp_path / f"a.{suffix}", cyan, icc_profile=unsound, **options)
        assert np.abs(picture[8, 8].astype(int) - [0, 255, 255]).max() <= 4


def test_a_profile_leaves_the_numbers_of_rgb(tmp_path):
    picture = _read(tmp_path / "a.png", Image.fromarray(BLOCKS), icc_profile=_screen_profile())
    np.testing.assert_array_equal(picture, BLOCKS)


def test_grey_one_bit_and_palettes(tmp_path):
    grey = GREYS[..., None].repeat(3, axis=-1)
    np.testing.assert_array_equal(_read(tmp_path / "a.png", Image.fromarray(GREYS)), grey)
    one_bit = np.where(grey > 127, 255, 0)
    for suffix in ("png", "tif", "bmp", "msp"):
        np.testing.assert_array_equal(_read(tmp_path / f"b.{suffix}", Image.fromarray(GREYS > 127)), one_bit)
    paletted = Image.fromarray(COLOURS).quantize(6)
    for suffix in ("png", "gif", "bmp", "tif"):
        np.testing.assert_array_equal(_read(tmp_path / f"c.{suffix}", paletted), paletted.convert("RGB"))


def test_what_is_transparent_lies_over_white_or_a_colour_that_is_named(tmp_path):
    image = Image.fromarray(np.array([[[200, 100, 50, 255], [200, 100, 50, 0], [200, 100, 50, 51]]], np.uint8), "RGBA")
    for suffix in ("png", "tif"):
        over_white = _read(tmp_path / f"a.{suffix}", image)
        np.testing.assert_array_equal(over_white, [[[200, 100, 50], [255, 255, 255], [244, 224, 214]]])
    over_blue = read_picture(tmp_path / "a.png", behind=(0, 0, 250))
    np.testing.assert_array_equal(over_blue, [[[200, 100, 50], [0, 0, 250], [40, 20, 210]]])
    grey = Image.fromarray(np.array([[[80, 255], [80, 0], [80, 51]]], np.uint8), "LA")
    np.testing.assert_array_equal(_read(tmp_path / "b.png", grey)[..., 0], [[80, 255, 220]])


def test_transparent_palettes(tmp_path):
    paletted = Image.new("P", (3, 1))
    paletted.putpalette([200, 100, 50, 10, 240, 30, 60, 70, 250])
    paletted.putdata([0, 1, 2])
    expected = [[[200, 100, 50], [255, 255, 255], [60, 70, 250]]]
    for suffix in ("png", "gif"):
        np.testing.assert_array_equal(_read(tmp_path / f"a.{suffix}", paletted, transparency=1), expected)
    partly = _read(tmp_path / "b.png", paletted, transparency=bytes([255, 0, 51]))
    np.testing.assert_array_equal(partly, [[[200, 100, 50], [255, 255, 255], [216, 218, 254]]])


@pytest.mark.parametrize(
    ("bits", "colour", "row", "key", "expected"),
    [
        (8, 0, bytes([7, 8]), [7], [[255] * 3, [8] * 3]),
        (1, 0, bytes([0b01000000]), [0], [[255] * 3, [255] * 3]),
        (2, 0, bytes([0b01100000]), [1], [[255] * 3, [170] * 3]),
        (4, 0, bytes([0x3A]), [3], [[255] * 3, [170] * 3]),
        (16, 0, struct.pack(">2H", 771, 25700), [771], [[255] * 3, [100] * 3]),
        (8, 2, bytes([1, 2, 3, 1, 2, 4]), [1, 2, 3], [[255] * 3, [1, 2, 4]]),
        (16, 2, struct.pack(">6H", 1000, 2000, 3000, 257, 514, 1028), [1000, 2000, 3000], [[255] * 3, [1, 2, 4]]),
    ],
)
def test_one_transparent_colour_of_any_depth(tmp_path, bits, colour, row, key, expected):
    content = png(2, 1, bits, colour, b"\0" + row, key=struct.pack(f">{len(key)}H", *key))
    (tmp_path / "a.png").write_bytes(content)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), [expected])


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm", "jp2"])
def test_sixteen_bits_are_scaled(tmp_path, suffix):
    np.testing.assert_array_equal(_read(tmp_path / f"a.{suffix}", Image.fromarray(WORDS))[..., 1], GREYS)


@pytest.mark.parametrize(
    ("values", "options"),
    [
        (WORDS.astype(">u2"), {"byteorder": ">"}),
        (65535 - WORDS, {"photometric": "miniswhite"}),
        (WORDS.astype(np.uint32) * 65537, {}),  # more than int32 holds
        (WORDS.astype(np.int32), {}),
        (WORDS.astype(np.int32) * 1000 - 1000 * 32768, {}),
        ((WORDS // 2).astype(np.int16), {}),
        ((WORDS.astype(np.int32) - 32768).astype(np.int16), {}),
        (WORDS.astype(np.float32) / 65535, {}),
        (GREYS.astype(np.float32), {}),
        (GREYS.astype(np.float32) * np.float32(1e36), {}),
        (GREYS / np.float32(127.5) - 1, {}),
        (1 - GREYS / np.float32(255), {"photometric": "miniswhite"}),
    ],
)
def test_numbers_of_every_kind_are_scaled_and_not_clipped(tmp_path, values, options):
    tifffile.imwrite(tmp_path / "a.tif", values, **options)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif"), GREYS[..., None].repeat(3, axis=-1))


def test_what_is_not_a_number_is_black(tmp_path):
    values = np.array([[np.nan, np.inf, -np.inf, 0.2]], np.float32)
    tifffile.imwrite(tmp_path / "a.tif", values)
    assert read_picture(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 255, 0, 51]


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0), (0.4, 102), (7.0, 255)])
def test_a_picture_of_one_value_is_scaled_too(tmp_path, value, expected):
    tifffile.imwrite(tmp_path / "a.tif", np.full((4, 4), value, np.float32))
    assert (read_picture(tmp_path / "a.tif") == expected).all()


def test_sixteen_bits_of_colour_are_scaled(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", COLOURS.astype(np.uint16) * 257, photometric="rgb")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif"), COLOURS)


def test_lab_is_converted(tmp_path):
    soft = COLOURS[:, [0, 2]]  # in eight bits, LAB is coarse at the strong green
    picture = _read(tmp_path / "a.tif", Image.fromarray(soft).convert("LAB"))
    assert np.abs(picture.astype(int) - soft).max() <= 6


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "CMYK", "RGBX", "RGBA", "RGBa"])
def test_what_only_some_formats_hold_is_converted(mode):
    rgb = colours.as_rgb(Image.fromarray(COLOURS).convert(mode), behind=reading.WHITE)
    assert np.abs(np.asarray(rgb).astype(int) - COLOURS).max() <= 4


def test_premultiplied_grey_is_converted():
    image = Image.fromarray(np.array([[[80, 255], [80, 51]]], np.uint8), "LA").convert("La")
    assert np.asarray(colours.as_rgb(image, behind=reading.WHITE))[0, :, 0].tolist() == [80, 220]


def test_a_phones_picture_with_a_preview_beside_it_is_a_still(tmp_path):
    beside = Image.new("RGB", (12, 8))
    picture = _read(tmp_path / "a.jpg", Image.fromarray(BLOCKS), format="MPO", save_all=True, append_images=[beside])
    assert picture.shape == BLOCKS.shape
    with Image.open(tmp_path / "a.jpg") as image:
        assert (image.format, image.n_frames) == ("MPO", 2)


@pytest.mark.parametrize("steps", [(1, 2, 4), (2, 1), (4, 2, 1)])
def test_a_smaller_copy_in_a_tiff_is_no_page(tmp_path, steps):
    with tifffile.TiffWriter(tmp_path / "a.tif") as pages:
        for step in steps:
            pages.write(BLOCKS[::step, ::step], subfiletype=int(step > 1))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif"), BLOCKS)


@pytest.mark.parametrize(("bits", "planar", "reason"), [(16, 2, "separate planes"), (16, 1, ""), (8, 2, "")])
def test_deep_colours_in_separate_planes_are_refused(tmp_path, bits, planar, reason):
    pixels = np.random.RandomState(0).randint(0, 2**bits, (20, 30, 3)).astype(f"uint{bits}")
    stored = pixels if planar == 1 else pixels.transpose(2, 0, 1)
    order = "contig" if planar == 1 else "separate"
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=order)
    if reason:
        with pytest.raises(InputError, match=reason):
            reading.read_picture(tmp_path / "a.tif")
    else:
        np.testing.assert_allclose(reading.read_picture(tmp_path / "a.tif"), pixels / 2.0 ** (bits - 8), atol=1.01)


def test_threads_decode_so_many_pixels_at_once_and_no_more():
    budget, held, most = reading._Budget(10), [0], []

    def hold(amount):
        with budget.taking(amount):
            held[0] += min(amount, 10)
            most.append(held[0])
            time.sleep(0.002)
            held[0] -= min(amount, 10)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(hold, [3, 4, 25, 1, 10, 2, 6, 3] * 4))  # 25 is more than all of it
    assert len(most) == 32
    assert max(most) == 10
    with pytest.raises(ValueError, match="x"), budget.taking(10):
        raise ValueError("x")
    with budget.taking(10):
        pass
