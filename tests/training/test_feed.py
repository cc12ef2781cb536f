"""What a step draws from: plans and positions, epochs, and batches that stream as if they lay on the device."""

import itertools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.data.dataset import Split
from bginv_jax.errors import InputError
from bginv_jax.methods.contract import Layout
from bginv_jax.training.feed import BatchPlan, Raw, StreamedFeed, draw_order, own_positions, plan_batch
from bginv_jax.training.state import init_state, stack_seeds
from bginv_jax.training.stream import make_reader
from tests.training.toys import WHOLE, assert_same_bits, make_program, make_setup, resident, take

PICTURED = Layout(4, 4, 8)


def test_an_epoch_visits_every_image_once_and_epochs_differ():
    key = jax.random.key(3)
    orders = [draw_order(key, epoch, 50) for epoch in range(2)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(50))
    assert (orders[0] != orders[1]).any()


def test_positions_cover_the_batch_with_equal_shares():
    plan = BatchPlan(Layout(8, 4, 12), 2, 2)
    parts = np.concatenate([plan.positions(device) for device in range(2)])
    assert parts.shape == (4, 6)
    assert sorted(parts.ravel().tolist()) == list(range(24))
    for part in parts:
        kept, pictured, painted = plan.part.split(part)
        assert (kept < 8).all()
        assert pictured.tolist()[0] in range(8, 12)
        assert (painted >= 12).all()


@pytest.mark.parametrize(
    ("layout", "devices", "slices"),
    [
        (Layout(16, 0, 48), 8, 1),
        (Layout(0, 0, 64), 8, 1),
        (Layout(64), 8, 1),
        (Layout(64, 0, 192), 8, 4),
        (Layout(64, 100, 92), 4, 1),
        (Layout(2, 0, 8), 2, 1),
        (Layout(2, 0, 5), 1, 1),
        (Layout(1), 1, 1),
    ],
)
def test_a_batch_is_planned_over_the_devices_that_share_it_evenly(layout, devices, slices):
    def planned(size, cache_pixels=8 * 32 * 32):
        return plan_batch(layout, size, device_count=8, cache_pixels=cache_pixels)

    assert planned(32) == BatchPlan(layout, devices, slices)
    assert planned(16).slices <= slices <= planned(64).slices
    assert planned(32, cache_pixels=None) == BatchPlan(layout, devices, 1)


@pytest.mark.parametrize(
    ("layout", "devices", "processes", "used"),
    [
        (Layout(16), 8, 2, 8),
        (Layout(12), 8, 2, 6),  # three of each, where one process of eight takes six, too
        (Layout(18), 16, 4, None),
        (Layout(12, 6, 12), 8, 2, 6),
        (Layout(7), 8, 2, None),
        (Layout(8), 3, 3, None),
    ],
)
def test_processes_take_part_with_as_many_devices_each(layout, devices, processes, used):
    def planned():
        return plan_batch(layout, 16, device_count=devices, cache_pixels=None, processes=processes)

    if used is not None:
        assert planned() == BatchPlan(layout, used, 1)
        return
    with pytest.raises(InputError, match=rf"config.batch_size is {layout.total}.* which {processes} processes cannot"):
        planned()


def test_each_process_reads_its_devices_shares_and_no_others(monkeypatch):
    plan = BatchPlan(Layout(8, 4, 12), 4, 1)
    devices = [SimpleNamespace(process_index=index) for index in (0, 0, 1, 1)]
    assert own_positions(plan, devices).tolist() == [*range(4), 8, 9, *range(12, 18)]
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    places = own_positions(plan, devices)
    assert places.tolist() == [*range(4, 8), 10, 11, *range(18, 24)]
    images = np.arange(48, dtype=np.uint8)[:, None, None, None]
    split, key = Split(images, np.arange(48)), jax.random.key(0)
    whole, share = (next(make_reader(split, 24, places=own)(key, 3)) for own in (None, places))
    np.testing.assert_array_equal(share.images, whole.images[places])
    np.testing.assert_array_equal(share.targets, whole.targets[places])


def _streamed(setup, plan, seeds=1):
    data, devices = setup.data, jax.local_devices()[: plan.devices]
    read = make_reader(Split(data.images, data.targets), plan.batch_size, masks=data.masks)
    return StreamedFeed([read] * seeds, plan, devices, pictures=data.pictures, several_seeds=seeds > 1)


@pytest.fixture(scope="module")
def setup():
    """With pictures, larger than the images."""
    setup = make_setup()
    pictures = np.random.RandomState(3).randint(0, 256, (3, 24, 24, 1), np.uint8)
    return setup._replace(data=setup.data._replace(pictures=pictures))


