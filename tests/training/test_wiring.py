"""A config becomes a plan, optimisers, feeds and steps; what does not suit the data is refused before it compiles."""

import jax
import numpy as np
import pytest

from bginv_jax.backgrounds.families import FAMILIES
from bginv_jax.data import sources
from bginv_jax.errors import InputError
from bginv_jax.methods.contract import Layout, Recipe
from bginv_jax.methods.registry import METHODS
from bginv_jax.training.feed import BatchPlan
from bginv_jax.training.wiring import wire
from tests.training import registered

pytestmark = pytest.mark.usefixtures("registry")


def _proposal(**changes):
    """A joint run without networks but f: masks are what is not black, backgrounds are noise."""
    fields = {"method": "proposal", "schedule": ("f+f_b:1",), "mask__kind": "nonzero", "background__kind": "noise"}
    return registered.config(**fields | changes)


def _wire(config):
    return wire(config, sources.load(config.data))


def test_a_batch_without_composites_is_all_kept():
    assert _wire(registered.config()).plan == BatchPlan(Layout(16), 8, 1)


def test_shares_of_a_batch_are_planned_where_a_phase_composes():
    assert _wire(_proposal(background__plain_share=0.5)).plan == BatchPlan(Layout(8, 0, 8), 8, 1)
    run = _wire(_proposal(background__families=(next(iter(FAMILIES)),), background__pictured_share=0.25))
    assert run.plan == BatchPlan(Layout(4, 4, 8), 4, 1)
    assert len(run.devices) == 4
    assert run.pictures.shape[1:] >= (16, 16, 1)
    feed = run.make_feed(run.phases[0], run.init().networks())
    assert feed.data.pictures.shape == run.pictures.shape


def test_ready_masks_are_made_once_and_are_bytes():
    run = _wire(_proposal())
    feed = run.make_feed(run.phases[0], run.init().networks())
    np.testing.assert_array_equal(feed.data.masks, np.where(run.dataset.train.images > 0, 255, 0))
    assert feed.data.masks.dtype == np.uint8
    given = np.ones((48, 16, 16, 1), np.uint8)
    np.testing.assert_array_equal(run.make_feed(run.phases[0], {}, masks=given).data.masks, given)
    several = _wire(_proposal(seeds=(1, 2)))
    assert several.make_feed(several.phases[0], several.init().networks()).data.masks.shape == (2, 48, 16, 16, 1)


def test_masks_that_are_not_cut_stay_floats():
    run = _wire(_proposal(mask__binarize="none"))
    assert run.make_feed(run.phases[0], run.init().networks()).data.masks.dtype == np.float32


def test_a_phase_learns_as_the_config_says():
    run = _wire(registered.config(method="proposal", schedule=("f+f_m:1",), mask__fill="backdrop"))
    learning = run.learning(run.phases[0])
    assert learning.active == ("f", "f_m")
    assert learning.augmentation == run.config.augment.to_dict()
    assert learning.align_masks
    np.testing.assert_array_equal(learning.fill, np.zeros((16, 16, 1)))  # what lies behind most objects is black
    assert _wire(registered.config()).learning(run.phases[0]).fill is None


@pytest.mark.parametrize("seeds", [(), (0, 7)])
def test_the_shapes_of_a_state_are_known_without_making_it(seeds):
    run = _wire(registered.config(classifier="normalised", seeds=seeds))
    shapes, state = jax.eval_shape(run.init), run.init()
    assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == jax.tree.map(lambda x: (x.shape, x.dtype), shapes)
    assert len(run.of_each_seed(state.networks())) == max(1, len(seeds))


def test_a_network_without_a_rate_of_its_own_has_that_of_f(monkeypatch):
    vanilla = METHODS["vanilla"].make
    monkeypatch.setitem(METHODS, "mine", Recipe(("f", "g"), vanilla))
    optimizers = _wire(registered.config(method="mine", rate__f=0.25, rate__decay="constant")).optimizers
    for name in ("f", "g"):
        updates, _ = optimizers[name].update(np.float32(1), optimizers[name].init(np.float32(0)))
        assert updates == pytest.approx(-0.25, rel=1e-4)


def test_what_does_not_suit_the_data_is_refused():
    for changes, message in (
        ({"batch_size": 49}, "config.batch_size is 49; allowed: up to 48 images"),
        ({"data__source": "floats"}, "config.task is 'classification', but data set floats has no classes"),
        ({"task": "regression", "label_smoothing": 0.5}, "config.label_smoothing is 0.5; allowed with config.task"),
    ):
        with pytest.raises(InputError, match=message):
            _wire(registered.config(**changes))
