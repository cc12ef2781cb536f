"""What is wrong with a set of TensorFlow Datasets is said in one line, before anything is downloaded or left behind."""

import functools
import io
import json
import re
import shutil

import numpy as np
import pytest
import requests
from PIL import Image

from bginv_jax.data import rows
from bginv_jax.errors import InputError, MissingDataError
from bginv_jax.images.pixels import crop_to
from tests.data.test_sources import _load

tfds = pytest.importorskip("tensorflow_datasets")


def _png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    file.seek(0)
    return file


def _prepare(folder, dtype=np.uint8, sides=()):
    """A version's folder as TensorFlow Datasets writes it: 12 and 6 images of three classes, 8x8 or of `sides`."""
    from array_record.python import array_record_module
    from tensorflow_datasets.core import dataset_info, naming

    name, version = folder.parts[-2:]
    shape = (None, None, 1) if sides else (8, 8, 1)
    features = tfds.features.FeaturesDict(
        {"image": tfds.features.Image(shape=shape, dtype=dtype), "label": tfds.features.ClassLabel(num_classes=3)}
    )
    folder.mkdir(parents=True)
    splits = []
    for split, count in (("train", 12), ("test", 6)):
        path = folder / f"{name}-{split}.array_record-00000-of-00001"
        writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
        for i in range(count):
            side = sides[i] if sides else 8
            example = {"image": _png(np.full((side, side), i, dtype)), "label": i % 3}
            writer.write(features.serialize_example(features.encode_example(example)))
        writer.close()
        template = naming.ShardedFileTemplate(
            data_dir=folder, dataset_name=name, split=split, filetype_suffix="array_record"
        )
        splits.append(tfds.core.SplitInfo(name=split, shard_lengths=[count], num_bytes=1, filename_template=template))
    identity = dataset_info.DatasetIdentity(
        name=name, version=tfds.core.Version(version), data_dir=str(folder), module_name="toy"
    )
    info = tfds.core.DatasetInfo(builder=identity, features=features, supervised_keys=("image", "label"))
    info.set_file_format("array_record")
    info.set_splits(tfds.core.splits.SplitDict(splits))
    info.write_to_directory(folder)
    return folder


@pytest.fixture
def bars(tmp_path):
    """A prepared set that no code knows; its data_dir is two folders above."""
    return _prepare(tmp_path / "sets" / "bars" / "1.0.0")


@pytest.fixture(autouse=True)
def requested(monkeypatch):
    """No network; what was asked for."""
    urls = []

    def get(url, **_):
        urls.append(url)
        raise requests.exceptions.ConnectionError("no route")

    monkeypatch.setattr(requests, "get", get)
    return urls


def _message(source, folder, **fields):
    """The one line that a set is refused with."""
    with pytest.raises(InputError) as caught:
        _load(f"tfds:{source}", dir=str(folder), **fields)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_version_is_no_other_data_set(bars):
    folder = str(bars.parents[1])
    described = _load("tfds:bars", dir=folder).description
    assert (described.name, described.train_count, described.test_count) == ("tfds:bars", 12, 6)
    for name in ("bars:1.0.0", "bars:1.*.*", "Bars"):
        assert _load(f"tfds:{name}", dir=folder).description == described
    for fields in ({"train_split": "train[:100%]", "test_split": "test[0:]"}, {"train_split": "train[:5]+train[5:]"}):
        assert _load("tfds:bars", dir=folder, **fields).description == described
    newer = bars.parent / "2.0.0"
    shutil.copytree(bars, newer)
    _replace("1.0.0", "2.0.0")(newer)
    shutil.rmtree(bars)
    assert _load("tfds:bars", dir=folder).description == described


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("bars:9.9.9", "config.data.source is 'tfds:bars:9.9.9'; allowed: .*sets/bars holds 1.0.0"),
        ("bars/slanted", "config.data.source is 'tfds:bars/slanted'; allowed: .*sets/bars holds 1.0.0"),
        ("barz", "config.data.source is 'tfds:barz'; .*did you mean bars?"),
        ("mnits", "config.data.source is 'tfds:mnits'; .*did you mean mnist or"),
        ("mnist:9.9.9", "config.data.source is 'tfds:mnist:9.9.9'; allowed: version 3.0.1"),
        ("mnist/slanted", "config.data.source is 'tfds:mnist/slanted'; allowed: no config"),
        (
            "emnist/slanted",
            "config.data.source is 'tfds:emnist/slanted'; allowed: the configs byclass, bymerge, .*letters",
        ),
        ("emnist/letters:1.0.0", "config.data.source is 'tfds:emnist/letters:1.0.0'; allowed: version 3"),
        ("imdb_reviews", "config.data.source is 'tfds:imdb_reviews'; allowed: an image-classification data set"),
        *(
            (name, f"config.data.source is 'tfds:{name}'; allowed: tfds:NAME or tfds:NAME/CONFIG, either with :VERSION")
            for name in ("mnist:3", "two words", "数字", "mnist/shuffle=1", "huggingface:mnist", "/mnist")
        ),
    ],
)
def test_a_name_config_or_version_that_is_not_is_refused_off_the_network(bars, requested, source, message):
    before = sorted(bars.parents[2].rglob("*"))
    found = _message(source, bars.parents[1])
    assert re.search(message, found), found
    assert requested == []
    assert sorted(bars.parents[2].rglob("*")) == before


