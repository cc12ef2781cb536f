"""Folders of photographs: what is read, what is refused with the name of the file, and what is said of the classes."""

import errno
import logging
import os
import stat
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bginv_jax.config import default_config
from bginv_jax.data import sources
from bginv_jax.errors import InputError, MissingDataError
from bginv_jax.images.fitting import fit_picture
from bginv_jax.images.reading import read_picture
from tests.conftest import write_pictures

COUNTS = {"train": {"ash": 3, "elm": 2, "oak": 4}, "test": {"ash": 1, "elm": 2, "oak": 1}}


def _load(root, **fields):
    config = default_config().data
    config.source = f"folder:{root}"
    config.update(fields)
    return sources.load(config)


@pytest.fixture
def root(tmp_path):
    return write_pictures(tmp_path / "trees", COUNTS, size=(16, 16))


def test_pictures_and_labels_are_in_the_order_of_the_names(root):
    dataset = _load(root)
    assert (dataset.name, dataset.class_names, dataset.shape) == ("folder:trees", ("ash", "elm", "oak"), (16, 16, 3))
    assert dataset.train.targets.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 2]
    assert dataset.test.targets.tolist() == [0, 1, 1, 2]
    assert dataset.train.targets.dtype == np.int32
    paths = sorted(root.glob("train/*/*"))
    for image, path in zip(dataset.train.images, paths, strict=True):
        np.testing.assert_array_equal(image, np.asarray(Image.open(path)))
    assert dataset.tests == {}


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("channels", [0, 1, 3])
def test_pictures_of_any_size_and_format_become_squares_as_one_picture_does(root, fit, channels):
    wide = np.random.RandomState(1).randint(0, 256, (30, 50, 3), np.uint8)
    Image.fromarray(wide).save(root / "train" / "elm" / "000.png")
    Image.fromarray(wide[..., 0]).save(root / "train" / "ash" / "wide.JPG", format="JPEG")
    Image.fromarray(wide.swapaxes(0, 1)).save(root / "test" / "oak" / "tall.webp")
    dataset = _load(root, image_size=24, fit=fit, channels=channels)
    shape = (24, 24, channels or 3)
    assert dataset.shape == shape
    assert dataset.train.images.shape == (10, 32, 32, shape[-1])  # padded to what the networks see
    for split, images in (("train", dataset.train.images), ("test", dataset.test.images)):
        paths = [path for label in dataset.class_names for path in sorted((root / split / label).iterdir())]
        for image, path in zip(images, paths, strict=True):
            expected = fit_picture(read_picture(path), size=24, fit=fit, channels=channels)
            np.testing.assert_array_equal(image[4:-4, 4:-4], expected)


def test_further_tests_lie_beside_train_or_anywhere(root, tmp_path):
    write_pictures(root, {"field": {"ash": 2, "oak": 1}}, size=(16, 16))
    write_pictures(tmp_path, {"elsewhere": {"elm": 2}}, size=(16, 16))
    dataset = _load(root, tests=("field", f"far:{tmp_path / 'elsewhere'}"))
    assert {name: split.targets.tolist() for name, split in dataset.tests.items()} == {
        "field": [0, 0, 2],
        "far": [1] * 2,
    }
    assert dataset.description == _load(root).description
    other = _load(root, test_split="field")
    assert other.test.targets.tolist() == [0, 0, 2]


