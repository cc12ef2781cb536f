"""Checkpoints keep every bit, the newest intact one is found, and another run is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bginv_jax.config import default_config
from bginv_jax.data.dataset import Description
from bginv_jax.errors import DivergedError, InputError
from bginv_jax.training import checkpoints, same_run
from bginv_jax.training.state import TrainState
from tests.training.toys import assert_same_bits

DESCRIPTION = Description("toy", (2, 2, 1), 16, ("a",), 3, 1, "abc")
STATISTICS = {"f": {"batch_stats": {"mean": jnp.ones(4)}}, "f_b": {}}
NONE = {"f": {}, "f_b": {}}


def _state(count, statistics=NONE):
    params = {"f": {"kernel": jax.random.normal(jax.random.key(count), (3, 4))}, "f_b": {}}
    opt_state = {name: optax.adam(1e-3).init(own) for name, own in params.items()}
    return TrainState(jnp.int32(count), jax.random.key(7), params, opt_state, statistics)


@pytest.fixture(params=["without statistics", "with statistics"])
def saved(tmp_path, request):
    """A workdir with checkpoints after steps 2 and 4, what was saved, and the config."""
    config = default_config()
    states = [_state(count, STATISTICS if request.param == "with statistics" else NONE) for count in (2, 4)]
    with checkpoints.open_manager(tmp_path, kept=2) as manager:
        for state in states:
            checkpoints.save(manager, state, config, DESCRIPTION, {"commit": "0123"})
    return tmp_path, states, config


def _restore(workdir, template):
    with checkpoints.open_manager(workdir) as manager:
        restored = checkpoints.restore(manager, lambda meta: template)
        return None if restored is None else restored[0]


def _damage(workdir, step):
    for path in (workdir / "checkpoints" / str(step) / "state").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:10])


def test_the_newest_checkpoint_comes_back_with_every_bit(saved):
    workdir, states, _ = saved
    restored = _restore(workdir, jax.eval_shape(lambda: states[0]))
    assert_same_bits(restored, states[1])
    assert not np.array_equal(restored.params["f"]["kernel"], states[0].params["f"]["kernel"])


def test_networks_come_back_without_optimiser_and_schedule(saved):
    workdir, states, config = saved
    with checkpoints.open_manager(workdir) as manager:
        trained = checkpoints.restore_networks(manager, lambda meta: jax.eval_shape(states[0].networks))
    assert_same_bits(trained.networks, states[1].networks())
    assert trained.steps == 4
    assert trained.meta["origin"] == {"commit": "0123"}
    assert Description.from_json(trained.meta["dataset"]) == DESCRIPTION
    same_run.check_same_run(trained.meta, config, DESCRIPTION)


def test_a_damaged_checkpoint_is_passed_over_and_written_again(saved, caplog):
    workdir, states, config = saved
    _damage(workdir, 4)
    with checkpoints.open_manager(workdir, kept=2) as manager:
        assert_same_bits(checkpoints.restore(manager, lambda meta: states[0])[0], states[0])
        assert "checkpoint 4 of" in caplog.text
        checkpoints.save(manager, states[1], config, DESCRIPTION, {})
    assert_same_bits(_restore(workdir, states[0]), states[1])


def test_damaged_checkpoints_after_the_newest_whole_one_do_not_keep_others_from_being_written(saved, caplog):
    workdir, states, config = saved
    _damage(workdir, 4)
    (workdir / "checkpoints" / "12").mkdir()
    (workdir / "checkpoints" / "notes.txt").touch()
    with checkpoints.open_manager(workdir, kept=2) as manager:
        assert_same_bits(checkpoints.restore(manager, lambda meta: states[0])[0], states[0])
        third = states[1]._replace(step=jnp.int32(3))
        checkpoints.save(manager, third, config, DESCRIPTION, {})
    assert caplog.text.count("which cannot be read, is removed") == 2
    assert_same_bits(_restore(workdir, states[0]), third)
    assert sorted(path.name for path in (workdir / "checkpoints").iterdir()) == ["2", "3", "notes.txt"]


def test_no_checkpoint_and_none_intact(saved, tmp_path_factory):
    assert _restore(tmp_path_factory.mktemp("empty"), None) is None
    workdir, states, _ = saved
    for path in (workdir / "checkpoints").rglob("*"):
        if path.is_file() and "meta" in str(path):
            path.write_bytes(b"{")
    with pytest.raises(InputError, match=r"none of the checkpoints \[4, 2\] can be read"):
        _restore(workdir, states[0])


def test_an_error_of_the_template_is_not_held_back(saved):
    workdir, _, _ = saved

    def template(meta):
        raise InputError("another run")

    with checkpoints.open_manager(workdir) as manager, pytest.raises(InputError, match="another run"):
        checkpoints.restore(manager, template)


def _broken(state, part):
    """The state with one number of a part that is not finite."""
    tree = getattr(state, part)
    leaves, structure = jax.tree.flatten(tree["f"])
    place = max(i for i, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating))
    leaves[place] = leaves[place].at[0].set(jnp.nan)
    return state._replace(**{part: {**tree, "f": jax.tree.unflatten(structure, leaves)}})


@pytest.mark.parametrize("part", ["params", "opt_state", "statistics"])
def test_a_state_that_is_not_finite_is_neither_written_nor_restored(tmp_path, caplog, monkeypatch, part):
    """Written it would push out one that is; and what an earlier version wrote is passed over."""
    config, whole = default_config(), _state(2, STATISTICS)
    config.weight_decay = 0.5
    broken = _broken(_state(4, STATISTICS), part)
    with checkpoints.open_manager(tmp_path, kept=2) as manager:
        checkpoints.save(manager, whole, config, DESCRIPTION, {})
        with pytest.raises(DivergedError, match="step 4: the parameters of f .*; lower config.rate.f, config.weight_"):
            checkpoints.save(manager, broken, config, DESCRIPTION, {})
        assert manager.all_steps() == [2]
        monkeypatch.setattr(checkpoints, "check_finite", lambda *_: None)
        checkpoints.save(manager, broken, config, DESCRIPTION, {})
    assert_same_bits(_restore(tmp_path, whole), whole)
    assert "checkpoint 4 of" in caplog.text
    with checkpoints.open_manager(tmp_path) as manager:
        trained = checkpoints.restore_networks(manager, lambda meta: whole.networks())
    assert trained.steps == (4 if part == "opt_state" else 2)  # the networks themselves are finite


def test_where_no_state_is_finite_none_is_restored(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "check_finite", lambda *_: None)
    with checkpoints.open_manager(tmp_path, kept=2) as manager:
        checkpoints.save(manager, _broken(_state(4), "params"), default_config(), DESCRIPTION, {})
    with (
        checkpoints.open_manager(tmp_path) as manager,
        pytest.raises(InputError, match=r"none of the checkpoints \[4\] can be read"),
    ):
        checkpoints.restore_networks(manager, lambda meta: _state(2).networks())