@pytest.mark.parametrize("name", ["bars", "mnist"])
@pytest.mark.parametrize("place", [".", "sets/NAME", "sets/NAME/3.0.1", "other/none"])
def test_a_folder_of_another_level_is_told_from_the_right_one(tmp_path, requested, name, place):
    right = _prepare(tmp_path / "sets" / name / "3.0.1").parents[1]
    (tmp_path / "other").mkdir()
    before = sorted(tmp_path.rglob("*"))
    wrong = tmp_path / place.replace("NAME", name)
    if place == "other/none":
        _message(name, wrong)
    else:
        assert _message(name, wrong) == f"config.data.dir is '{wrong}', where {name} is missing; expected '{right}'"
        assert requested == []
    assert sorted(tmp_path.rglob("*")) == before


def test_the_version_that_is_there_is_named(tmp_path, requested):
    folder = _prepare(tmp_path / "mnist" / "1.0.0").parents[1]
    assert "allowed: tfds:mnist:1.0.0, as" in _message("mnist", folder)
    assert _load("tfds:mnist:1.0.0", dir=str(folder)).name == "tfds:mnist"
    assert requested == []


def test_without_a_network_it_fails_at_once(tmp_path, requested):
    with pytest.raises(
        MissingDataError, match=r"which is missing in .*mnist/3.0.1, and downloading it failed \(no route\)"
    ):
        _load("tfds:mnist", dir=str(tmp_path / "new" / "sets"))
    assert len(requested) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_failed_download_leaves_no_empty_folder(tmp_path, monkeypatch):
    def download_and_prepare(self):
        for folder in ("emnist/letters", "emnist/.config", "downloads/emnist/half.tmp.1", "downloads/emnist/whole"):
            (tmp_path / folder).mkdir(parents=True)
        (tmp_path / "emnist" / ".config" / "metadata.json").write_text("{}")
        (tmp_path / "downloads" / "emnist" / "whole" / "archive.zip").write_text("kept")
        raise ConnectionError("cut off\nand more")

    monkeypatch.setattr(requests, "get", lambda url, **_: requests.Response())
    monkeypatch.setattr(requests.Response, "close", lambda self: None)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", download_and_prepare)
    (tmp_path / "mine").mkdir()
    assert "downloading it failed (cut off)" in _message("emnist/letters", tmp_path)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == [
        "downloads",
        "downloads/emnist",
        "downloads/emnist/whole",
        "downloads/emnist/whole/archive.zip",
        "mine",
    ]


TRAIN, INFO, FEATURES = "bars-train.array_record-00000-of-00001", "dataset_info.json", "features.json"


def _replace(old, new, name=INFO):
    def damage(folder):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return damage