def test_a_class_that_a_test_lacks_is_said_and_one_too_many_is_refused(root, tmp_path, caplog):
    write_pictures(root, {"field": {"ash": 2, "elm": 0}}, size=(16, 16))
    _load(root, tests=("field",))
    assert f"{root / 'field'}: no picture of 2 classes: elm, oak" in caplog.text
    write_pictures(root, {"more": {"ash": 2, "yew": 1}}, size=(16, 16))
    with pytest.raises(ValueError, match="more holds classes that .*train lacks: yew; expected some of ash, elm, oak"):
        _load(root, tests=("more",))


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (
            {"train": {"ash": 2, "elm": 0}, "test": {"ash": 1}},
            "train/elm holds no picture that Pillow reads; expected at least one of",
        ),
        ({"train": {"ash": 2}, "test": {"ash": 1}}, "train holds 1 folders of pictures; expected .* at least two"),
        ({"train": {"ash": 2, "elm": 2}}, "config.data.test_split is 'test', which is no folder .*; there are train"),
        ({"Train": {"ash": 2}}, "config.data.train_split is 'train', which is no folder in .*; there are Train"),
        ({"train": {"ash": 1, "elm": 1}, "test": {"ash": 0}}, "test holds no picture; expected CLASS/\\* as"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_with_its_folder(tmp_path, counts, message):
    with pytest.raises(ValueError, match=message):
        _load(write_pictures(tmp_path / "trees", counts))


def test_a_place_that_is_no_folder_is_named(root, tmp_path):
    with pytest.raises(MissingDataError, match="config.data.source is 'folder:.*nowhere', which is no folder"):
        _load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="config.data.tests is 'field', which is no folder .*; there are test, train"):
        _load(root, tests=("field",))
    with pytest.raises(ValueError, match="config.data.tests has 'far:/nowhere', which is no folder"):
        _load(root, tests=("far:/nowhere",))
    config = default_config().data
    config.tests = ("x",)
    with pytest.raises(ValueError, match=r"config.data.tests is \('x',\); allowed with mnist_5k, .*: \(\)"):
        sources.load(config)


@pytest.mark.parametrize("source", ["mnist_5k", "idx:somewhere", "world:catch"])
@pytest.mark.parametrize("field", ["train_split", "test_split"])
def test_a_part_of_a_source_that_has_none_is_refused(source, field):
    config = default_config().data
    config.update({"source": source, field: "train[:10%]"})
    with pytest.raises(
        InputError, match=rf"config.data.{field} is 'train\[:10%\]'; allowed with {source}: {field[:-6]}$"
    ):
        sources.load(config)


@pytest.mark.parametrize(("tests", "valid"), [(("a", "b:c:d"), True), (("a", "a:b"), False), (("test",), False)])
def test_tests_have_names(tests, valid):
    assert sources.are_tests(tests) == valid
    assert not sources.are_tests((*tests, ":place"))
    assert not sources.are_tests((*tests, "b2:"))
    assert not sources.are_tests((*tests, 3))