@pytest.mark.parametrize(
    ("active", "plan", "masks"),
    [
        (("f", "f_b"), BatchPlan(PICTURED, 2, 2), "ready"),
        (("f", "f_b"), BatchPlan(WHOLE.layout, 4, 1), "ready"),
        (("f", "f_m", "f_b"), BatchPlan(PICTURED, 1, 4), "made by f_m in the same step"),
        (("f",), BatchPlan(Layout(16), 1, 1), "none"),
    ],
)
def test_a_stream_equals_the_resident_set_to_the_bit_and_can_be_resumed(setup, active, plan, masks):
    """Five steps over two epochs; then again as two steps, and three of a feed that starts in the middle."""
    data = setup.data._replace(pictures=setup.data.pictures if plan.layout.pictured else None)
    setup = setup._replace(data=data if masks == "ready" else data._replace(masks=None))
    expected, measured = take(setup, resident(setup, plan), active, plan, calls=(3, 2))
    program = make_program(setup, _streamed(setup, plan), active, plan)

    def take_streamed(**options):
        return take(setup, _streamed(setup, plan), active, plan, program=program, **options)

    streamed, seen = take_streamed(calls=(3, 2))
    assert_same_bits(streamed, expected)
    assert_same_bits(seen, measured)
    halfway, _ = take_streamed(calls=(2,))
    resumed, _ = take_streamed(state=halfway, calls=(1, 2))
    assert_same_bits(resumed, expected)


def test_masks_of_a_stream_are_made_in_the_step_by_networks_that_stand_still(setup):
    """What the method makes of the raw images; where a set is resident they are made once, before the phase."""
    setup = setup._replace(data=setup.data._replace(pictures=None))
    x = setup.data.images.astype(np.float32) / 255
    ready = np.asarray(setup.method.ready_masks(setup.initial.networks(), x))
    known = setup._replace(data=setup.data._replace(masks=(255 * ready).astype(np.uint8)))
    expected, _ = take(known, resident(known), ("f", "f_b"), calls=(2,))
    unknown = setup._replace(data=setup.data._replace(masks=None))
    state, _ = take(unknown, _streamed(unknown, WHOLE), ("f", "f_b"), calls=(2,))
    assert_same_bits(state, expected)
    assert 0 < ready.mean() < 1


def test_each_of_several_seeds_sees_its_own_stream(setup):
    setup = setup._replace(data=setup.data._replace(pictures=None))
    states = [init_state(seed, setup.method.init, setup.optimizers) for seed in (0, 5)]
    feed = _streamed(setup, WHOLE, seeds=2)
    together, _ = take(setup, feed, ("f",), state=stack_seeds(states), calls=(2,), several_seeds=True)
    for i, state in enumerate(states):
        alone, _ = take(setup, resident(setup), ("f",), state=state, calls=(2,))
        for a, b in zip(jax.tree.leaves(together.params), jax.tree.leaves(alone.params), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-4, atol=1e-6)


def test_a_stream_is_read_on_and_started_again_only_where_it_must():
    started = []

    def read(key, first):
        started.append(first)
        for step in itertools.count(first):
            yield Raw(np.full((4, 2, 2, 1), step, np.uint8), np.arange(4) + 10 * step)

    key, plan = jax.random.key(0), BatchPlan(Layout(2, 0, 2), 2, 1)
    feed = StreamedFeed([read], plan, jax.local_devices()[:2])
    first = feed.arrays(key, 3, 5)
    assert first.batches.images.shape[:1] + first.batches.images.shape[2:] == (2, 2, 2, 2, 1)  # all but the steps
    np.testing.assert_array_equal(first.batches.targets[:, :2], [[[30, 32], [40, 42]], [[31, 33], [41, 43]]])
    assert first.batches.images.sharding.device_set == set(jax.local_devices()[:2])
    assert jax.tree.map(jnp.shape, feed.arrays(key, 5, 6)) == jax.tree.map(jnp.shape, first)  # one compiled program
    assert started == [3]
    again = feed.arrays(key, 3, 4)
    assert started == [3, 3]
    np.testing.assert_array_equal(again.batches.targets[:, :1], [[[30, 32]], [[31, 33]]])
    assert feed.last(3) > 3


def test_a_resident_call_ends_with_its_epoch(setup):
    feed = resident(setup)  # three steps an epoch
    assert [feed.last(step) for step in range(5)] == [3, 3, 3, 6, 6]
    orders = [np.asarray(feed.arrays(setup.initial.key, step, step + 1).order) for step in (0, 2, 3)]
    np.testing.assert_array_equal(orders[0], orders[1])
    np.testing.assert_array_equal(orders[2], draw_order(setup.initial.key, jnp.int32(1), 48))
