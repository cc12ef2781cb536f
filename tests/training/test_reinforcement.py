"""Q-learning by hand: values, what is remembered, what is explored; and runs that are split, killed and continued."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from bginv_jax import load_predictor
from bginv_jax.config import default_config
from bginv_jax.data import sources
from bginv_jax.methods.contract import Layout
from bginv_jax.methods.vanilla import make_vanilla
from bginv_jax.networks.averaging import averaged
from bginv_jax.networks.contract import flax_network, stateless
from bginv_jax.tasks.q_learning import q_learning
from bginv_jax.training import reinforcement, wiring
from bginv_jax.training.feed import BatchPlan, Raw, Resident, ResidentFeed
from bginv_jax.training.loop import train
from bginv_jax.training.state import init_state, make_optimizers
from bginv_jax.training.step import Learning, make_train_step
from bginv_jax.worlds.play import Moves
from tests.conftest import changed, same_bits
from tests.worlds.test_play import COUNTER

CLASSIFIER = "tests.training.test_reinforcement:Small"


class Small(nn.Module):
    """Pictures (N, 32, 32, 1) -> Q (N, outputs), of 64 pixels each."""

    outputs: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.outputs)(x[:, ::4, ::4].reshape(len(x), -1))


def some_moves(rewards, ended, first=0):
    states = jnp.arange(first, first + len(rewards))
    return Moves(states, jnp.zeros(len(rewards), jnp.int32), jnp.array(rewards), states + 1, jnp.array(ended))


def test_what_moves_are_worth_by_hand():
    moves = some_moves([0.0, 1.0, -1.0, 2.0], [False, False, True, True])
    values = jnp.array([[0.5, 0.25], [-2.0, -1.0], [7.0, 8.0], [9.0, 0.0]])
    # 0 + 0.5 * 0.5; 1 - 0.5 * 1; where it ended nothing follows.
    np.testing.assert_allclose(reinforcement.worth(moves, values, 0.5), [0.25, 0.5, -1.0, 2.0])


def test_the_oldest_moves_are_forgotten_first():
    memory = some_moves([0.0] * 6, [False] * 6)
    for step in range(4):
        memory = reinforcement.remember(memory, some_moves([1.0] * 2, [True] * 2, 10 * (step + 1)), jnp.int32(step))
        if step == 1:
            np.testing.assert_array_equal(memory.before, [10, 11, 20, 21, 4, 5])
    np.testing.assert_array_equal(memory.before, [40, 41, 20, 21, 30, 31])
    np.testing.assert_array_equal(memory.after, [41, 42, 21, 22, 31, 32])
    assert memory.ended.all()


def test_random_moves_become_few():
    shares = [float(reinforcement.explored(jnp.int32(step), 10)) for step in (0, 5, 10, 1000)]
    np.testing.assert_allclose(shares, [1, 1 - 0.95 / 2, 0.05, 0.05], rtol=1e-6)
    assert reinforcement.explored(jnp.int32(1), 0) == pytest.approx(0.05)


def test_a_memory_begins_full_of_random_play():
    memory = reinforcement.begin(jax.random.key(0), COUNTER, worlds=4, capacity=50)
    assert memory.moves.actions.shape == (52,)  # 13 in each
    assert set(np.unique(memory.moves.before)) == {10, 11, 12}
    assert memory.games.states.shape == (4,)
    assert np.isfinite(memory.games.returns).all()


def _method(q):
    return make_vanilla(
        stateless(lambda key: {"q": jnp.array(q)}, lambda params, x: x.mean((1, 2)) * params["q"]), TASK
    )


TASK = q_learning(COUNTER.actions)


@pytest.fixture(scope="module")
def played():
    """What one step of play makes of a state, 8 places of the batch; Q is (2, 1) times the counter / 255."""
    method = _method([2.0, 1.0])
    state = init_state(0, method.init, make_optimizers((), {"f": 0.1}))
    state = state._replace(memory=reinforcement.begin(state.key, COUNTER, worlds=4, capacity=16))
    play = jax.jit(reinforcement.make_play(COUNTER, method, discount=0.5, exploring_steps=0))
    raw = Raw(jnp.zeros((8, 32, 32, 1), jnp.uint8), {"action": jnp.zeros(8), "value": jnp.zeros(8)})
    return state, play, raw


def test_a_step_plays_greedily_and_remembers(played):
    state, play, raw = played
    actions = []
    for step in range(40):
        after, _, metrics = play(state._replace(step=jnp.int32(step)), raw, jnp.arange(8))
        place = step * 4 % 16
        new = jax.tree.map(lambda leaf, place=place: leaf[place : place + 4], after.memory.moves)
        np.testing.assert_array_equal(new.before, state.memory.games.states)
        actions.append(np.asarray(new.actions))
        assert metrics["return"] == after.memory.games.returns.mean()
    assert 0 < np.mean(actions) < 0.1  # action 0 has the larger Q; of 5 % at random half are the other


def test_targets_are_of_plain_pictures_by_hand(played):
    state, play, raw = played
    after, drawn, _ = play(state, raw, jnp.arange(8))
    counters = np.round(255 * np.asarray(drawn.images[:, 0, 0, 0]))
    moves = jax.tree.map(np.asarray, after.memory.moves)
    assert drawn.masks is None
    for counter, action, value in zip(counters, drawn.targets["action"], drawn.targets["value"], strict=True):
        assert ((moves.before == counter) & (moves.actions == action)).any()
        following = 0.0 if action == 1 else 0.5 * 2 * (counter + 1) / 255  # action 1 ends the episode
        assert value == pytest.approx((5.0 if action == 1 else 1.0) + following, rel=1e-6)


def test_a_place_of_the_batch_draws_the_same_however_the_batch_is_split(played):
    state, play, raw = played
    _, whole, _ = play(state, raw, jnp.arange(8))
    _, part, _ = play(state, raw, jnp.arange(4, 8))
    assert same_bits(jax.tree.map(lambda leaf: leaf[4:], (whole.images, whole.targets)), (part.images, part.targets))
    _, later, _ = play(state._replace(step=state.step + 1), raw, jnp.arange(8))
    assert not same_bits(whole.targets, later.targets)


def test_targets_are_the_average_network_s():
    f = averaged(stateless(lambda key: {"q": jnp.ones(2)}, lambda params, x: x.mean((1, 2)) * params["q"]), 0.9)
    method = make_vanilla(f, TASK)
    state = init_state(0, method.init, make_optimizers((), {"f": 0.1}))
    state = state._replace(memory=reinforcement.begin(state.key, COUNTER, worlds=4, capacity=16))
    play = reinforcement.make_play(COUNTER, method, discount=0.5, exploring_steps=0)
    raw = Raw(jnp.zeros((8, 32, 32, 1), jnp.uint8), None)
    _, drawn, _ = play(state, raw, jnp.arange(8))
    moved = state._replace(params={"f": {"q": jnp.full(2, 100.0)}})
    assert same_bits(drawn.targets["value"], play(moved, raw, jnp.arange(8))[1].targets["value"])


def test_two_devices_learn_as_one():
    method = make_vanilla(flax_network(Small(2), (32, 32, 1)), TASK)
    optimizers = make_optimizers((), {"f": 0.1})
    initial = init_state(0, method.init, optimizers)
    initial = initial._replace(memory=reinforcement.begin(initial.key, COUNTER, worlds=4, capacity=16))
    data = Resident(np.zeros((8, 32, 32, 1), np.uint8), {"action": np.zeros(8, np.int32), "value": np.zeros(8)})
    states = []
    for count in (1, 2):
        plan, devices = BatchPlan(Layout(8), count, 1), jax.local_devices()[:count]
        play = reinforcement.make_play(COUNTER, method, discount=0.5, exploring_steps=0)
        learning = Learning(method, optimizers, ("f",), plan, play=play)
        feed = ResidentFeed(data, 8, devices)
        steps = make_train_step(devices, feed, learning=learning)
        state = jax.device_put(jax.tree.map(jnp.copy, initial), jax.sharding.SingleDeviceSharding(devices[0]))
        states.append(
            jax.device_get(
                steps(wiring.hardware.replicate(state, devices), feed.arrays(state.key, 0, 1), np.int32(1))[0]
            )
        )
    one, two = states
    assert same_bits(one.memory, two.memory)
    for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(two.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.fixture(scope="module")
def config():
    """Catch, with a linear f, for ten steps."""
    config = default_config()
    config.method, config.task, config.data.source = "vanilla", "q_learning", "world:catch"
    config.classifier, config.classifier_average = CLASSIFIER, 0.9
    config.schedule, config.steps, config.batch_size = ("f:1",), 10, 8
    config.augment.update({"rotation": 0.0, "shift": 0.0, "zoom": 0.0})
    config.play.update({"worlds": 2, "memory": 64})
    config.log_every, config.checkpoint_every = 5, 5
    return config


def test_a_run_that_goes_on_is_one_that_never_stopped(config, tmp_path):
    whole = train(config, tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wiring.Run, "make_step", _stopping(wiring.Run.make_step, 5))
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "killed")
    assert [path.name for path in (tmp_path / "killed" / "checkpoints").iterdir()] == ["5"]
    assert same_bits(train(config, tmp_path / "killed"), whole)
    assert whole.memory.moves.actions.shape == (64,)
    lines = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("whole", "killed")]
    assert [line.count('"return": ') for line in lines[0]] == [1, 1]
    frames = sources.load(config.data).test.images[:3]
    assert load_predictor(tmp_path / "killed")(frames).shape == (3, 3)


def _stopping(make_step, last):
    """make_step whose steps stop where they are asked to go on from `last`."""

    def make(run, phase, feed):
        take = make_step(run, phase, feed)

        def stop(state, arrays, count):
            if int(state.step) >= last:
                raise KeyboardInterrupt
            return take(state, arrays, count)

        return stop

    return make


def test_several_seeds_together_play_as_each_alone(config, tmp_path):
    single = changed(config, steps=3)
    alone = [train(changed(single, seed=seed), tmp_path / str(seed)) for seed in (1, 2)]
    together = train(changed(single, seeds=(1, 2)), tmp_path / "both")
    for i, state in enumerate(alone):
        of_seed = jax.tree.map(lambda leaf, i=i: leaf[i], together.memory)
        assert same_bits(of_seed.moves.actions, state.memory.moves.actions)
        assert same_bits(of_seed.games, state.memory.games)
