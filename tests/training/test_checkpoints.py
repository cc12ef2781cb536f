"""Checkpoints keep every bit, the newest intact one is found, and another run is refused."""

import jax
import numpy as np
import pytest

from bginv_jax.config import default_config
from bginv_jax.data import sources
from bginv_jax.methods import registry
from bginv_jax.training import checkpoints, state
from bginv_jax.training.state import TrainState


@pytest.fixture
def saved(tmp_path):
    """A workdir with checkpoints after steps 2 and 4, and what was saved at 4."""
    config = default_config()
    dataset = {"name": "toy", "shape": [2, 2, 1], "size": 16, "class_names": ["a"], "sha256": "abc"}
    states = []
    with checkpoints.open_manager(tmp_path, kept=2) as manager:
        for count in (2, 4):
            params = {"f": {"kernel": jax.random.normal(jax.random.key(count), (3, 4))}, "f_b": {}}
            states.append(TrainState(jax.numpy.int32(count), jax.random.key(7), params, {"f": (), "f_b": ()}))
            checkpoints.save(manager, states[-1], config, dataset, {})
    return tmp_path, states, config, dataset


def _same_bits(a, b):
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    raw = [[np.asarray(jax.random.key_data(x) if x.dtype == jax.random.key(0).dtype else x) for x in p] for p in pairs]
    return all(x.tobytes() == y.tobytes() and x.dtype == y.dtype for x, y in raw)


def test_the_newest_checkpoint_comes_back_with_every_bit(saved):
    workdir, states, config, dataset = saved
    with checkpoints.open_manager(workdir) as manager:
        restored, meta = checkpoints.restore(manager, lambda meta: states[0])
    assert _same_bits(restored, states[1])
    assert not _same_bits(restored, states[0])
    assert meta["dataset"] == dataset
    checkpoints.check_same_run(meta, config, dataset)


def test_a_damaged_checkpoint_is_passed_over_and_written_again(saved, caplog):
    workdir, states, config, dataset = saved
    for path in (workdir / "checkpoints" / "4" / "state").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:10])
    with checkpoints.open_manager(workdir, kept=2) as manager:
        restored, _ = checkpoints.restore(manager, lambda meta: states[0])
        assert _same_bits(restored, states[0])
        assert "checkpoint 4 of" in caplog.text
        checkpoints.save(manager, states[1], config, dataset, {})
    with checkpoints.open_manager(workdir) as manager:
        assert _same_bits(checkpoints.restore(manager, lambda meta: states[0])[0], states[1])


def test_no_checkpoint_and_none_intact(saved, tmp_path_factory):
    with checkpoints.open_manager(tmp_path_factory.mktemp("empty")) as manager:
        assert checkpoints.restore(manager, lambda meta: None) is None
    workdir, states, *_ = saved
    for path in (workdir / "checkpoints").rglob("*"):
        if path.is_file() and "meta" in str(path):
            path.write_bytes(b"{")
    with (
        checkpoints.open_manager(workdir) as manager,
        pytest.raises(ValueError, match=r"none of the checkpoints \[4, 2\] can be read"),
    ):
        checkpoints.restore(manager, lambda meta: states[0])


def test_another_config_or_other_data_are_refused(saved):
    _, _, config, dataset = saved
    meta = {"config": config.to_dict(), "dataset": dataset}
    config.log_every = 7
    config.data.dir = "/elsewhere"
    checkpoints.check_same_run(meta, config, dataset)
    with pytest.raises(ValueError, match="whose images or labels are not those"):
        checkpoints.check_same_run(meta, config, dataset | {"sha256": "abd"})
    config.rate.f = 0.5
    with pytest.raises(ValueError, match=r"config.rate.f is 0.5, but the run in this workdir was started with 0.001"):
        checkpoints.check_same_run(meta, config, dataset)


def test_the_template_has_the_shapes_of_the_state(tiny_config):
    dataset = sources.load(tiny_config.data).describe()
    method = registry.make_method(tiny_config, dataset)
    template = state.abstract_state(tiny_config, method)
    actual = state.init_state(1, method.init, state.make_optimizers(tiny_config))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), actual) == jax.tree.map(lambda x: (x.shape, x.dtype), template)
