"""A data set as arrays on the host: uint8 NHWC images and targets, and what every source must satisfy."""

import dataclasses
import hashlib
import logging
from collections.abc import Sequence

import numpy as np
from skimage import transform

from bginv_jax.errors import InputError
from bginv_jax.images.pixels import pad_to
from bginv_jax.networks.contract import padded_size

_LOG = logging.getLogger(__name__)

_NAMED = 10  # classes; a warning does not list hundreds
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
        arrays = (self.train.images, self.train.targets, self.test.images, self.test.targets)
        return {
            "name": self.name,
            "shape": list(self.shape),
            "size": self.size,
            "class_names": list(self.class_names),
            "train_count": len(self.train.images),
            "test_count": len(self.test.images),
            "sha256": fingerprint(*arrays),
        }


def fingerprint(*arrays: np.ndarray) -> str:
    """A SHA-256 over the shapes, types and values of arrays: what the data are, whatever their name."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


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
        raise InputError(
            f"data set {name}: images of {len(shapes)} sizes; set config.data.image_size, the side in pixels"
        )
    if config.image_size:
        images = resize(images, config.image_size)
    channels = images.shape[-1]
    if config.channels in (0, channels):
        return images
    if channels != 1:
        raise InputError(f"config.data.channels is {config.channels}; allowed for data set {name}: 0 or {channels}")
    return images.repeat(config.channels, axis=-1)


def _warn_of_classes(name: str, class_names: Sequence[str], train: np.ndarray, test: np.ndarray) -> None:
    """Says which classes no training image has: labels that start at 1, a class too many, a slice that lost some."""
    absent = np.setdiff1d(np.arange(len(class_names)), train)
    tested = np.intersect1d(absent, test)
    for labels, what in ((absent, "no training image"), (tested, "test images but no training image")):
        if len(labels):
            named = ", ".join(class_names[label] for label in labels[:_NAMED])
            more = f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else ""
            _LOG.warning(
                "data set %s: %d of %d classes have %s: %s%s", name, len(labels), len(class_names), what, named, more
            )


def make_dataset(
    config, name: str, splits: dict[str, tuple[Sequence[np.ndarray], np.ndarray]], class_names=None
) -> Dataset:
    """Fits the images to the config and checks what every source must satisfy."""
    for split, (images, labels) in splits.items():
        where = f"data set {name}, split {split}"
        if len(images) != len(labels):
            raise InputError(f"{where}: {len(images)} images but {len(labels)} labels; expected as many of each")
        if not len(images):
            raise InputError(f"{where} is empty; expected at least one image")
    splits = {split: (_fit(config, name, images), labels) for split, (images, labels) in splits.items()}
    for split, (images, _) in splits.items():
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
            raise InputError(
                f"data set {name}, split {split}: images are {images.dtype} {images.shape[1:]}; expected uint8 "
                "(height, width, 1 or 3)"
            )
    shapes = {split: images.shape[1:] for split, (images, _) in splits.items()}
    if shapes["train"] != shapes["test"]:
        raise InputError(f"data set {name}: images of {shapes['train']} to train, {shapes['test']} to test")
    if class_names is None:
        class_names = tuple(map(str, range(int(splits["train"][1].max()) + 1)))
    for split, (_, labels) in splits.items():
        if labels.min() < 0 or labels.max() >= len(class_names):
            wrong = labels.min() if labels.min() < 0 else labels.max()
            raise InputError(f"data set {name}, split {split}: label {wrong}; expected 0 to {len(class_names) - 1}")
    _warn_of_classes(name, class_names, splits["train"][1], splits["test"][1])
    arrays = {split: Split(images, labels.astype(np.int32)) for split, (images, labels) in splits.items()}
    return Dataset(name, arrays["train"], arrays["test"], tuple(class_names))
