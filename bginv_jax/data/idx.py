"""IDX, the format of MNIST's original files: images and labels of unsigned bytes, raw or gzipped."""

import gzip
import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from bginv_jax.errors import InputError, MissingDataError

_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_UNSIGNED_BYTE = 0x08  # the only IDX type that holds images
_MOST_DEFLATED = 1032  # bytes out of one; what deflate can do at best
_LIKELY_DEFLATED = 100  # and what it does with images at best; more is made to fill the memory
_HARMLESS = 2**28  # bytes, however they were deflated
_READ_TOGETHER = 2**24  # bytes; a file that is opened takes the memory for all that it is asked for


def _read(path: Path, dimensions: tuple[int, ...]) -> np.ndarray:
    """Reads an IDX file of unsigned bytes, raw or gzipped, with one of the given numbers of dimensions.

    Format: two zero bytes, the type, the number of dimensions, each dimension as a big-endian 32-bit integer, the data.
    """
    try:
        with open(path, "rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            with gzip.open(file) if zipped else file as content:
                return _parse(content, path, dimensions, zipped=zipped)
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path}: {error}; expected a whole IDX file, raw or gzipped") from error


def _parse(content: io.BufferedIOBase, path: Path, dimensions: tuple[int, ...], *, zipped: bool) -> np.ndarray:
    """The array in an open IDX file, of which no more is read, nor memory taken, than its header and size allow."""
    start = content.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] != _UNSIGNED_BYTE or start[3] not in dimensions:
        expected = " or ".join(f"00 00 08 {count:02x}" for count in dimensions)
        raise InputError(f"{path}: starts with {start.hex(' ') or 'nothing'}; expected {expected}, unsigned bytes")
    header = 4 + 4 * start[3]
    sizes = content.read(header - 4)
    if len(sizes) < header - 4:
        raise InputError(f"{path}: {4 + len(sizes)} bytes; expected a header of {header}")
    shape = struct.unpack(f">{start[3]}I", sizes)
    expected = math.prod(shape)
    size = path.stat().st_size
    if zipped and expected > _MOST_DEFLATED * size:
        raise InputError(f"{path}: {size} bytes, gzipped; too few to hold {expected} for the shape {shape}")
    if zipped and expected > max(_HARMLESS, _LIKELY_DEFLATED * size):
        raise InputError(f"{path}: {size} bytes, gzipped, that hold {expected}; expected images or labels")
    if not zipped and size - header != expected:
        raise InputError(f"{path}: {size - header} bytes of data; expected {expected} for the shape {shape}")
    data = bytearray()
    while len(data) < expected and (more := content.read(min(_READ_TOGETHER, expected - len(data)))):
        data += more
    if len(data) < expected:
        raise InputError(f"{path}: {len(data)} bytes of data; expected {expected} for the shape {shape}")
    if content.read(1):  # which also lets gzip compare its checksum
        raise InputError(f"{path}: more than {expected} bytes of data; expected {expected} for the shape {shape}")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _find(folder: Path, name: str) -> Path:
    """FOLDER/NAME, with or without .gz, and with the dot that some copies of MNIST have before idx."""
    candidates = [folder / (stem + suffix) for stem in (name, name.replace("-idx", ".idx")) for suffix in ("", ".gz")]
    try:
        for path in candidates:
            if path.is_file():
                return path
        is_file = folder.is_file()
    except OSError as error:  # not to be entered, or longer than the file system allows
        raise InputError(f"{folder}: {error.strerror}; expected the folder that config.data.source names") from error
    if is_file:
        raise InputError(f"{folder} is a file; expected the folder with MNIST's four files in config.data.source")
    raise MissingDataError(
        f"{folder / name} is missing; expected it, raw or with .gz, in the folder that config.data.source names"
    )


def load(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Reads a folder with MNIST's four files.

    Returns:
      "train" and "test": images (N, H, W, C) uint8 and labels (N,) uint8.

    Raises:
      ValueError: names the file at fault and what was expected.
    """
    splits = {}
    for split, (image_name, label_name) in _FILES.items():
        image_path, label_path = _find(folder, image_name), _find(folder, label_name)
        images, labels = _read(image_path, (3, 4)), _read(label_path, (1,))
        if len(images) != len(labels):
            raise InputError(f"{label_path}: {len(labels)} labels; expected {len(images)}, as {image_path} has images")
        if not images.size:
            raise InputError(f"{image_path}: no images; expected at least one, and the shape is {images.shape}")
        splits[split] = (images[..., None] if images.ndim == 3 else images, labels)
    return splits