def test_all_broken_files_are_named_at_once(root):
    ash = root / "train" / "ash"
    whole = (ash / "000.png").read_bytes()
    (ash / "000.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"ash/000.png: it cannot be decoded .*; expected a still picture") as alone:
        _load(root, image_size=16)
    assert "\n" not in str(alone.value)
    (ash / "empty.jpg").touch()
    (root / "train" / "oak" / "words.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"3 of 11 files cannot be used: .*000.png: .*empty.jpg: .*words.png: "):
        _load(root, image_size=16)
    for number in range(12):
        (ash / f"zero{number}.jpg").touch()
    with pytest.raises(ValueError, match=r"15 of 23 files cannot be used: .*; and 5 more$"):
        _load(root, image_size=16)


def test_several_sizes_without_a_size_to_resize_to_are_refused(root):
    Image.new("RGB", (8, 9)).save(root / "test" / "oak" / "small.png")
    with pytest.raises(ValueError, match=r"small.png has 9x8 pixels and .*000.png has 16x16; set config.data.im"):
        _load(root)


@pytest.mark.parametrize(("field", "value"), [("studio", "wall"), ("targets", "angle"), ("targets", "canvas")])
def test_what_is_asked_of_the_images_of_a_world_is_refused(field, value):
    config = default_config().data
    config.update({"source": "world:catch", field: value})
    with pytest.raises(InputError, match=f"config.data.{field} is '{value}'; allowed with world:catch: "):
        sources.load(config)


@pytest.mark.parametrize("targets", ["angle", "canvas"])
def test_true_masks_that_targets_would_not_keep_are_refused(root, targets):
    with pytest.raises(InputError, match=f"config.data.targets is '{targets}'; allowed with config.data.masks: given"):
        _load(root, masks=(str(root),), targets=targets)


def test_classes_in_any_script_are_one_spelling(tmp_path, caplog):
    names = ["Эльм", "ケヤキ", "中文", "חם", "a\nb", os.fsdecode(b"f\xfcr")]
    root = write_pictures(tmp_path / "trees", {"train": dict.fromkeys([*names, "Ahornblätter"], 1)})
    other = unicodedata.normalize("NFD", "Ahornblätter")
    write_pictures(root, {"test": dict.fromkeys([*names, other], 1)})
    caplog.set_level(logging.WARNING)
    dataset = _load(root)
    assert set(dataset.class_names) == {*names[:4], "a\\nb", "f\\udcfcr", "Ahornblätter"}
    assert list(dataset.class_names) == sorted(dataset.class_names)
    assert dataset.test.targets.tolist() == list(range(7))
    assert "no picture" not in caplog.text
    write_pictures(root, {"train": {other: 1}})
    with pytest.raises(ValueError, match="train holds two folders whose name is 'Ahornblätter'"):
        _load(root)


def test_what_is_no_picture_of_a_class_is_passed_over(root, caplog):
    (root / "train" / ".DS_Store").touch()
    (root / "train" / "ash" / "._000.png").touch()
    (root / "train" / "ash" / "Thumbs.db").touch()
    (root / "train" / ".git").mkdir()
    expected = _load(root).description
    (root / "train" / "lost.jpg").touch()
    assert _load(root).description == expected
    assert "train: 1 pictures of no class, passed over: lost.jpg" in caplog.text


def test_pictures_that_are_trained_and_tested_on_are_counted(root, caplog):
    (root / "test" / "ash" / "again.png").write_bytes((root / "train" / "ash" / "000.png").read_bytes())
    _load(root)
    assert f"{root / 'test'}: 1 of 5 pictures are in {root / 'train'}, too" in caplog.text


def test_the_leaves(shared_data):
    dataset = _load(shared_data / "leaves", image_size=16, train_split="test", test_split="field")
    assert (dataset.name, len(dataset.class_names)) == ("folder:leaves", 14)
    assert (len(dataset.train.targets), len(dataset.test.targets)) == (700, 512)


def _write_masks(root, folder, split="test", suffix=".png"):
    for path in root.glob(f"{split}/*/*"):
        mask = np.zeros((16, 16), np.uint8)
        mask[:, : 4 + 2 * int(path.stem)] = 255
        target = folder / split / path.parent.name / (path.stem + suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(target)


def test_true_masks_of_a_test_are_fitted_as_its_pictures_are(root, tmp_path):
    _write_masks(root, tmp_path / "marked", suffix=".gif")
    assert _load(root).test.masks is None
    assert not _load(root).marked
    dataset = _load(root, masks=(str(tmp_path / "nothing"), str(tmp_path / "marked")))
    assert dataset.marked
    assert dataset.train.masks is None
    assert dataset.test.masks.dtype == bool
    widths = dataset.test.masks[:, 0, :, 0].sum(axis=-1).tolist()
    assert widths == [4, 4, 6, 4]
    halved = _load(root, masks=(str(tmp_path / "marked"),), image_size=32)
    assert halved.test.masks[:, 0, :, 0].sum(axis=-1).tolist() == [8, 8, 12, 8]


def test_masks_that_lack_are_named(root, tmp_path):
    with pytest.raises(ValueError, match=r"config.data.masks is \('.*nothing',\), with no folder test"):
        _load(root, masks=(str(tmp_path / "nothing"),))
    _write_masks(root, tmp_path / "marked")
    (tmp_path / "marked" / "test" / "elm" / "001.png").unlink()
    with pytest.raises(ValueError, match=r"test/elm/001.png has no mask in .*marked.test, nor have 0 other pictures"):
        _load(root, masks=(str(tmp_path / "marked"),))
    config = default_config().data
    config.masks = (str(tmp_path / "marked"),)
    with pytest.raises(ValueError, match=r"config.data.masks is .*; allowed with mnist_5k: \(\)"):
        sources.load(config)


def test_pictures_set_into_a_studio_are_still_told_by_class(root):
    placed = _load(root, studio="wall")
    assert placed.name == "folder:trees, wall"
    assert placed.by_class
    assert placed.marked
    np.testing.assert_array_equal(placed.kept(placed.test), placed.test.objects)


@pytest.mark.parametrize("kind", ["pipe", "socket", "dangling", "loop"])
def test_what_is_no_file_is_named_before_it_is_waited_for(root, kind):
    place = root / "train" / "elm" / "odd.jpg"
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "socket":
        os.mknod(place, stat.S_IFSOCK | 0o600)
    else:
        place.symlink_to("nowhere" if kind == "dangling" else place.name)
    (root / "train" / "oak" / "empty.png").touch()
    with pytest.raises(
        InputError, match=r"^2 of 11 files cannot be used: .*elm/odd.jpg: .*; .*oak/empty.png: it is empty"
    ):
        _load(root)


@pytest.mark.parametrize("target", ["/nowhere/yew", "yew"])
def test_the_folder_of_a_class_that_is_a_link_to_nothing_is_named(root, target):
    (root / "train" / "yew").symlink_to(target)
    with pytest.raises(InputError, match="train/yew is a link to nothing; expected the folder of a class"):
        _load(root)


def test_a_folder_that_may_be_listed_and_not_entered_holds_no_links_to_nothing(root, monkeypatch):
    real, closed = Path.stat, root / "train"

    def stat(path, **options):  # as for anyone but root
        if closed in path.parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    isdir = os.path.isdir
    monkeypatch.setattr(os.path, "isdir", lambda path: closed not in Path(path).parents and isdir(path))
    with pytest.raises(InputError, match="^/.*/train/.*: Permission denied; expected a folder"):
        _load(root)


def test_a_folder_that_may_not_be_listed_is_named_with_its_field(root, monkeypatch):
    real = Path.iterdir

    def iterdir(path):
        if path == root:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(InputError, match="^config.data.tests is 'field', in .*: Permission denied; expected a folder"):
        _load(root, tests=("field",))


def test_files_that_do_not_end_as_pictures_are_said_to_be_passed_over(root, caplog):
    for name in ("a.HEIC", "b.heic", "notes"):
        (root / "train" / "oak" / name).touch()
    assert len(_load(root).train.images) == 9
    assert "train: files that do not end as pictures do, passed over: 3 (.heic, without a suffix)" in caplog.text


def test_folders_within_a_class_are_said_to_be_passed_over(root, caplog):
    write_pictures(root / "train", {"oak": {"2019": 3, "2020": 1, ".hidden": 1}}, size=(16, 16))
    assert len(_load(root).train.images) == 9
    assert caplog.text.count("folders in the class oak, passed over with what they hold: 2019, 2020") == 1
    assert caplog.text.count("folders in the class") == 1


def test_a_test_named_like_its_path_is_that_path(root, tmp_path, monkeypatch):
    write_pictures(root, {"field": {"ash": 2}}, size=(16, 16))
    write_pictures(tmp_path / "here", {"field": {"elm": 3}}, size=(16, 16))
    monkeypatch.chdir(tmp_path / "here")
    dataset = _load(root, tests=("field:field",))
    assert dataset.tests["field"].targets.tolist() == [1, 1, 1]
    assert _load(root, tests=("field",)).tests["field"].targets.tolist() == [0, 0]


@pytest.mark.parametrize("fields", [{"source": "folder:" + "a" * 300}, {"tests": ("far:" + "a" * 300,)}])
def test_a_path_that_the_system_refuses_is_no_folder(root, fields):
    with pytest.raises(InputError, match="which is no folder; expected"):
        _load(root, **fields)


def test_masks_are_found_in_either_spelling_and_no_two_pictures_share_one(root, tmp_path):
    for form, folder in (("NFC", root / "train"), ("NFC", root / "test")):
        (folder / "ash").rename(folder / unicodedata.normalize(form, "é"))
    name = unicodedata.normalize("NFC", "bär.png")
    (root / "test" / "é" / "000.png").rename(root / "test" / "é" / name)
    for path in root.glob("test/*/*"):
        parts = [unicodedata.normalize("NFD", part) for part in path.parts[-3:]]
        target = (tmp_path / "masks").joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((16, 16), 255, np.uint8)).save(target)
    assert _load(root, masks=(f"{tmp_path}/masks",)).test.masks.all()
    Image.new("RGB", (16, 16)).save(root / "test" / "elm" / "000.jpg")
    with pytest.raises(InputError, match=r"elm/000.jpg and .*elm/000.png would have one mask; expected names that"):
        _load(root, masks=(f"{tmp_path}/masks",))
