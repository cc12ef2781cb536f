"""A set that streams from its file: which do, in what order, and that nothing else about the training changes."""

import itertools
import shutil
import threading

import jax
import numpy as np
import pytest

from bginv_jax.data import rows, sources
from bginv_jax.data.dataset import Split
from bginv_jax.training import devices, loop, wiring
from bginv_jax.training.feed import ResidentFeed, StreamedFeed, draw_order
from bginv_jax.training.stream import is_needed, make_reader
from tests.conftest import write_pictures
from tests.training import registered
from tests.training.toys import assert_same_bits


@pytest.mark.parametrize(
    ("choice", "set_bytes", "streams"),
    [("auto", 500, False), ("auto", 501, True), ("never", 10**9, False), ("always", 1, True)],
)
def test_a_set_streams_where_it_takes_over_half_of_a_device(choice, set_bytes, streams):
    assert is_needed(choice, set_bytes=set_bytes, device_bytes=1000) == streams


def test_a_processor_has_its_share_of_what_the_container_may_use(monkeypatch, tmp_path):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(devices, "_CONTAINER_LIMITS", (str(limit), str(tmp_path / "nowhere")))
    limit.write_text("max\n")
    whole = devices.memory() * jax.local_device_count()
    assert whole > 10**9
    limit.write_text("8000000\n")
    assert devices.memory() == 8_000_000 // jax.local_device_count()


def _split(count, folder=None):
    images = np.arange(count, dtype=np.uint8)[:, None, None, None].repeat(4, axis=1).repeat(4, axis=2)
    return Split(images if folder is None else rows.store(iter([images]), folder), np.arange(count))


@pytest.mark.parametrize("first", [0, 2, 3, 7])
def test_epochs_are_those_of_a_resident_set_from_any_step_on(first, tmp_path):
    """Ten images in batches of three: one is left out in each epoch."""
    split, key = _split(10, tmp_path), jax.random.key(5)
    masks = split.images + 100
    found = list(itertools.islice(make_reader(split, 3, masks=masks)(key, first), 8))
    for step, raw in enumerate(found, start=first):
        expected = np.asarray(draw_order(key, step // 3, 10))[step % 3 * 3 :][:3]
        assert raw.targets.tolist() == raw.images[:, 0, 0, 0].tolist() == expected.tolist()
        assert raw.masks[:, 0, 0, 0].tolist() == (expected + 100).tolist()
        assert raw.pictures is None


def test_reading_ends_with_its_reader():
    batches = make_reader(_split(100), 2)(jax.random.key(0), 0)
    next(batches)
    assert any(thread.name.startswith("stream") for thread in threading.enumerate())
    batches.close()
    for thread in threading.enumerate():
        if thread.name.startswith("stream"):
            thread.join(timeout=10)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "set"
    return write_pictures(root, {"train": {"a": 10, "b": 9}, "test": {"a": 2, "b": 3}}, size=(20, 16))


def _config(folder, stream, **changes):
    """Two steps an epoch, a checkpoint in the middle of the third, and masks that must be ready."""
    fields = {
        "data__source": f"folder:{folder}",
        "data__image_size": 16,
        "data__stream": stream,
        "batch_size": 8,
        "method": "proposal",
        "schedule": ("f+f_b:1",),
        "steps": 7,
        "checkpoint_every": 5,
        "mask__kind": "nonzero",
        "background__kind": "noise",
    }
    return registered.config(**fields | changes)


@pytest.mark.usefixtures("registry")
def test_a_folder_that_streams_trains_as_one_that_is_resident_and_resumes_exactly(folder, tmp_path):
    expected = loop.train(_config(folder, "never"), tmp_path / "resident")
    streamed = loop.train(_config(folder, "always"), tmp_path / "streamed")
    assert_same_bits(streamed, expected)
    assert (tmp_path / "resident" / "metrics.jsonl").read_text().count("loss") >= 3
    assert registered.steps_kept(tmp_path / "streamed") == [5, 7]
    shutil.rmtree(tmp_path / "streamed" / "checkpoints" / "7")
    assert_same_bits(loop.train(_config(folder, "always"), tmp_path / "streamed"), expected)


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("seeds", [(), (1, 2)])
def test_masks_stream_beside_their_images(folder, monkeypatch, seeds, caplog):
    config = _config(folder, "always", seeds=seeds)
    run = wiring.wire(config, sources.load(config.data))
    assert run.streams
    phase, networks = run.phases[0], run.init().networks()
    feed = run.make_feed(phase, networks)
    assert isinstance(feed, StreamedFeed)
    key = jax.random.split(jax.random.key(0)) if seeds else jax.random.key(0)
    batches = feed.arrays(key, 0, 1).batches
    np.testing.assert_array_equal(batches.masks, np.where(np.any(batches.images > 0, axis=-1, keepdims=True), 255, 0))
    shape = (len(run.devices), *([2] if seeds else []), 8, 8 // len(run.devices), 16, 16, 1)
    assert batches.masks.shape == shape
    given = np.full((*([2] if seeds else []), 19, 16, 16, 1), 7, np.uint8)
    assert np.unique(run.make_feed(phase, networks, masks=given).arrays(key, 0, 1).batches.masks) == 7
    monkeypatch.setenv("BGINV_CACHE", "/dev/null/nowhere")
    assert run.make_feed(phase, networks).arrays(key, 0, 1).batches.masks is None
    assert "masks are made in each step, since they cannot be kept: " in caplog.text


@pytest.mark.usefixtures("registry")
def test_a_small_set_lies_on_the_devices(folder):
    config = _config(folder, "auto")
    run = wiring.wire(config, sources.load(config.data))
    assert isinstance(run.make_feed(run.phases[0], run.init().networks()), ResidentFeed)
    assert isinstance(run.dataset.train.images, np.memmap)
