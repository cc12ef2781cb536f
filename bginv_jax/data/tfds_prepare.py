"""Downloading and preparing a set of TensorFlow Datasets: it fails at once where it must, and leaves nothing empty."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bginv_jax.errors import MissingDataError, first_line

if TYPE_CHECKING:  # two seconds that no other source needs
    from tensorflow_datasets.core.dataset_builder import DatasetBuilder
    from tensorflow_datasets.core.naming import DatasetReference

_CONNECT_SECONDS = 10


def prepare(builder: "DatasetBuilder", reference: "DatasetReference") -> None:
    """Downloads and prepares a data set; some need TensorFlow for that, once.

    Args:
      builder: of a set that is not prepared.
      reference: of `tfds_folders.parse`.

    Raises:
      ValueError: says what was missing: the network, TensorFlow, or files to be downloaded by hand.
    """
    missing = f"config.data.source is 'tfds:{reference.tfds_name()}', which is missing in {builder.data_path}"
    root = Path(builder.data_path)
    while root.name != reference.dataset_name:
        root = root.parent
    root = root.parent
    with _no_empty_folders(root, reference.dataset_name):
        try:
            _reach(builder, root / "downloads" / reference.dataset_name)
            builder.download_and_prepare()
        except ImportError as error:
            raise MissingDataError(
                f"{missing}, and to prepare it TensorFlow Datasets needs TensorFlow, once: "
                f".venv/bin/pip install -e '.[prepare]' ({first_line(error)})"
            ) from error
        except OSError as error:
            raise MissingDataError(
                f"{missing}, and downloading it failed ({first_line(error)}); expected the network, or the prepared "
                "data set under config.data.dir"
            ) from error
        except AssertionError as error:
            if not builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
                raise
            raise MissingDataError(f"{missing}, and has to be downloaded by hand: {first_line(error)}") from error


def _reach(builder: "DatasetBuilder", downloaded: Path) -> None:
    """Fails at once where there is no network, at which TensorFlow Datasets would try for minutes."""
    import requests

    urls = [url for url in builder.url_infos or () if url.startswith("http")]
    if not urls or any(path.is_file() for path in downloaded.rglob("*")):
        return
    with contextlib.suppress(requests.exceptions.ReadTimeout):  # a slow answer is one
        requests.get(urls[0], stream=True, timeout=_CONNECT_SECONDS).close()


@contextlib.contextmanager
def _no_empty_folders(root: Path, name: str) -> Iterator[None]:
    """Removes the empty folders that a failed preparation adds to a data_dir."""

    def folders():
        inside = [path for part in (name, "downloads") for path in (root / part, *(root / part).rglob("*"))]
        return {path for path in (*inside, root, *root.parents) if path.exists()}

    before = folders()
    try:
        yield
    except BaseException:
        added = sorted(folders() - before, key=lambda path: len(path.parts), reverse=True)
        for path in added:
            if path.parent.name == ".config":  # written before the download, of which nothing is left
                path.unlink()
            elif path.is_dir():
                with contextlib.suppress(OSError):  # not empty: what was downloaded is used the next time
                    path.rmdir()
        raise
