"""Another config or other data are refused; the same data may lie elsewhere by another name."""

import json
from dataclasses import replace

import numpy as np
import pytest
from skimage import io

from bginv_jax.config import default_config
from bginv_jax.data.dataset import Description
from bginv_jax.errors import InputError
from bginv_jax.training import loop, same_run

DESCRIPTION = Description("toy", (2, 2, 1), 16, ("a",), 3, 1, "abc")


def _meta(config, description):
    return json.loads(json.dumps({"config": config.to_dict(), "dataset": description.to_json()}))


def test_another_config_or_other_data_are_refused():
    config = default_config()
    meta = _meta(config, DESCRIPTION)
    config.log_every = 7
    config.data.dir = "/elsewhere"
    config.classifier_views = (1.0, 0.9)
    same_run.check_same_run(meta, config, DESCRIPTION)
    with pytest.raises(ValueError, match="whose images or labels are not those"):
        same_run.check_same_run(meta, config, replace(DESCRIPTION, sha256="abd"))
    config.rate.f = 0.5
    with pytest.raises(ValueError, match=r"config.rate.f is 0.5, but the run in this workdir was started with 0.001"):
        same_run.check_same_run(meta, config, DESCRIPTION)


@pytest.mark.parametrize(
    "names",
    [
        {"data.source": "idx:elsewhere"},
        {"data.source": "tfds:mnist:3.0.1", "data.dir": "~/data"},
        {"data.train_split": "train[:100%]", "data.test_split": "test[0:]"},
        {"data.image_size": 28, "data.channels": 1},
        {"background.photographs": "/moved"},
    ],
)
def test_the_same_data_by_another_name_are_the_same_run(caplog, names):
    config = default_config()
    description = replace(DESCRIPTION, photographs="def")
    meta = _meta(config, description)
    config.update_from_flattened_dict(names)
    same_run.check_same_run(meta, config, replace(description, name="other", class_names=("b",)))
    assert caplog.text == ""


def test_what_differs_of_other_data_is_named_in_one_line():
    config = default_config()
    description = replace(DESCRIPTION, train_count=40, photographs="def")
    meta = _meta(config, description)
    config.update_from_flattened_dict({"data.source": "idx:other", "background.photographs": "moved"})
    for other, message in (
        (
            {"sha256": "abd", "train_count": 48},
            "config.data.source is 'idx:other', whose images or labels are not those .*config.data.source was "
            "'mnist_5k' and is 'idx:other', train_count was 40 and is 48.; expected the same data, or another",
        ),
        ({"class_names": ("a", "b")}, "the number of classes was 1 and is 2"),
        ({"photographs": "deg"}, "config.background.photographs is 'moved', whose photographs are not those .*, of ''"),
        ({"photographs": ""}, "config.background.photographs is 'moved', whose photographs are not those"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            same_run.check_same_run(meta, config, replace(description, **other))
        assert "\n" not in str(caught.value)


def test_an_older_checkpoint_did_not_note_its_photographs(caplog):
    config = default_config()
    config.background.photographs = "here"
    meta = _meta(config, DESCRIPTION)
    same_run.check_same_run(meta, config, replace(DESCRIPTION, photographs="def"))
    assert caplog.text == ""
    config.background.photographs = "there"
    same_run.check_same_run(meta, config, replace(DESCRIPTION, photographs="def"))
    assert (
        "config.background.photographs is 'there' and was 'here'; whether the photographs are the same" in caplog.text
    )


def _saved_meta(workdir):
    (newest,) = (workdir / "checkpoints").glob("*/meta/metadata")
    return json.loads(newest.read_text())


def _write_photographs(folder, shade):
    folder.mkdir()
    for i in range(2):
        io.imsave(folder / f"{i}.png", np.full((80, 80, 3), shade + i, np.uint8), check_contrast=False)
    return folder


@pytest.mark.usefixtures("registry")
def test_a_run_goes_on_where_its_data_have_moved_and_names_the_new_place(tiny_config, tiny_folder, tmp_path):
    photographs = _write_photographs(tmp_path / "photographs", 100)
    tiny_config.schedule, tiny_config.steps, tiny_config.mask.kind = ("f+f_b:1",), 1, "nonzero"
    tiny_config.classifier, tiny_config.background.kind = "linear", "noise"
    tiny_config.background.update({"photographs": str(photographs), "pictured_share": 0.25, "plain_share": 0.25})
    loop.train(tiny_config, tmp_path / "run")
    before = _saved_meta(tmp_path / "run")
    assert len(before["dataset"]["photographs"]) == 64
    tiny_config.data.source = f"idx:{tiny_folder.rename(tmp_path / 'moved')}"
    tiny_config.background.photographs = str(photographs.rename(tmp_path / "elsewhere"))
    final = loop.train(tiny_config, tmp_path / "run")  # though no step is left
    assert final.step == 1
    after = _saved_meta(tmp_path / "run")
    assert after["config"]["data"]["source"] == tiny_config.data.source
    assert after["config"]["background"]["photographs"] == str(tmp_path / "elsewhere")
    assert after["dataset"] == before["dataset"] | {"name": "idx:moved"}
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints" / "1").iterdir() if path.is_dir()) == [
        "meta",
        "state",
    ]
    tiny_config.background.photographs = str(_write_photographs(tmp_path / "others", 120))
    with pytest.raises(ValueError, match="config.background.photographs is .*others', whose photographs are not those"):
        loop.train(tiny_config, tmp_path / "run")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("config",), [], "config is"),
        (("config", "rate"), 3, "config.rate is unknown; it is damaged, or of a later version"),
        (("config", "batchsize"), 3, "config.batchsize is unknown; it is damaged, or of a later version"),
        (("config", "method"), "magic", "config.method is 'magic'; allowed: one of vanilla"),
        (("config", "mask", "width"), 2**31, "config.mask.width is 2147483648; allowed: an integer from 1 to 256"),
        (("config", "rate", "f"), "1", "config.rate.f is '1'; allowed: a number"),
        (("dataset",), None, "dataset.name is missing; expected what train writes"),
        (("dataset", "shape"), [2**31, 1, 1], r"dataset.shape is \(2147483648, 1, 1\); expected what train writes"),
        (("dataset", "shape"), [2, 2, -1], r"dataset.shape is \(2, 2, -1\); expected"),
        (("dataset", "size"), 2**63, "dataset.size is 9223372036854775808; expected 16 for the shape"),
        (("dataset", "class_names"), [1], r"dataset.class_names is \(1,\); expected"),
        (("dataset", "train_count"), True, "dataset.train_count is True; expected"),
    ],
)
def test_a_meta_that_train_did_not_write_is_named(place, value, message):
    meta = _meta(default_config(), DESCRIPTION)
    *way, last = place
    part = meta
    for name in way:
        part = part[name]
    part[last] = value
    with pytest.raises(InputError, match=f"the checkpoint's {message}"):
        same_run.noted(meta)


def test_what_else_a_meta_holds_is_left_out():
    meta = _meta(default_config(), DESCRIPTION) | {"origin": {"commit": "1", "versions": [1]}, "more": 3}
    assert same_run.noted(meta).origin == {"commit": "1"}
    assert same_run.noted(meta | {"origin": "x"}).origin == {}
    named = replace(DESCRIPTION, name="a\x1bb", class_names=("c\n",)).to_json()
    assert same_run.noted(meta | {"dataset": named}).description.class_names == (r"c\n",)
    with pytest.raises(InputError, match="the checkpoint's config is None"):
        same_run.noted([])
