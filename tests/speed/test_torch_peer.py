"""The PyTorch peer does the same work as our steps, of its fields and no others, compiled as it says."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax import config as configs
from bginv_jax.data.dataset import Description
from bginv_jax.images import augment
from bginv_jax.images.masks import dilate
from bginv_jax.methods import registry
from bginv_jax.methods.contract import Batch, Layout
from bginv_jax.speed import peer_fields, timing

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
    digits = Description("digits", (32, 32, 1), 32, tuple("0123456789"), N, N, "")
    method = registry.make_method(_config(), digits)
    variables = jax.jit(method.init)(jax.random.key(0, impl="rbg"))
    params = {name: tree["params"] for name, tree in variables.items()}
    params["f_b"]["Dense_0"]["bias"] += 1.0  # backgrounds bright enough to cost f_b something
    random = np.random.RandomState(0)
    x = random.uniform(size=(N, 32, 32, 1)).astype(np.float32)
    return method, params, jax.random.split(jax.random.key(1), N), x, np.round(x), random.randint(0, 10, N)


@pytest.mark.parametrize("active", timing.PHASES.values(), ids="+".join)
def test_the_peer_has_our_losses_and_gradients(peer, active):
    import torch

    from bginv_jax.speed import torch_networks

    method, params, keys, x, masks, targets = _ours()
    batch = Batch(x, targets, Layout(PLAIN, 0, N - PLAIN), None if "f_m" in active else masks)

    def ours(chosen):
        networks = {name: {"params": tree} for name, tree in {**params, **chosen}.items()}
        total, (metrics, _) = method.objective(keys, networks, batch, active)
        return total, metrics

    chosen = {name: params[name] for name in active}
    (total, metrics), gradients = jax.jit(jax.value_and_grad(ours, has_aux=True))(chosen)

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
        settings=peer_fields.settings(_config()),
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
    expected = augment.augment(keys, jnp.asarray(x), **settings).images
    moves = augment.draw_moves(keys, 16, **settings)
    maps = [torch.from_numpy(np.array(part)) for part in (moves.matrix, moves.offset)]
    mapped = peer.affine(_nchw(x), *maps)
    np.testing.assert_allclose(mapped, _nchw(expected), atol=1e-4)


@pytest.mark.parametrize(("name", "value"), [("rotation", 30.0), ("shear", 20.0), ("zoom", 0.5), ("shift", 0.25)])
def test_the_peers_random_maps_are_spread_as_ours(peer, name, value):
    settings = {"rotation": 0.0, "shift": 0.0, "shear": 0.0, "zoom": 0.0, "flip": True, name: value}
    draw = jax.jit(lambda keys: augment.draw_moves(keys, 32, **settings)[:2])
    theirs = peer.draw_affine(10000, 32, settings | {"brightness": 0.0}, "cpu")
    for a, b in zip(draw(jax.random.split(jax.random.key(0), 10000)), theirs, strict=True):
        for statistic in (np.min, np.max, np.mean, np.std):
            expected, actual = statistic(np.asarray(a), axis=0), statistic(b.numpy(), axis=0)
            np.testing.assert_allclose(actual, expected, atol=0.03 * max(1.0, np.abs(a).max()))


class _Noting(dict):
    """Settings that note which of them are read."""

    def __init__(self, values, noted, prefix=""):
        super().__init__(
            {k: _Noting(v, noted, f"{prefix}{k}.") if isinstance(v, dict) else v for k, v in values.items()}
        )
        self._noted, self._prefix = noted, prefix

    def __getitem__(self, name):
        if not isinstance(super().__getitem__(name), dict):
            self._noted.add(self._prefix + name)
        return super().__getitem__(name)


def test_the_peer_reads_each_field_that_it_is_said_to_read(peer, monkeypatch):
    noted = set()
    given = peer_fields.settings
    monkeypatch.setattr(peer.peer_fields, "settings", lambda config: _Noting(given(config), noted))
    config = _config()
    config.augment.rotation, config.augment.brightness = 5.0, 0.1
    _, _, _, x, _, targets = _ours()
    trainer = peer.Trainer(
        config, (255 * x).astype(np.uint8), None, targets.astype(np.int32), classes=10, active=("f", "f_m", "f_b")
    )
    assert set(trainer.run(1)) == {"loss", "accuracy", "mask_loss", "mask_area", "mask_contrast"}
    assert noted == {name for name, kind in peer_fields.FIELDS.items() if kind == peer_fields.READ}


def test_the_peer_refuses_what_the_list_says(peer):
    config = _config()
    config.mask.fill = "backdrop"
    with pytest.raises(ValueError, match="config.mask.fill is 'backdrop'; allowed with --peer=torch: black"):
        peer.Trainer(config, np.zeros((8, 32, 32, 1), np.uint8), None, np.zeros(8, np.int32), classes=10, active=("f",))
