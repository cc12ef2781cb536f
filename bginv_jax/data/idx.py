"""IDX, the format of MNIST's original files: images and labels of unsigned bytes, raw or gzipped."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from bginv_jax.errors import InputError

_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_UNSIGNED_BYTE = 0x08  # the only IDX type that holds images


def _read(path: Path, dimensions: tuple[int, ...]) -> np.ndarray:
    """Reads an IDX file of unsigned bytes, raw or gzipped, with one of the given numbers of dimensions.

    Format: two zero bytes, the type, the number of dimensions, each dimension as a big-endian 32-bit integer, the data.
    """
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path}: {error}; expected a whole IDX file, raw or gzipped") from error
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != _UNSIGNED_BYTE or raw[3] not in dimensions:
        expected = " or ".join(f"00 00 08 {count:02x}" for count in dimensions)
        raise InputError(f"{path}: starts with {raw[:4].hex(' ') or 'nothing'}; expected {expected}, unsigned bytes")
    header = 4 + 4 * raw[3]
    if len(raw) < header:
        raise InputError(f"{path}: {len(raw)} bytes; expected a header of {header}")
    shape = struct.unpack(f">{raw[3]}I", raw[4:header])
    expected = int(np.prod(shape, dtype=np.int64))
    if len(raw) - header != expected:
        raise InputError(f"{path}: {len(raw) - header} bytes of data; expected {expected} for the shape {shape}")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def _find(folder: Path, name: str) -> Path:
    """FOLDER/NAME, with or without .gz, and with the dot that some copies of MNIST have before idx."""
    candidates = [folder / (stem + suffix) for stem in (name, name.replace("-idx", ".idx")) for suffix in ("", ".gz")]
    for path in candidates:
        if path.is_file():
            return path
    raise InputError(f"{folder / name} is missing; expected it, raw or with .gz, in the folder of config.data.source")


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
        if not len(images):
            raise InputError(f"{image_path}: no images; expected at least one")
        splits[split] = (images[..., None] if images.ndim == 3 else images, labels)
    return splits
