"""Eight CPU devices and one compilation cache for every test, and the small data sets that several rooms use."""

import os
import struct
import subprocess
import sys
from pathlib import Path

# Eight devices, to test what is split over them. Most of the suite's time is compiling, which takes half as long
# without LLVM's optimisations; what is compiled computes the same.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
)

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from bginv_jax import config as configs
from bginv_jax.data import sources
from bginv_jax.training import checkpoints, provenance, wiring

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session", autouse=True)
def _compile_once(tmp_path_factory, worker_id):
    """Many tests, processes that they start, and workers compile the same programs, and share them."""
    base = tmp_path_factory.getbasetemp()
    folder = str((base if worker_id == "master" else base.parent) / "compiled")
    keep_all = {"persistent_cache_min_compile_time_secs": 0, "persistent_cache_min_entry_size_bytes": -1}
    for name, value in {"compilation_cache_dir": folder, **keep_all}.items():
        os.environ[f"JAX_{name.upper()}"] = str(value)
        jax.config.update(f"jax_{name}", value)


@pytest.fixture(scope="session", autouse=True)
def _cache_folder(tmp_path_factory):
    """Decoded pictures are kept where the tests are, not in the user's folder."""
    os.environ["BGINV_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module", autouse=True)
def _forget_compiled_programs():
    """A process maps only so much memory, and the programs of all rooms together need more: XLA crashes."""
    yield
    jax.clear_caches()


def write_idx(path: Path, array: np.ndarray) -> None:
    """An IDX file of unsigned bytes."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def write_tiny_folder(folder: Path) -> Path:
    """An IDX folder: 48 images to train and 21 to test, 12x12, of a bar that is upright, level or slanted."""
    random = np.random.RandomState(0)
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


def write_pictures(folder: Path, counts: dict[str, dict[str, int]], *, size: tuple[int, int] = (20, 20)) -> Path:
    """Pictures in folder/SPLIT/CLASS/NUMBER.png, of noise, brighter from class to class; `size` is height and width."""
    random = np.random.RandomState(0)
    for split, classes in counts.items():
        for level, (name, count) in enumerate(classes.items()):
            place = folder / split / name
            place.mkdir(parents=True)
            for number in range(count):
                picture = random.randint(0, 60, (*size, 3)) + 60 * level
                Image.fromarray(picture.astype(np.uint8)).save(place / f"{number:03}.png")
    return folder


def make_tiny_config(folder: Path) -> ConfigDict:
    """A proposal of 9 steps on the tiny set: three steps a phase, a checkpoint every two."""
    config = configs.default_config()
    config.data.source = f"idx:{folder}"
    config.schedule = ("f:3", "f_m:3", "f+f_b:3")
    config.steps = 9
    config.batch_size = 16
    config.background.plain_share = 0.5
    config.augment.rotation = 10.0
    config.augment.shift = 0.1
    config.log_every = 2
    config.checkpoint_every = 2
    return config


@pytest.fixture
def tiny_folder(tmp_path):
    return write_tiny_folder(tmp_path / "tiny")


@pytest.fixture
def tiny_config(tiny_folder):
    return make_tiny_config(tiny_folder)


@pytest.fixture(scope="module")
def module_config(tmp_path_factory):
    """The tiny config on a folder that the tests of a file share; they copy what they change."""
    return make_tiny_config(write_tiny_folder(tmp_path_factory.mktemp("data") / "tiny"))


def changed(config: ConfigDict, **fields) -> ConfigDict:
    """A copy with other values of some fields."""
    copy = config.copy_and_resolve_references()
    copy.update(fields)
    return copy


def write_workdir(config: ConfigDict, workdir: Path) -> Path:
    """A workdir as the last step of a training leaves it, of networks as they begin, so that no step compiles."""
    run = wiring.wire(config, sources.load(config.data))
    state = run.init()._replace(step=jax.numpy.int32(config.steps))
    with checkpoints.open_manager(workdir, kept=1) as manager:
        checkpoints.save(manager, state, config, run.description, provenance.describe())
    return workdir


def door(module: str, *flags: str, devices: int = 1, **environment: str) -> dict:
    """Arguments of subprocess that run a command on so many CPU devices."""
    xla = "--xla_backend_optimization_level=0"
    environment = (
        os.environ | {"XLA_FLAGS": xla, "JAX_NUM_CPU_DEVICES": str(devices), "PYTHONPATH": str(ROOT)} | environment
    )
    return {"args": [sys.executable, "-m", f"bginv_jax.{module}", *flags], "cwd": ROOT, "env": environment}


def run_door(module: str, *flags: str, **options) -> subprocess.CompletedProcess:
    """Runs a command to its end; options as `door`."""
    return subprocess.run(**door(module, *flags, **options), capture_output=True, text=True, timeout=300)


def same_bits(a, b) -> bool:
    """Whether two trees of arrays and keys are the same, bit for bit."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    raw = [
        [np.asarray(jax.random.key_data(x) if jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key) else x) for x in pair]
        for pair in pairs
    ]
    return all(x.tobytes() == y.tobytes() and x.dtype == y.dtype for x, y in raw)


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
