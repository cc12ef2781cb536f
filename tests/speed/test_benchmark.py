"""The PyTorch peer does the same work as our steps, and the benchmark's figures are figures."""

import functools
import json
import math
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax import config as configs
from bginv_jax.images import augment
from bginv_jax.images.masks import dilate
from bginv_jax.methods import registry
from bginv_jax.methods.contract import Batch
from bginv_jax.speed import benchmark

N, PLAIN = 8, 2


@pytest.fixture
def peer():
    pytest.importorskip("torch")
    from bginv_jax.speed import torch_peer

    return torch_peer


def _nchw(array):
    import torch

    return torch.from_numpy(np.array(array)).permute(0, 3, 1, 2)


def _config():
    config = configs.default_config()
    config.mask.halo = 0
    config.background.move = False
    config.background.brightness_weight = 3.0
    config.batch_size = N
    config.background.plain_share = PLAIN / N
    for name, value in config.augment.items():
        config.augment[name] = type(value)(0)
    return config


@functools.cache
def _ours():
    """(method, params, keys, images, masks, targets) of random 32x32 images: no two pixels tie in a pooling."""
    dataset = {"size": 32, "shape": [32, 32, 1], "class_names": list("0123456789")}
    method = registry.make_method(_config(), dataset)
    params = jax.jit(method.init)(jax.random.key(0, impl="rbg"))
    params["f_b"]["Dense_0"]["bias"] += 1.0  # backgrounds bright enough to cost f_b something
    random = np.random.RandomState(0)
    x = random.uniform(size=(N, 32, 32, 1)).astype(np.float32)
    return method, params, jax.random.split(jax.random.key(1), N), x, np.round(x), random.randint(0, 10, N)


@pytest.mark.parametrize("active", benchmark.PHASES.values(), ids="+".join)
def test_the_peer_has_our_losses_and_gradients(peer, active):
    import torch

    from bginv_jax.speed import torch_networks

    method, params, keys, x, masks, targets = _ours()
    batch = Batch(x, None if "f_m" in active else masks, targets, PLAIN)
    (total, metrics), gradients = jax.jit(
        jax.value_and_grad(lambda p: method.objective(keys, {**params, **p}, batch, active), has_aux=True)
    )({name: params[name] for name in active})

    trainer = peer.Trainer(
        _config(), (255 * x).astype(np.uint8), None, targets.astype(np.int32), classes=10, active=active
    )
    torch_networks.load_flax(trainer.networks, params)
    noise = jax.vmap(lambda key: jax.random.normal(jax.random.split(key, 3)[1], (4, 4, 4, 1)))(keys[PLAIN:])
    still = torch.zeros(N - PLAIN, 3, dtype=torch.long)
    draws = peer.Draws(_nchw(noise.reshape(-1, 4, 4, 1)), still[:, 0], still[:, :2], still > 0)
    peer_total, peer_metrics = peer.objective(
        trainer.networks,
        _nchw(x),
        None if "f_m" in active else _nchw(masks),
        torch.from_numpy(targets),
        draws,
        active=active,
        plain=PLAIN,
        settings=_config().to_dict(),
    )

    assert peer_total.item() == pytest.approx(float(total), rel=1e-5)
    assert {name: float(value) for name, value in peer_metrics.items()} == pytest.approx(
        {name: float(value) for name, value in metrics.items()}, rel=1e-4
    )
    before = {name: [p.detach().clone() for p in trainer.networks[name].parameters()] for name in active}
    trainer.update(peer_total)
    for name in active:
        for parameter, expected in torch_networks.in_its_layout(trainer.networks[name], gradients[name]):
            np.testing.assert_allclose(parameter.grad, expected, rtol=0, atol=1e-3 * float(expected.abs().max()))
        uphill = sum(
            ((after.detach() - start) * after.grad).sum()
            for after, start in zip(trainer.networks[name].parameters(), before[name], strict=True)
        )
        assert (uphill > 0) == (name == "f_b")
    if active == ("f_m",):
        assert all(p.grad is None for p in trainer.networks["f"].parameters())


def test_the_peer_dilates_moves_and_maps_as_we_do(peer):
    import torch

    random = np.random.RandomState(1)
    x = random.uniform(size=(N, 16, 16, 3)).astype(np.float32)
    radius = np.arange(N) % 5
    expected = dilate(x, radius, largest=4)
    np.testing.assert_array_equal(peer.dilate(_nchw(x), torch.from_numpy(radius), largest=4), _nchw(expected))

    shifts, turns = random.randint(0, 16, (N, 2)), np.array([[i & 1, i & 2, i & 4] for i in range(N)]) > 0
    moved = peer.move(_nchw(x), torch.from_numpy(shifts), torch.from_numpy(turns)).permute(0, 2, 3, 1).numpy()
    for start, end, shift, (upside_down, mirrored, transposed) in zip(x, moved, shifts, turns, strict=True):
        start = np.roll(start, shift, axis=(0, 1))
        start = start[::-1] if upside_down else start
        start = start[:, ::-1] if mirrored else start
        np.testing.assert_array_equal(end, start.swapaxes(0, 1) if transposed else start)

    settings = {"rotation": 30.0, "shift": 0.1, "shear": 10.0, "zoom": 0.2, "flip": True}
    keys = jax.random.split(jax.random.key(0), N)
    expected, _ = augment.augment(keys, jnp.asarray(x), **settings)
    maps = jax.vmap(lambda key: augment._inverse_affine(key, 16, **settings))(keys)
    mapped = peer.affine(_nchw(x), *(torch.from_numpy(np.array(part)) for part in maps))
    np.testing.assert_allclose(mapped, _nchw(expected), atol=1e-4)


