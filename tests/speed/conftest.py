"""Networks that compile in a second, for steps that are otherwise as the config has them."""

import jax
import pytest

from bginv_jax.methods import proposal
from bginv_jax.networks.classifiers import CLASSIFIERS
from bginv_jax.networks.contract import BackgroundSource, flax_network
from tests.training.toys import Linear, Masks, Painter


@pytest.fixture
def small_networks(monkeypatch):
    """The proposal, on images of 16x16 pixels, with dense networks."""
    painter = flax_network(Painter(), (4,))
    source = BackgroundSource(painter.init, lambda key: jax.random.normal(key, (4,)), painter.apply)
    monkeypatch.setitem(CLASSIFIERS, "cnn", Linear)
    monkeypatch.setattr(proposal, "MaskGenerator", lambda width: Masks())
    monkeypatch.setattr(proposal, "background_source", lambda kind, shape, tiles, width: source)
