"""Where the prepared sets of TensorFlow Datasets lie: DATA_DIR/NAME[/CONFIG]/VERSION.

What is there is found and checked before anything is downloaded.
"""

import contextlib
import difflib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bginv_jax.data.tfds_prepare import prepare
from bginv_jax.errors import InputError, MissingDataError, first_line, some
from bginv_jax.files import check_path

if TYPE_CHECKING:  # two seconds that no other source needs
    from tensorflow_datasets.core.dataset_builder import DatasetBuilder
    from tensorflow_datasets.core.naming import DatasetReference
    from tensorflow_datasets.core.utils.version import Version

_LEVELS = 3  # a version's folder is at most this deep in a data_dir
_CHANNELS = (1, 3)
_MOST_CLASSES = 1_000_000  # each has a name, which is made where none is given
_THEIRS = "tensorflow_datasets."  # where the classes of features are; others would be imported


def _not_there(reference: "DatasetReference", allowed: str) -> MissingDataError:
    return MissingDataError(f"config.data.source is 'tfds:{reference.tfds_name()}'; allowed: {allowed}")


def parse(name: str) -> "DatasetReference":
    """NAME, NAME/CONFIG, or either with :VERSION, as a DatasetReference of TensorFlow Datasets."""
    from tensorflow_datasets.core import naming

    forms = "tfds:NAME or tfds:NAME/CONFIG, either with :VERSION such as :3.0.1"
    try:
        dataset, options = naming.parse_builder_name_kwargs(name)
    except ValueError as error:
        raise InputError(f"config.data.source is 'tfds:{name}'; allowed: {forms}") from error
    if dataset.namespace or set(options) - {"config", "version"}:
        raise InputError(f"config.data.source is 'tfds:{name}'; allowed: {forms}")
    return naming.DatasetReference(dataset_name=dataset.name, **options)


def open_builder(reference: "DatasetReference", data_dir: str) -> "DatasetBuilder":
    """The builder of a prepared set, which is downloaded and prepared first where it is not there at all.

    Args:
      reference: of `parse`.
      data_dir: config.data.dir; "" is the default of TensorFlow Datasets.

    Raises:
      ValueError: names the file or the field at fault and what was expected.
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.utils import file_utils

    given = str(check_path(data_dir, field="config.data.dir")) if data_dir else None
    roots = [Path(root) for root in file_utils.list_data_dirs(given)]
    if roots[0].is_file():
        raise InputError(f"config.data.dir is {data_dir!r}, a file; expected a folder")
    try:
        code = tfds.builder_cls(reference.dataset_name)
    except tfds.core.registered.DatasetNotFoundError:
        code = None  # of a set that somebody made, which its files describe
    folder = _find(roots, reference, code)
    if folder is not None:
        return _open(folder, reference)
    for root in roots if data_dir else ():
        other = _at_another_level(root, reference.dataset_name)
        if other:
            raise MissingDataError(
                f"config.data.dir is {data_dir!r}, where {reference.dataset_name} is missing; expected {str(other)!r}"
            )
    builder = _make_builder(roots[0], reference, code)
    supervised_keys(builder, reference.tfds_name())
    prepare(builder, reference)
    return builder


def supervised_keys(builder: "DatasetBuilder", name: str) -> tuple[str, str]:
    """The names of an image and its label in the examples of a set; other sets are refused."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    keys: tuple[str, ...] = builder.info.supervised_keys or ()
    known = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    image, label = (
        (known.get(key) for key in keys) if len(keys) == 2 and all(key in [*known] for key in keys) else (None, None)
    )
    if not isinstance(image, tfds.features.Image) or not isinstance(label, tfds.features.ClassLabel):
        raise InputError(
            f"config.data.source is 'tfds:{name}'; allowed: an image-classification data set, whose supervised_keys "
            "are an image and its class"
        )
    if image.shape[-1] not in _CHANNELS or not 1 <= (label.num_classes or 0) <= _MOST_CLASSES:
        raise InputError(
            f"config.data.source is 'tfds:{name}', with images of {image.shape[-1]} channels of {label.num_classes} "
            f"classes; allowed: {', '.join(map(str, _CHANNELS))} channels and 1 to {_MOST_CLASSES} classes"
        )
    if image.np_dtype != np.uint8:
        kind = np.dtype(image.np_dtype).name
        raise InputError(f"config.data.source is 'tfds:{name}', whose images are {kind}; allowed: images of uint8")
    return keys[0], keys[1]


def _default_config(root: Path, reference: "DatasetReference", code: "type[DatasetBuilder] | None") -> str | None:
    from tensorflow_datasets.core import dataset_builder

    if reference.config or (code and not code.BUILDER_CONFIGS):
        return reference.config
    if code:
        return getattr(code.default_builder_config, "name", None)
    folder = root / reference.dataset_name
    try:
        name = dataset_builder.load_default_config_name(folder)
        if name and not re.fullmatch(r"\w[\w.-]*", name):
            raise ValueError(f"default_config_name is {name!r}")
    except Exception as error:  # whatever else than a name of a config is in there
        raise InputError(
            f"{folder / '.config' / 'metadata.json'}: {first_line(error)}; expected what TensorFlow Datasets writes"
        ) from error
    return name


