"""The card's order, its markup and its code."""

import json

import numpy as np
import pytest
from PIL import Image

from bginv_jax import config as configs
from bginv_jax.data.dataset import Description
from bginv_jax.evaluation import exporting, model_card, prediction
from bginv_jax.evaluation.predictors import Trained
from bginv_jax.methods.registry import make_method


def _trained(shape=(12, 12, 1), fit="stretch", classes=("a", "b"), name="tiny"):
    config = configs.default_config()
    config.data.fit = fit
    description = Description(name, shape, 16, classes, train_count=5, test_count=3, sha256="abc")
    return Trained(make_method(config, description), {}, config, description, {"command": "train --x=`<b>`"}, 9)


def _render(trained, records=(), scored="not asked for"):
    model = exporting.facts(trained) | {"files": {}}
    return model_card.render(trained, json.loads(json.dumps(model)), records, scored)


def test_the_worst_comes_first_whatever_is_better():
    records = [{"background": name, "accuracy": value, "count": 3} for name, value in (("x", 50.0), ("y", 20.0))]
    records.append({"background": "none", "test": "other|set", "accuracy": 30.0, "count": 4})
    text = _render(_trained(), records, "scored now")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[2:5] == ["| y | 20.0 | 3 |", "| test set other\\|set, as it is | 30.0 | 4 |", "| x | 50.0 | 3 |"]
    assert "Between the worst (y) and the best (x) lie 30.0 points." in text
    errors = [
        {"background": name, "error": value, "measure": "error", "larger_is_better": False, "count": 3}
        for name, value in (("x", 0.5), ("y", 0.75))
    ]
    assert [one["background"] for one in model_card.worst_first(errors)] == ["y", "x"]
    assert "| y | 0.75 | 3 |\n| x | 0.5 | 3 |" in _render(_trained(), errors)


def test_markup_in_names_is_text():
    text = _render(_trained(classes=("<img src=x>", "a|b`c", "two\nlines"), name="*idx*"))
    assert "# Proposal on \\*idx\\*" in text
    assert "3 classes: \\<img src=x\\>, a\\|b\\`c, two lines" in text
    assert "\n    command: train --x=`<b>`\n" in text  # an indented block


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(40, 24), (24, 41)])
def test_its_code_reads_pictures_as_predict_does(fit, channels, size, tmp_path, monkeypatch):
    trained = _trained(shape=(12, 12, channels), fit=fit)
    text = _render(trained)
    picture = Image.fromarray(np.random.RandomState(0).randint(0, 255, (*size, 3)).astype(np.uint8))
    picture.save(tmp_path / "a.png")
    (tmp_path / "model.json").write_text(json.dumps(exporting.facts(trained)), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(text.partition("```python\n")[2].partition("predict = load")[0], names)
    expected = prediction.fit_to(np.asarray(picture), (12, 12, channels), fit) / 255
    found = names["read"]("a.png")
    assert found.shape == (1, 12, 12, channels)
    assert found.dtype == np.float32
    if fit == "pad":
        assert np.abs(found[0] - expected).mean() < 0.01
    else:
        np.testing.assert_allclose(found[0], expected, atol=1e-6)