def _write(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def _scratch(folder):
    raw = bytearray((folder / TRAIN).read_bytes())
    raw[500:520] = bytes(20)
    (folder / TRAIN).write_bytes(raw)


def _remove(name):
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            _replace("array_record", "tfrecord"),
            "holds the data set as tfrecord; expected array_record, as tfds.builder",
        ),
        (_remove(TRAIN), f"{TRAIN} is missing; expected it beside dataset_info.json"),
        (_write(TRAIN, b""), f"{TRAIN}: .*; expected a whole array_record file of 12 examples"),
        (_write(TRAIN, b"garbage" * 20000), f"{TRAIN}: .*; expected a whole array_record file of 12 examples"),
        (lambda f: (f / TRAIN).write_bytes((f / TRAIN).read_bytes()[:-5000]), f"{TRAIN}: .*; expected a whole array"),
        (_scratch, f"{TRAIN}: .*; expected a whole array_record file of 12 examples"),
        (_replace('"12"', '"13"'), f"{TRAIN}: 12 examples; expected a whole array_record file of 13 examples"),
        (_replace('"12"', '"11"'), f"{TRAIN}: 12 examples; expected a whole array_record file of 11 examples"),
        (_remove(INFO), f"{INFO} is missing; expected it, as TensorFlow Datasets prepares"),
        (_write(INFO, b"{"), f"{INFO}: .*; expected what TensorFlow Datasets writes"),
        (_write(INFO, b"\xff\xfe"), f"{INFO}: .*; expected what TensorFlow Datasets writes"),
        (_write(INFO, b'{"name": "bars", "version": "1.0.0", "fileFormat": "array_record"}'), f"{INFO}: no splits"),
        (_replace('"12"', '"x"'), f"{INFO}: .*; expected what TensorFlow Datasets writes"),
        (_remove(FEATURES), f"{FEATURES} is missing; expected it"),
        (_write(FEATURES, b"["), f"{FEATURES}: .*; expected what TensorFlow Datasets writes"),
        (_replace("Image", "Imago", FEATURES), f"{FEATURES}: .*; expected what TensorFlow Datasets writes"),
        (
            _replace('"label"', '"mark"', FEATURES),
            "config.data.source is 'tfds:bars'; allowed: an image-classification data set",
        ),
        (
            _replace("uint8", "uint16", FEATURES),
            "config.data.source is 'tfds:bars', whose images are uint16; allowed: ",
        ),
        (
            _replace("tensorflow_datasets.core.features.image_feature.Image", "antigravity.Image", FEATURES),
            f"{FEATURES}: a feature is a antigravity.Image; expected what TensorFlow Datasets writes",
        ),
        (
            _replace('"1"\n', '"2147483648"\n', FEATURES),
            "with images of 2147483648 channels of 3 classes; allowed: 1, 3 channels",
        ),
        (
            _replace('"3"', f'"{2**31}"', FEATURES),
            "with images of 1 channels of 2147483648 classes; allowed: .*1 to 1000000 classes",
        ),
        (
            _replace('"8",', f'"{2**31 - 1}",', FEATURES),
            f"{TRAIN}: an example cannot be read .a picture of 8x8 pixels.; expected what features.json says",
        ),
        (
            _replace("{DATASET}-{SPLIT}", "../../{DATASET}-{SPLIT}"),
            f"{INFO} names .*/sets/bars-train.*; expected files beside it",
        ),
        (_write(INFO, b"[" * 100_000), f"{INFO}: .*; expected what TensorFlow Datasets writes"),
        (_write(FEATURES, b'{"a":' * 100_000), f"{FEATURES}: .*; expected what TensorFlow Datasets writes"),
        (_replace('"3"', '"2"', FEATURES), "data set tfds:bars, split train: label 2; expected 0 to 1"),
        (lambda f: (shutil.rmtree(f), f.mkdir()), f"{INFO} is missing"),
    ],
)
def test_a_damaged_set_is_named_and_not_downloaded_again(bars, requested, damage, message):
    damage(bars)
    before = sorted(bars.parents[2].rglob("*"))
    found = _message("bars", bars.parents[1])
    assert re.search(message, found), found
    assert requested == []
    assert sorted(bars.parents[2].rglob("*")) == before


@pytest.mark.parametrize("field", ["train_split", "test_split"])
@pytest.mark.parametrize(
    "split",
    [
        *("train[10:5]", "train[:0]", "train[99999:]", "train[:0%]", "train[12:]", "train[:0]+test[:0]", "train[5:5]"),
        *(
            "val",
            "val[:3]",
            "train[",
            "train[a:b]",
            "train[3]",
            "train[::2]",
            "train+",
            "train[:200%]",
            "all[:3]",
            "",
            " ",
        ),
        *("train[:99999]", "train[0.5:]", "train:5", "train test", "данные"),
    ],
)
def test_a_split_that_is_none_or_holds_none_is_refused(bars, field, split):
    found = _message("bars", bars.parents[1], **{field: split})
    assert found.startswith(f"config.data.{field} is {split!r}")
    assert "allowed: train (12 images), test (6 images), and slices such as train[:80%]" in found


def test_percent_slices_and_sums_are_read(bars):
    load = functools.partial(_load, "tfds:bars", dir=str(bars.parents[1]))
    dataset = load(train_split="train[:25%]+train[-2:]", test_split="test[50%:]")
    assert crop_to(dataset.train.images, dataset.shape[:2])[:, 0, 0, 0].tolist() == [0, 1, 2, 10, 11]
    assert dataset.test.targets.tolist() == [0, 1, 2]


