"""The card's order, its markup and its code."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from bginv_jax import config as configs
from bginv_jax.data.dataset import Description
from bginv_jax.evaluation import exporting, model_card, prediction
from bginv_jax.evaluation.predictors import Trained
from bginv_jax.images.reading import read_picture
from bginv_jax.methods.registry import make_method
from bginv_jax.tasks.q_learning import q_learning
from bginv_jax.tasks.rotation import rotation


def _trained(shape=(12, 12, 1), fit="stretch", classes=("a", "b"), name="tiny"):
    config = configs.default_config()
    config.data.fit = fit
    description = Description(name, shape, 16, classes, train_count=5, test_count=3, sha256="abc")
    return Trained(make_method(config, description), {}, config, description, {"command": "train --x=`<b>`"}, 9)


def _render(trained, records=(), scored="not asked for"):
    model = exporting.facts(trained) | {"files": {}}
    return model_card.render(trained, json.loads(json.dumps(model)), records, scored)


def _reader(trained, folder, monkeypatch):
    """The card's own function of a picture file's path, in the folder of its model.json."""
    (folder / "model.json").write_text(json.dumps(exporting.facts(trained)), encoding="utf-8")
    monkeypatch.chdir(folder)
    names = {}
    exec(_render(trained).partition("```python\n")[2].partition("predict = load")[0], names)
    return names["read"]


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
@pytest.mark.parametrize("size", [(40, 24), (24, 41), (1, 90), (20, 30), (90, 60)])
def test_its_code_reads_pictures_as_predict_does(fit, channels, size, tmp_path, monkeypatch):
    read = _reader(_trained(shape=(12, 12, channels), fit=fit), tmp_path, monkeypatch)
    picture = Image.fromarray(np.random.RandomState(0).randint(0, 255, (*size, 3)).astype(np.uint8))
    picture.save(tmp_path / "a.png")
    expected = prediction.fit_to(np.asarray(picture), (12, 12, channels), fit) / 255
    found = read("a.png")
    assert found.shape == (1, 12, 12, channels)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], expected, atol=1e-6)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1"])
def test_its_code_lays_white_behind_what_is_transparent_as_predict_does(mode, tmp_path, monkeypatch):
    read = _reader(_trained(shape=(12, 12, 3)), tmp_path, monkeypatch)
    pixels = np.random.RandomState(0).randint(0, 255, (12, 12, 4)).astype(np.uint8)
    picture = Image.fromarray(pixels[..., :3]).convert(mode) if mode != "RGBA" else Image.fromarray(pixels, "RGBA")
    if mode == "LA":
        picture.putalpha(Image.fromarray(pixels[..., 3]))
    suffix = "jpg" if mode == "CMYK" else "png"
    picture.save(tmp_path / f"a.{suffix}", **({"transparency": 3} if mode == "P" else {}))
    found = read(f"a.{suffix}")[0]
    np.testing.assert_allclose(found, read_picture(tmp_path / f"a.{suffix}") / 255, atol=1.5 / 255)
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 256).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match=r"deep.png has more than eight bits a channel; save it with eight"):
        read("deep.png")


def test_its_code_refuses_a_film_as_predict_does(tmp_path, monkeypatch):
    read = _reader(_trained(), tmp_path, monkeypatch)
    frames = [Image.new("L", (12, 12), shade) for shade in (0, 100)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    for name in ("a.gif", "a.tif"):
        with pytest.raises(ValueError, match=f"{name} has several frames or pages; save one of them"):
            read(name)
        with pytest.raises(ValueError, match="it has 2"):
            read_picture(tmp_path / name)


def test_what_was_set_before_no_background_is_not_said_to_be_equal_on_all():
    plain = {"background": "none", "accuracy": 98.0, "count": 7}
    for records in ([plain], [plain, plain | {"test": "field", "accuracy": 50.0}]):
        text = _render(_trained(), records, "scored now")
        assert "They were set before no other background: what one would change was not measured." in text
        assert "Between the worst" not in text
        assert "| none | 98.0 | 7 |" in text


def test_it_says_what_the_outputs_are():
    assert "Of the outputs: logits of the classes, in the order of their names" in _render(_trained())
    for task, words in ((rotation(), "arctan2(first, second)"), (q_learning(["left", "stay"]), "taken: left, stay")):
        trained = _trained()
        trained = trained._replace(method=dataclasses.replace(trained.method, task=task))
        assert words in _render(trained).replace("\\", "")
        facts = exporting.facts(trained)["outputs"]
        assert facts["count"] == 2
        assert facts["meaning"].endswith(words)
