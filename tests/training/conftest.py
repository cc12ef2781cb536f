"""The second users of the seams, registered as anybody would: one entry each."""

import pytest

from bginv_jax.data.sources import SOURCES
from bginv_jax.networks.classifiers import CLASSIFIERS
from tests.training import registered, toys


@pytest.fixture(scope="module")
def registry():
    """Sources "toy", "floats" and "pose", classifiers "linear" and "normalised"; more may be set on what it yields."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SOURCES, "toy", registered.source("toy"))
        patch.setitem(SOURCES, "floats", registered.source("floats", registered.brightness))
        patch.setitem(SOURCES, "pose", registered.source("pose", registered.place_and_brightness))
        patch.setitem(CLASSIFIERS, "linear", toys.Linear)
        patch.setitem(CLASSIFIERS, "normalised", registered.Normalised)
        yield patch