@pytest.mark.parametrize("fields", [{}, {"image_size": 16}, {"image_size": 16, "channels": 3}, {"image_size": 4}])
def test_a_large_split_lies_in_a_file(bars, tmp_path, monkeypatch, fields):
    load = functools.partial(_load, "tfds:bars", dir=str(bars.parents[1]), **fields)
    in_memory = load()
    monkeypatch.setenv("BGINV_CACHE", str(tmp_path / "cache"))
    for name, value in (("_MOST_HELD", 0), ("_READ_TOGETHER", 5), ("_DECODED_TOGETHER", 2), ("_FITTED_BYTES", 0)):
        monkeypatch.setattr(f"bginv_jax.data.tfds.{name}", value)
    in_file = load()
    assert (rows.in_file(in_file.train.images), rows.in_file(in_memory.train.images)) == (True, False)
    for split in ("train", "test"):
        expected, found = getattr(in_memory, split), getattr(in_file, split)
        np.testing.assert_array_equal(found.images, expected.images)
        np.testing.assert_array_equal(found.targets, expected.targets)
    assert in_file.description == in_memory.description
    assert list((tmp_path / "cache").iterdir()) == []


def test_where_no_file_can_be_written_a_large_split_is_held(bars, tmp_path, monkeypatch, caplog):
    (tmp_path / "taken").touch()
    monkeypatch.setenv("BGINV_CACHE", str(tmp_path / "taken"))
    monkeypatch.setattr("bginv_jax.data.tfds._MOST_HELD", 0)
    dataset = _load("tfds:bars", dir=str(bars.parents[1]))
    assert dataset.train.targets.tolist() == [0, 1, 2] * 4
    assert "images of tfds:bars cannot lie in" in caplog.text


@pytest.mark.parametrize(("together", "sizes"), [(1, "8x8 and 9x9 pixels"), (16, "12 sizes")])
def test_images_of_several_sizes_need_one(tmp_path, monkeypatch, together, sizes):
    """The features say that sides differ, as of photographs."""
    monkeypatch.setattr("bginv_jax.data.tfds._DECODED_TOGETHER", together)
    folder = _prepare(tmp_path / "sets" / "bars" / "1.0.0", sides=range(8, 20))
    message = _message("bars", folder.parents[1])
    assert message == f"data set tfds:bars: images of {sizes}; set config.data.image_size, the side in pixels"
    dataset = _load("tfds:bars", dir=str(folder.parents[1]), image_size=16)
    assert crop_to(dataset.train.images, dataset.shape[:2])[:, 0, 0, 0].tolist() == list(range(12))
    assert dataset.shape == (16, 16, 1)


def test_the_folder_is_found_by_any_name(bars, monkeypatch):
    moved = bars.parents[1].rename(bars.parents[2] / "данные и т.д.")
    monkeypatch.chdir(moved.parent)
    monkeypatch.setenv("HOME", str(moved.parent))
    for folder in (moved.name, f"~/{moved.name}", f"./{moved.name}/"):
        assert len(_load("tfds:bars", dir=folder).train.images) == 12
    features = moved / "bars" / "1.0.0" / FEATURES
    assert _message("bars", features) == f"config.data.dir is '{features}', a file; expected a folder"


@pytest.mark.parametrize(
    "content", ["[", '{"default_config_name": "../../elsewhere"}', '{"default_config_name": 3}', "[1]"]
)
def test_a_default_config_that_is_none_is_named(bars, content):
    (bars.parent / ".config").mkdir()
    (bars.parent / ".config" / "metadata.json").write_text(content)
    found = _message("bars", bars.parents[1])
    assert re.search(r"bars/.config/metadata.json: .*; expected what TensorFlow Datasets writes", found), found


def test_only_an_image_and_its_label_are_read(bars):
    """Other features would be decoded, a video by another program."""
    text = (bars / FEATURES).read_text()
    video = {"pythonClassName": "tensorflow_datasets.core.features.text_feature.Text", "text": {}}
    features = json.loads(text)
    features["featuresDict"]["features"]["other"] = video
    (bars / FEATURES).write_text(json.dumps(features))
    assert len(_load("tfds:bars", dir=str(bars.parents[1])).train.images) == 12


@pytest.mark.parametrize("folder", ["a\0b", "\ud800"])
def test_a_data_dir_that_is_no_path_is_refused(folder):
    assert _message("bars", folder).startswith(f"config.data.dir is {folder!r}, which is no path")
