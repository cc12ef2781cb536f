"""What is known of a data set without its images: what a checkpoint notes, and what is read of its JSON again."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

from bginv_jax.errors import InputError, one_line
from bginv_jax.files import as_text
from bginv_jax.networks.contract import padded_size

_LARGEST_SIDE = 2**16  # pixels; what is more is damaged


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_texts(value: Any) -> bool:
    return isinstance(value, tuple) and all(map(_is_text, value))


def _are_sizes(value: Any) -> bool:
    return isinstance(value, tuple) and all(type(side) is int and 0 <= side <= _LARGEST_SIDE for side in value)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


# What a field of a description may be, which JSON may hold anything as.
_FITS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("name", "sha256", "photographs", "weights"), _is_text),
    **dict.fromkeys(("train_count", "test_count"), _is_count),
    "shape": lambda value: _are_sizes(value) and len(value) == 3 and 0 not in value,
    "size": _is_count,
    **dict.fromkeys(("class_names", "pixel_classes"), _are_texts),
    "target_shape": lambda value: _are_sizes(value) and len(value) < 32,
}


@dataclasses.dataclass(frozen=True)
class Description:
    """What is known of a data set without its images; a checkpoint notes it, and networks are built after it.

    name: for tables and logs.
    shape: the images' native height, width and channels.
    size: the square side that the networks see, pixels.
    class_names: of the labels; () where targets are not labels.
    target_shape: of one image's target, where it is one array.
    train_count, test_count: images.
    sha256: over every image and target.
    photographs: a SHA-256 over those that stand behind objects in training, '' without any.
    weights: the SHA-256 of the file of f's pretrained weights, '' without any.
    pixel_classes: of the pixels, by the numbers of the targets (N, size, size), 0 the background; () where targets are
      not classes of pixels.
    """

    name: str
    shape: tuple[int, int, int]
    size: int
    class_names: tuple[str, ...]
    train_count: int
    test_count: int
    sha256: str
    target_shape: tuple[int, ...] = ()
    photographs: str = ""
    weights: str = ""
    pixel_classes: tuple[str, ...] = ()

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """What the networks see of an image: (size, size, channels)."""
        return self.size, self.size, self.shape[-1]

    @classmethod
    def from_json(cls, values: Any) -> "Description":
        """The description that was written as JSON values, by this version or an earlier one.

        Raises:
          InputError: names what is missing, or is none.
        """
        values = values if isinstance(values, Mapping) else {}
        fields: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            value = values.get(field.name, field.default)
            value = tuple(value) if isinstance(value, list) else value
            if value is dataclasses.MISSING or not _FITS[field.name](value):
                what = "missing" if value is dataclasses.MISSING else repr(value)
                raise InputError(f"the checkpoint's dataset.{field.name} is {what}; expected what train writes")
            fields[field.name] = value
        made = cls(**fields)
        if made.size != padded_size(*made.shape[:2]):
            raise InputError(
                f"the checkpoint's dataset.size is {made.size}; expected {padded_size(*made.shape[:2])} for the shape "
                f"{made.shape}"
            )
        return dataclasses.replace(
            made,
            name=one_line(as_text(made.name)),
            class_names=tuple(map(one_line, made.class_names)),
            pixel_classes=tuple(map(one_line, made.pixel_classes)),
        )

    def to_json(self) -> dict[str, Any]:
        """JSON values, for `from_json`."""
        return json.loads(json.dumps(dataclasses.asdict(self)))