def _code_version(reference: "DatasetReference", code: "type[DatasetBuilder]") -> "Version":
    """The version of a set that the installed TensorFlow Datasets prepares."""
    from tensorflow_datasets.core import dataset_builder

    config = code.builder_configs.get(reference.config, code.default_builder_config if code.BUILDER_CONFIGS else None)
    return dataset_builder.canonical_version_for_config(code, config)


def _find(roots: list[Path], reference: "DatasetReference", code: "type[DatasetBuilder] | None") -> Path | None:
    """The folder of the version that is asked for, else of the version that the code has, else of the newest."""
    from tensorflow_datasets.core.utils import version

    there: dict[Version, Path] = {}
    for root in roots:
        config = _default_config(root, reference, code)
        folder = root / reference.dataset_name / (config or "")
        there |= {one: folder / str(one) for one in version.list_all_versions(folder)}
    known = not reference.config or (code and reference.config in code.builder_configs)
    if reference.version:
        there = {one: folder for one, folder in there.items() if one.match(reference.version)}
    elif code and known and there:
        chosen = _code_version(reference, code)
        if chosen not in there:
            prepared = " or ".join(f"{reference.tfds_name()}:{one}" for one in sorted(there))
            raise _not_there(
                reference,
                f"tfds:{prepared}, as {folder} holds it, or tfds:{reference.tfds_name()}:{chosen} to prepare that",
            )
        return there[chosen]
    return there[max(there)] if there else None


def _open(folder: Path, reference: "DatasetReference") -> "DatasetBuilder":
    """The builder of a prepared version, from its files alone."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import dataset_info

    for name in ("dataset_info.json", "features.json"):
        if not (folder / name).is_file():
            raise InputError(f"{folder / name} is missing; expected it, as TensorFlow Datasets prepares a data set")
    with _complaining_of(folder / "dataset_info.json"):
        info = dataset_info.read_proto_from_builder_dir(folder)
    formats = {info.file_format or "tfrecord", *info.alternative_file_formats}
    if "array_record" not in formats:
        raise InputError(
            f"{folder} holds the data set as {', '.join(sorted(formats))}; expected array_record, as "
            f"tfds.builder({reference.tfds_name()!r}, data_dir=ANOTHER_FOLDER, file_format='array_record')"
            ".download_and_prepare() prepares it for config.data.dir=ANOTHER_FOLDER"
        )
    if not info.splits:
        raise InputError(f"{folder / 'dataset_info.json'}: no splits; expected what TensorFlow Datasets writes")
    with _complaining_of(folder / "features.json") as path:
        _check_classes(json.loads(path.read_bytes()))
        return tfds.builder_from_directory(folder, file_format="array_record")


@contextlib.contextmanager
def _complaining_of(path: Path) -> Iterator[Path]:
    """Has whatever TensorFlow Datasets, JSON or Protocol Buffers raise for a file's content name the file."""
    try:
        yield path
    except Exception as error:
        raise InputError(f"{path}: {first_line(error)}; expected what TensorFlow Datasets writes") from error


def _check_classes(features: object) -> None:
    """Refuses a description of features with a class of another package, which would be imported and made."""
    left = [features]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            names = [value.get(key) for key in ("pythonClassName", "python_class_name")]
            names += [value["type"]] if "content" in value and "type" in value else []
            for name in names:
                if name is not None and not str(name).startswith(_THEIRS):
                    raise ValueError(f"a feature is a {name}")
        left += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _at_another_level(root: Path, name: str) -> Path | None:
    """The data_dir above or below `root` that holds a set, where that was meant."""
    root = root.resolve()
    below = (path for level in range(1, _LEVELS) for path in sorted(root.glob("/".join("*" * level))) if path.is_dir())
    for folder in (*root.parents[:_LEVELS], *below):
        files = (file for depth in ("*", "*/*") for file in (folder / name).glob(f"{depth}/dataset_info.json"))
        if any(re.fullmatch(r"\d+\.\d+\.\d+", file.parent.name) for file in files):
            return folder
    return None


def _make_builder(root: Path, reference: "DatasetReference", code: "type[DatasetBuilder] | None") -> "DatasetBuilder":
    """The builder that can prepare a set, or the complaint that there is none of that name, config or version."""
    import tensorflow_datasets as tfds

    there = sorted(path.name for path in (root / reference.dataset_name).glob("[!.]*") if path.is_dir())
    prepared = f"; {root / reference.dataset_name} holds {some(there)}" if there else ""
    if code is None:
        builders = tfds.list_builders(with_community_datasets=False)
        known = [path.name for path in root.glob("[!.]*") if path.is_dir()] if root.is_dir() else []
        close = difflib.get_close_matches(reference.dataset_name, {*builders, *known}, n=3)
        hint = f"did you mean {' or '.join(close)}? " if close and not there else ""
        catalog = "a data set of TensorFlow Datasets, see https://www.tensorflow.org/datasets/catalog"
        raise _not_there(reference, f"{catalog}, or one prepared under config.data.dir{prepared}; {hint}".rstrip("; "))
    if reference.config and reference.config not in code.builder_configs:
        raise _not_there(
            reference,
            f"the configs {some(code.builder_configs)}{prepared}" if code.builder_configs else f"no config{prepared}",
        )
    version = _code_version(reference, code)
    if reference.version and not version.match(reference.version):
        raise _not_there(reference, f"version {version}{prepared}")
    return code(data_dir=str(root), config=reference.config, version=str(version), file_format="array_record")
