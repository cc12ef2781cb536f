"""A data set as arrays on the host: uint8 NHWC images and targets, and what every source must satisfy."""

import dataclasses
import functools
import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from bginv_jax.backgrounds.patterns import with_halo
from bginv_jax.data import rows
from bginv_jax.data.description import Description
from bginv_jax.data.pictures import cache_folder
from bginv_jax.errors import InputError, one_line, some
from bginv_jax.files import as_text
from bginv_jax.images.fitting import fit_picture
from bginv_jax.images.pixels import crop_to, pad_to
from bginv_jax.networks.contract import padded_size

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Split:
    """images (N, size, size, C) uint8, padded; targets, a pytree with a leading N, labels as (N,) int32.

    masks: the true ones (N, size, size, 1) bool where the source has them.
    """

    images: np.ndarray
    targets: Any
    masks: np.ndarray | None = None

    @property
    def objects(self) -> np.ndarray:
        """The true masks, or else where any channel is above 0: bool (N, size, size, 1)."""
        return np.any(self.images > 0, axis=-1, keepdims=True) if self.masks is None else self.masks

    @functools.cached_property
    def sha256(self) -> str:
        """Over images, targets and masks."""
        masks = [] if self.masks is None else [self.masks]
        return fingerprint(self.images, *map(np.asarray, jax.tree.leaves(self.targets)), *masks)

    def parts(self, count: int = 0) -> Iterator["Split"]:
        """The split in order, `count` images at a time, by default 64 MB: a large one is never in memory as a whole."""
        start = 0
        for images in rows.chunks(self.images, count):
            part = slice(start, start + len(images))
            targets = jax.tree.map(lambda leaf, part=part: leaf[part], self.targets)
            yield Split(images, targets, None if self.masks is None else self.masks[part])
            start = part.stop


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The two splits of a source, padded to what the networks see, and the names of the classes.

    shape: of an image before padding: height, width, channels.
    tests: further test sets by name.
    by_class: whether these are photographs: the mean over the classes is reported, too, since some have many more
      images than others, and what is above 0 is not the object.
    validation: what `hold_out` took of the training set, if anything.
    pixel_classes: as `Description`.
    """

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]
    shape: tuple[int, int, int]
    tests: Mapping[str, Split] = dataclasses.field(default_factory=dict)
    by_class: bool = False
    validation: Split | None = None
    pixel_classes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """The square side that the networks see, pixels."""
        return self.train.images.shape[1]

    @property
    def marked(self) -> bool:
        """Whether it is known where the objects of the test are: by true masks, or since they stand on black."""
        return not self.by_class or self.test.masks is not None

    def kept(self, part: Split) -> np.ndarray:
        """What stays of test images before another background, bool (N, S, S, 1): the poster's objects and halo.

        Of photographs it is the object alone: its halo would be backdrop.
        """
        return part.objects if self.by_class else with_halo(part.objects)

    @functools.cached_property
    def description(self) -> Description:
        """What a checkpoint notes of the data; the SHA-256 is over the images as they were before padding."""
        digest = hashlib.sha256()
        for split in (self.train, self.test):
            _add(digest, (len(split.images), *self.shape), split.images, lambda part: crop_to(part, self.shape[:2]))
            for leaf in map(np.asarray, jax.tree.leaves(split.targets)):
                _add(digest, leaf.shape, leaf)
        shapes = {np.shape(leaf)[1:] for leaf in jax.tree.leaves(self.train.targets)}
        return Description(
            name=self.name,
            shape=self.shape,
            size=self.size,
            class_names=self.class_names,
            train_count=len(self.train.images),
            test_count=len(self.test.images),
            sha256=digest.hexdigest(),
            target_shape=shapes.pop() if len(shapes) == 1 else (),
            pixel_classes=self.pixel_classes,
        )


def fingerprint(*arrays: np.ndarray) -> str:
    """A SHA-256 over the shapes, types and values of arrays: what the data are, whatever their name."""
    digest = hashlib.sha256()
    for array in arrays:
        _add(digest, array.shape, array)
    return digest.hexdigest()


def _add(
    digest: "hashlib._Hash",
    shape: tuple[int, ...],
    array: np.ndarray,
    part: Callable[[np.ndarray], np.ndarray] = lambda array: array,
) -> None:
    """Adds an array, or `part` of each of its rows, which have `shape` together; some rows at a time."""
    digest.update(repr((shape, array.dtype.str)).encode())
    for chunk in rows.chunks(array) if array.ndim else [array]:
        digest.update(np.ascontiguousarray(part(chunk)).data)


def resize(images: np.ndarray | Sequence[np.ndarray], size: int, *, fit: str = "stretch") -> np.ndarray:
    """Images to a square side, as `predict` resizes pictures.

    Args:
      images: uint8 (N, H, W, C), or a sequence of (H, W, C) of different sizes.
      size: pixels.
      fit: as config.data.fit.

    Returns:
      uint8 (N, size, size, C).
    """
    return np.stack([fit_picture(image, size=size, fit=fit, channels=0) for image in images])


def fit(config: ConfigDict, name: str, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """Images of a data set with the size and channels that the config asks for, of all of them or of a part.

    What was fitted stays as it is, so parts of a set may be fitted one by one beforehand.

    Args:
      config: the group `data`.
      name: of the data set.
      images: (N, H, W, C), or a sequence of (H, W, C); integers.

    Returns:
      (N, H, W, C); of images that lie in a file it lies in one, too.

    Raises:
      InputError: names the data set and what was expected.
    """
    shapes = {image.shape for image in images}
    if len(shapes) == 1:
        images = np.asanyarray(images)
    elif not config.image_size:
        raise InputError(
            f"data set {name}: images of {len(shapes)} sizes; set config.data.image_size, the side in pixels"
        )
    channels = next(iter(shapes))[-1]
    if config.channels not in (0, channels) and channels != 1:
        raise InputError(f"config.data.channels is {config.channels}; allowed for data set {name}: 0 or {channels}")
    if config.image_size and shapes != {(config.image_size, config.image_size, channels)}:
        images = _convert(name, images, lambda part: resize(part, config.image_size, fit=config.fit))
    assert isinstance(images, np.ndarray), "of one size, or resized to it"
    if config.channels in (0, channels):
        return images
    return _convert(name, images, lambda part: part.repeat(config.channels, axis=-1))


def _convert(name: str, images: Any, function: Callable[[Any], np.ndarray]) -> np.ndarray:
    return rows.convert(images, function, cache_folder(), name=f"images of {name}")


def _padded(name: str, images: np.ndarray, size: int) -> np.ndarray:
    if images.shape[1:3] == (size, size):
        return images
    return _convert(name, images, lambda part: pad_to(part, size))


def _warn_of_classes(name: str, class_names: Sequence[str], train: np.ndarray, test: np.ndarray) -> None:
    """Says which classes no training image has: labels that start at 1, a class too many, a slice that lost some."""
    absent = np.setdiff1d(np.arange(len(class_names)), train)
    tested = np.intersect1d(absent, test)
    for labels, what in ((absent, "no training image"), (tested, "test images but no training image")):
        if len(labels):
            named = some(class_names[label] for label in labels)
            _LOG.warning("data set %s: %d of %d classes have %s: %s", name, len(labels), len(class_names), what, named)


def make_dataset(
    config: ConfigDict,
    name: str,
    splits: Mapping[str, tuple[np.ndarray | Sequence[np.ndarray], Any]],
    class_names: Sequence[str] | None = None,
) -> Dataset:
    """Fits the images to the config, checks what every source must satisfy, and pads.

    Args:
      config: the group `data`.
      name: of the data set.
      splits: "train", "test" and further tests by name: images, uint8 (N, H, W, C) or a sequence of (H, W, C), and
        targets with a leading N.
      class_names: of the labels; None names them by their numbers, () says that targets are not labels.

    Raises:
      InputError: names the data set, what is wrong with it and what was expected.
    """
    name = one_line(as_text(name))
    for split, (images, labels) in splits.items():
        where = f"data set {name}, split {split}"
        counts = {len(leaf) for leaf in jax.tree.leaves(labels)}
        if counts != {len(images)}:
            found = " and ".join(map(str, sorted(counts)))
            raise InputError(f"{where}: {len(images)} images but {found} labels; expected as many of each")
        if not len(images):
            raise InputError(f"{where} is empty; expected at least one image")
        first = np.asarray(images[0])
        if first.dtype != np.uint8 or first.ndim != 3 or first.shape[-1] not in (1, 3):
            raise InputError(f"{where}: images are {first.dtype} {first.shape}; expected uint8 (height, width, 1 or 3)")
    fitted = {split: (fit(config, name, images), labels) for split, (images, labels) in splits.items()}
    shapes = {split: array.shape[1:] for split, (array, _) in fitted.items()}
    for split, shape in shapes.items():
        if shape != shapes["train"]:
            raise InputError(f"data set {name}: images of {shapes['train']} to train, {shape} to {split}")
    if class_names != ():
        class_names, fitted = _check_labels(name, fitted, class_names)
    shape = shapes["train"]
    try:
        size = padded_size(*shape[:2])
    except InputError as error:
        raise InputError(f"data set {name}: {error}") from error
    arrays = {split: Split(_padded(name, array, size), targets) for split, (array, targets) in fitted.items()}
    train, test = arrays.pop("train"), arrays.pop("test")
    return Dataset(name, train, test, tuple(map(one_line, class_names)), shape, arrays)


def _check_labels(name: str, splits: dict, class_names: Sequence[str] | None) -> tuple[Sequence[str], dict]:
    """The names of the classes, and the splits with labels as int32."""
    if class_names is None:
        class_names = tuple(map(str, range(int(splits["train"][1].max()) + 1)))
    for split, (_, labels) in splits.items():
        if labels.min() < 0 or labels.max() >= len(class_names):
            wrong = labels.min() if labels.min() < 0 else labels.max()
            raise InputError(f"data set {name}, split {split}: label {wrong}; expected 0 to {len(class_names) - 1}")
    _warn_of_classes(name, class_names, splits["train"][1], splits["test"][1])
    return class_names, {split: (images, labels.astype(np.int32)) for split, (images, labels) in splits.items()}
