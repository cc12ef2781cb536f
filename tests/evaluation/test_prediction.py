"""Files in, predictions out: in order, in bounded memory, and past files that cannot be read."""

import csv
import json
import logging

import numpy as np
import pytest
from PIL import Image

import bginv_jax
from bginv_jax.data import sources
from bginv_jax.errors import InputError
from bginv_jax.evaluation import prediction
from bginv_jax.evaluation.listing import Listed
from bginv_jax.evaluation.predictors import load_trained
from tests.conftest import changed, write_workdir
from tests.evaluation.test_page import _Reader


@pytest.fixture(scope="module")
def workdir(module_config, tmp_path_factory):
    return write_workdir(module_config, tmp_path_factory.mktemp("run") / "proposal")


@pytest.fixture(scope="module")
def images(module_config):
    """(21, 12, 12, 1) uint8."""
    return sources.load(module_config.data).test.images[:, 2:-2, 2:-2]


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory):
    """The 21 images as files, half of them in a folder below, and two files that are no pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "below").mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image[..., 0]).save(folder / ("below" if i % 2 else "") / f"{i // 2:02}.png")
    (folder / "03 broken.png").write_bytes(b"no picture")
    (folder / "below" / "empty.jpg").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def expected(workdir, images):
    """The softmax of the predictor's logits, in the order of the folder; and the masks."""
    order = [*range(0, 21, 2), *range(1, 21, 2)]
    logits = bginv_jax.load_predictor(workdir)(images[order]).astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return shares, bginv_jax.load_mask_generator(workdir)(images[order])


def test_outcomes_are_those_of_the_predictor_in_order(workdir, folder, expected, monkeypatch):
    monkeypatch.setattr(prediction, "_PER_DEVICE", 1)  # 8 together, on 8 devices
    listed = prediction.list_files([str(folder)])
    found = list(prediction.outcomes(listed, load_trained(workdir), masks=True))
    assert [one.file for one in found] == [one.name for one in listed]
    failed = [one for one in found if one.error]
    assert [one.file.rpartition("/")[-1] for one in failed] == ["03 broken.png", "empty.jpg"]
    assert failed[0].error.startswith(f"{folder}/03 broken.png: it is no picture, or a damaged one; expected")
    assert all(one.image is one.values is one.mask is None for one in failed)
    read = [one for one in found if not one.error]
    np.testing.assert_allclose([one.values for one in read], expected[0], atol=1e-6)
    np.testing.assert_allclose([one.mask for one in read], expected[1], atol=1e-6)


def test_little_is_read_ahead(workdir, folder, monkeypatch):
    monkeypatch.setattr(prediction, "_PER_DEVICE", 1)
    read = []
    monkeypatch.setattr(prediction, "read_picture", lambda name: read.append(name) or np.zeros((12, 12, 3), np.uint8))
    found = prediction.outcomes((Listed(str(i)) for i in range(10**9)), load_trained(workdir))
    for _ in range(20):
        next(found)
    assert 24 <= len(read) <= 24 + 16 + prediction._READERS
    found.close()  # which ends the threads
    assert len(read) <= 24 + 16 + prediction._READERS


def test_pictures_are_fitted_as_in_training():
    picture = np.random.RandomState(0).randint(0, 255, (12, 12, 1)).astype(np.uint8).repeat(3, axis=-1)
    np.testing.assert_array_equal(prediction.fit_to(picture, (12, 12, 1), "pad"), picture[..., :1])
    np.testing.assert_array_equal(prediction.fit_to(picture, (12, 12, 3), "crop"), picture)
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 255
    assert prediction.fit_to(wide, (8, 8, 3), "crop").min() == 255
    assert prediction.fit_to(wide, (8, 8, 3), "stretch")[:, 0].max() == 0
    assert prediction.fit_to(wide, (8, 16, 1), "crop").shape == (8, 16, 1)  # a data set that is not square
    np.testing.assert_array_equal(prediction.fit_to(wide, (10, 30, 3), "stretch"), wide)