@pytest.mark.parametrize(("name", "value"), [("rotation", 30.0), ("shear", 20.0), ("zoom", 0.5), ("shift", 0.25)])
def test_the_peers_random_maps_are_spread_as_ours(peer, name, value):
    settings = {"rotation": 0.0, "shift": 0.0, "shear": 0.0, "zoom": 0.0, "flip": True, name: value}
    ours = jax.vmap(lambda key: augment._inverse_affine(key, 32, **settings))(
        jax.random.split(jax.random.key(0), 10000)
    )
    theirs = peer.draw_affine(10000, 32, settings | {"brightness": 0.0}, "cpu")
    for a, b in zip(ours, theirs, strict=True):
        for statistic in (np.min, np.max, np.mean, np.std):
            expected, actual = statistic(np.asarray(a), axis=0), statistic(b.numpy(), axis=0)
            np.testing.assert_allclose(actual, expected, atol=0.03 * max(1.0, np.abs(a).max()))


def test_the_command_line_prints_a_table_and_writes_finite_records(tiny_folder, tmp_path):
    output = tmp_path / "benchmark.json"
    command = [sys.executable, "-m", "bginv_jax.benchmark", "--phases=vanilla", "--batch_size=8", "--pairs=2"]
    command += ["--seconds=0.1", f"--output={output}", f"--config.data.source=idx:{tiny_folder}"]
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    result = json.loads(output.read_text())
    (record,) = result["records"]
    figures = {name: value for name, value in record.items() if name not in ("phase", "networks", "compile_seconds")}
    assert all(value > 0 and math.isfinite(value) for value in figures.values()), figures
    assert record["devices"] == result["machine"]["devices"] == 2
    assert record["peak_mb"] > record["imports_mb"] > 10
    # The classifier of 16x16 images: forward, and backward without the gradient for the image.
    convolutions, dense = (18 * 16**2 * 32, 18 * 8**2 * 32 * 64), 2 * (4 * 4 * 64 * 128 + 128 * 3)
    assert record["mflop_per_image"] == pytest.approx(
        (2 * convolutions[0] + 3 * convolutions[1] + 3 * dense) / 1e6, rel=0.5
    )
    assert "vanilla" in done.stdout
    assert f"{record['images_per_second']:.0f}" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairs": 6, "peer": True}, r"--pairs is 6; allowed: at least 7 with --peer=torch"),
        ({"pairs": 0}, r"--pairs is 0; allowed: at least 1$"),
        ({"phases": ["both"]}, r"--phases has 'both'; allowed .*: vanilla, mask, adversarial, joint"),
        ({"batch_sizes": [64, 4001]}, r"--batch_size is 4001; allowed: 1 to 4000"),
    ],
)
def test_wrong_flags_are_refused(options, message):
    usual = {"phases": ["mask"], "batch_sizes": [64], "peer": False, "pairs": 7, "seconds": 0.1}
    with pytest.raises(ValueError, match=message):
        benchmark.benchmark(configs.default_config(), **(usual | options))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("classifier", "lenet", "config.classifier is 'lenet'; allowed with --peer=torch: cnn"),
        ("background.ink_share", 0.5, "config.background.ink_share is 0.5; allowed with --peer=torch: 0.0"),
        ("mask.erosion", 1, "config.mask.erosion is 1; allowed with --peer=torch: 0"),
        ("augment.elastic", 0.1, "config.augment.elastic is 0.1; allowed with --peer=torch: 0.0"),
        ("label_smoothing", 0.1, "config.label_smoothing is 0.1; allowed with --peer=torch: 0.0"),
        ("weight_decay", 0.1, "config.weight_decay is 0.1; allowed with --peer=torch: 0.0"),
    ],
)
def test_what_the_peer_lacks_is_refused(monkeypatch, field, value, message):
    monkeypatch.setattr(benchmark.util, "find_spec", lambda name: name)
    config = configs.default_config()
    config.update_from_flattened_dict({field: value})
    with pytest.raises(ValueError, match=message):
        benchmark.benchmark(config, phases=["mask"], batch_sizes=[8], peer=True, pairs=7, seconds=0.1)


def test_a_missing_pytorch_is_named(monkeypatch):
    monkeypatch.setattr(benchmark.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"--peer=torch needs PyTorch: pip install 'bginv_jax\[bench\]'"):
        benchmark.benchmark(configs.default_config(), phases=["mask"], batch_sizes=[8], peer=True, pairs=7, seconds=0.1)
