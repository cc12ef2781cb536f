"""Programs and arrays over devices."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.training import devices as hardware


@pytest.fixture(scope="module", params=[1, 3])
def forward(request):
    devices = jax.local_devices()[:2]
    return hardware.make_forward(lambda w, x: w * x.sum(axis=(1, 2, 3)), devices, chunk=8, passes=request.param)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 33, 40, 48, 49])
def test_forward_gives_one_output_per_image_in_order(forward, count):
    x = np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1) * np.ones((1, 2, 2, 1), np.float32)
    np.testing.assert_allclose(forward(jnp.float32(0.5), x), 2 * np.arange(count), rtol=1e-6)


def test_forward_takes_bytes_as_shares_of_white(forward):
    np.testing.assert_allclose(forward(jnp.float32(1), np.full((3, 1, 1, 1), 51, np.uint8)), [0.2] * 3, rtol=1e-6)


@pytest.mark.parametrize(("count", "passes"), [(1, 2), (16, 2), (17, 4), (48, 6), (49, 8)])
def test_forward_makes_no_more_passes_than_the_images_need(count, passes):
    made = []

    def apply(_, x):
        jax.debug.callback(lambda: made.append(len(x)))
        return x.sum(axis=(1, 2, 3))

    forward = hardware.make_forward(apply, jax.local_devices()[:2], chunk=8, passes=3)
    forward(jnp.float32(0), np.zeros((count, 2, 2, 1), np.float32))
    jax.effects_barrier()
    assert made == [8] * passes


def test_a_mapped_program_means_over_its_devices():
    devices = jax.local_devices()[:4]
    program = hardware.map_program(
        lambda weight, x: hardware.mean(weight * x), devices, in_axes=(None, 0), out_axes=None
    )
    weight, x = hardware.replicate(jnp.float32(2), devices), hardware.split(np.arange(4.0, dtype=np.float32), devices)
    assert weight.sharding.device_set == x.sharding.device_set == set(devices)
    assert program(weight, x) == 2 * 1.5


def test_they_are_described():
    assert hardware.describe() == "8 cpu"
    assert hardware.on_cpu()
    assert len(hardware.local()) == 8


def test_of_each_process_as_many_devices_share_a_batch(monkeypatch):
    devices = [SimpleNamespace(process_index=index, id=i) for i, index in enumerate((1, 0, 0, 1, 0))]
    monkeypatch.setattr(jax, "devices", lambda: devices)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    assert hardware.sharing() == 4
    chosen = hardware.of_all(4)
    assert [device.id for device in chosen] == [1, 2, 0, 3]
    assert hardware.own_places(chosen).tolist() == [2, 3]
    assert [device.id for device in hardware.own(hardware.of_all(2))] == [0]