def test_lines_overlays_and_a_page_are_written(workdir, folder, expected, tmp_path, capsys):
    failed = prediction.write(
        [str(folder)],
        workdir,
        output=tmp_path / "new" / "out.csv",
        overlays=tmp_path / "overlays",
        html=tmp_path / "page.html",
        html_count=5,
    )
    assert failed == 2
    assert [line.split(": ")[0:2] for line in capsys.readouterr().err.splitlines() if line.startswith("error")] == [
        ["error", f"{folder}/03 broken.png"],
        ["error", f"{folder}/below/empty.jpg"],
    ]
    with (tmp_path / "new" / "out.csv").open(encoding="utf-8", newline="") as text:
        head, *rows = csv.reader(text)
    assert head == ["file", "class", "0", "1", "2"]
    assert [row[1] for row in rows] == [str(i) for i in expected[0].argmax(axis=1)]
    np.testing.assert_allclose([[float(cell) for cell in row[2:]] for row in rows], expected[0], atol=1e-5)
    overlays = sorted(path.name for path in (tmp_path / "overlays").iterdir())
    assert overlays[:2] == ["01 00.png", "02 01.png"]
    assert overlays[-1] == "22 09.png"  # of a file that is called as another one in the folder above
    assert len(overlays) == 21
    assert np.asarray(Image.open(tmp_path / "overlays" / overlays[0])).std() > 10
    reader = _Reader()
    reader.feed((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert reader.open == []
    assert len(reader.images) == 5
    assert all(link.startswith("data:image/jpeg;base64,") for link in reader.links)
    least = np.argsort(expected[0].max(axis=1), kind="stable")[:5]
    places = [reader.text.index(rows[i][0]) for i in least]
    assert places == sorted(places)
    assert "5 of 23 files, the least certain first" in reader.text
    assert "2 files could not be read" in reader.text


def test_json_lines_name_what_could_not_be_read(workdir, folder, tmp_path):
    prediction.write([f"{folder}/0*.png", "/nowhere/*.png"], workdir, output=tmp_path / "out.jsonl", form="jsonl")
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(records) == 12
    assert records[-1] == {"file": "/nowhere/*.png", "error": "/nowhere/*.png: no file matches this pattern"}
    assert [one["file"] for one in records if "error" in one] == [f"{folder}/03 broken.png", "/nowhere/*.png"]
    assert all(abs(sum(one["probabilities"].values()) - 1) < 1e-4 for one in records if "error" not in one)


def test_names_of_files_stay_in_the_folder_of_overlays(workdir, images, tmp_path):
    names = ["a" * 200 + ".png", "line\nbreak.png", "..png", "日本" * 35 + ".png", "back\\slash:?.png"]
    (tmp_path / "in").mkdir()
    for name in names:
        Image.fromarray(images[0, ..., 0]).save(tmp_path / "in" / name, "PNG")
    prediction.write(
        [str(tmp_path / "in" / name) for name in names], workdir, output=tmp_path / "o.csv", overlays=tmp_path / "out"
    )
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert [name[:2] for name in written] == ["1 ", "2 ", "3 ", "4 ", "5 "]
    assert written[1] == "2 line_break.png"
    assert written[4] == "5 back_slash__.png"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "o.csv", "out"]


def test_a_method_without_masks_says_so(module_config, folder, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    config = changed(module_config, method="vanilla", schedule=("f:1",))
    workdir = write_workdir(config, tmp_path / "vanilla")
    assert prediction.write([f"{folder}/00.png"], workdir, output=tmp_path / "o.csv", overlays=tmp_path / "out") == 0
    assert "method vanilla has no masks: pictures show the prediction alone" in caplog.text
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["1 00.png"]


def test_wrong_arguments_are_known_before_any_work(tmp_path):
    with pytest.raises(InputError, match="an argument is '-'"):
        prediction.write(["-"], tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no checkpoint"):
        prediction.write(["a.png"], tmp_path / "nowhere", overlays=tmp_path / "out")
    assert not (tmp_path / "out").exists()
