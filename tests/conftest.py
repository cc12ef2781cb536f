"""Eight CPU devices and one compilation cache for every test, and the small data sets that several rooms use."""

import os
import struct
from pathlib import Path

# Eight devices, to test what is split over them. Most of the suite's time is compiling, which takes half as long
# without LLVM's optimisations; what is compiled computes the same.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
)

import jax
import numpy as np
import pytest

from bginv_jax import config as configs
from bginv_jax.data import sources


@pytest.fixture(scope="session", autouse=True)
def _compile_once(tmp_path_factory, worker_id):
    """Many tests, processes that they start, and workers compile the same programs, and share them."""
    base = tmp_path_factory.getbasetemp()
    folder = str((base if worker_id == "master" else base.parent) / "compiled")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
    jax.config.update("jax_compilation_cache_dir", folder)


@pytest.fixture(scope="module", autouse=True)
def _forget_compiled_programs():
    """A process maps only so much memory, and the programs of all rooms together need more: XLA crashes."""
    yield
    jax.clear_caches()


def write_idx(path: Path, array: np.ndarray) -> None:
    """An IDX file of unsigned bytes."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture
def tiny_folder(tmp_path):
    """An IDX folder: 48 images to train and 21 to test, 12x12, of a bar that is upright, level or slanted."""
    random = np.random.RandomState(0)
    folder = tmp_path / "tiny"
    folder.mkdir()
    for stem, count in (("train", 48), ("t10k", 21)):
        labels = np.arange(count) % 3
        images = np.zeros((count, 12, 12), np.uint8)
        for image, label in zip(images, labels, strict=True):
            row, column = random.randint(3, 7, 2)
            for i in range(6):
                image[(row + i, row, row + i)[label] % 12, (column, column + i, column + i)[label] % 12] = 255
        write_idx(folder / f"{stem}-images-idx3-ubyte", images)
        write_idx(folder / f"{stem}-labels-idx1-ubyte", labels)
    return folder


@pytest.fixture
def tiny_config(tiny_folder):
    """A proposal of 9 steps on the tiny set: three steps a phase, a checkpoint every two."""
    config = configs.default_config()
    config.data.source = f"idx:{tiny_folder}"
    config.schedule = ("f:3", "f_m:3", "f+f_b:3")
    config.steps = 9
    config.batch_size = 16
    config.background.plain_share = 0.5
    config.augment.rotation = 10.0
    config.augment.shift = 0.1
    config.log_every = 2
    config.checkpoint_every = 2
    return config


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data that is not shipped: $BGINV_DATA, or ../shared/data beside the repository."""
    root = Path(os.environ.get("BGINV_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"{root} is not there; BGINV_DATA names it")
    return root


@pytest.fixture(scope="session")
def mnist_5k():
    return sources.load(configs.default_config().data)
