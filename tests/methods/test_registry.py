"""What every method gets from its config, whichever it is."""

import jax
import numpy as np
import pytest

from bginv_jax.config import default_config
from bginv_jax.data.dataset import Description
from bginv_jax.errors import InputError
from bginv_jax.images.pixels import reframe
from bginv_jax.methods import registry
from bginv_jax.methods.configured import in_views

PICTURES = Description("toy", (16, 16, 3), 16, ("a", "b"), 4, 4, "")


def test_views_are_averaged():
    images = jax.random.uniform(jax.random.key(0), (3, 8, 8, 1))
    viewed = in_views(lambda networks, x: networks["f"] * x.mean(axis=(1, 2)), (1.0, 0.5))
    expected = (2 * images.mean(axis=(1, 2)) + 2 * reframe(images, 0.5).mean(axis=(1, 2))) / 2
    np.testing.assert_allclose(viewed({"f": 2.0}, images), expected, rtol=1e-6)


@pytest.mark.parametrize("method", ["vanilla", "proposal"])
def test_views_are_of_predictions_alone(method):
    config = default_config()
    config.update_from_flattened_dict({"method": method, "classifier": "lenet"})
    plain = registry.make_method(config, PICTURES)
    config.classifier_views = (1.0, 0.5)
    viewed = registry.make_method(config, PICTURES)
    networks = viewed.init(jax.random.key(0))
    images = jax.random.uniform(jax.random.key(1), (2, 16, 16, 3))
    closer = (plain.predict(networks, images) + plain.predict(networks, reframe(images, 0.5))) / 2
    np.testing.assert_allclose(viewed.predict(networks, images), closer, rtol=1e-5)
    assert not np.allclose(viewed.predict(networks, images), plain.predict(networks, images))
    if method == "proposal":
        np.testing.assert_array_equal(viewed.predict_mask(networks, images), plain.predict_mask(networks, images))


def test_outputs_of_pixels_are_of_one_view():
    config = default_config()
    config.update_from_flattened_dict(
        {"task": "segmentation", "classifier": "unet", "data.targets": "canvas", "classifier_views": (1.0, 0.5)}
    )
    described = Description("toy", (32, 32, 1), 32, (), 4, 4, "", (32, 32), pixel_classes=("none", "a"))
    with pytest.raises(InputError, match=r"classifier_views is \(1.0, 0.5\); task segmentation.*takes \(\)"):
        registry.make_method(config, described)
