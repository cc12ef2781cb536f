"""Checkpoints keep every bit, the newest intact one is found, and another run is refused."""

import jax
import numpy as np
import pytest
from skimage import io

from bginv_jax.config import default_config
from bginv_jax.data import sources
from bginv_jax.methods import registry
from bginv_jax.training import checkpoints, loop, state
from bginv_jax.training.state import TrainState


@pytest.fixture
def saved(tmp_path):
    """A workdir with checkpoints after steps 2 and 4, and what was saved at 4."""
    config = default_config()
    dataset = {"name": "toy", "shape": [2, 2, 1], "size": 16, "class_names": ["a"], "sha256": "abc"}
    states = []
    with checkpoints.open_manager(tmp_path, kept=2) as manager:
        for count in (2, 4):
            params = {"f": {"kernel": jax.random.normal(jax.random.key(count), (3, 4))}, "f_b": {}}
            states.append(TrainState(jax.numpy.int32(count), jax.random.key(7), params, {"f": (), "f_b": ()}))
            checkpoints.save(manager, states[-1], config, dataset, {})
    return tmp_path, states, config, dataset


def _same_bits(a, b):
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    raw = [[np.asarray(jax.random.key_data(x) if x.dtype == jax.random.key(0).dtype else x) for x in p] for p in pairs]
    return all(x.tobytes() == y.tobytes() and x.dtype == y.dtype for x, y in raw)


def test_the_newest_checkpoint_comes_back_with_every_bit(saved):
    workdir, states, config, dataset = saved
    with checkpoints.open_manager(workdir) as manager:
        restored, meta = checkpoints.restore(manager, lambda meta: states[0])
    assert _same_bits(restored, states[1])
    assert not _same_bits(restored, states[0])
    assert meta["dataset"] == dataset
    checkpoints.check_same_run(meta, config, dataset)


def test_a_damaged_checkpoint_is_passed_over_and_written_again(saved, caplog):
    workdir, states, config, dataset = saved
    for path in (workdir / "checkpoints" / "4" / "state").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:10])
    with checkpoints.open_manager(workdir, kept=2) as manager:
        restored, _ = checkpoints.restore(manager, lambda meta: states[0])
        assert _same_bits(restored, states[0])
        assert "checkpoint 4 of" in caplog.text
        checkpoints.save(manager, states[1], config, dataset, {})
    with checkpoints.open_manager(workdir) as manager:
        assert _same_bits(checkpoints.restore(manager, lambda meta: states[0])[0], states[1])


def test_no_checkpoint_and_none_intact(saved, tmp_path_factory):
    with checkpoints.open_manager(tmp_path_factory.mktemp("empty")) as manager:
        assert checkpoints.restore(manager, lambda meta: None) is None
    workdir, states, *_ = saved
    for path in (workdir / "checkpoints").rglob("*"):
        if path.is_file() and "meta" in str(path):
            path.write_bytes(b"{")
    with (
        checkpoints.open_manager(workdir) as manager,
        pytest.raises(ValueError, match=r"none of the checkpoints \[4, 2\] can be read"),
    ):
        checkpoints.restore(manager, lambda meta: states[0])


def test_another_config_or_other_data_are_refused(saved):
    _, _, config, dataset = saved
    meta = {"config": config.to_dict(), "dataset": dataset}
    config.log_every = 7
    config.data.dir = "/elsewhere"
    checkpoints.check_same_run(meta, config, dataset)
    with pytest.raises(ValueError, match="whose images or labels are not those"):
        checkpoints.check_same_run(meta, config, dataset | {"sha256": "abd"})
    config.rate.f = 0.5
    with pytest.raises(ValueError, match=r"config.rate.f is 0.5, but the run in this workdir was started with 0.001"):
        checkpoints.check_same_run(meta, config, dataset)


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
def test_the_same_data_by_another_name_are_the_same_run(saved, caplog, names):
    _, _, config, dataset = saved
    dataset = dataset | {"photographs": "def"}
    meta = {"config": config.to_dict(), "dataset": dataset}
    config.update_from_flattened_dict(names)
    checkpoints.check_same_run(meta, config, dataset | {"name": "other", "class_names": ["b"]})
    assert caplog.text == ""


def test_what_differs_of_other_data_is_named_in_one_line(saved):
    _, _, config, dataset = saved
    meta = {"config": config.to_dict(), "dataset": dataset | {"train_count": 40, "photographs": "def"}}
    config.update_from_flattened_dict({"data.source": "idx:other", "background.photographs": "moved"})
    for other, message in (
        (
            {"sha256": "abd", "train_count": 48},
            "config.data.source is 'idx:other', whose images or labels are not those .*config.data.source was "
            "'mnist_5k' and is 'idx:other', train_count was 40 and is 48.; expected the same data, or another",
        ),
        ({"class_names": ["a", "b"]}, "the number of classes was 1 and is 2"),
        ({"photographs": "deg"}, "config.background.photographs is 'moved', whose photographs are not those .*, of ''"),
        ({"photographs": None}, "config.background.photographs is 'moved', whose photographs are not those"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            checkpoints.check_same_run(meta, config, meta["dataset"] | other)
        assert "\n" not in str(caught.value)


def test_an_older_checkpoint_did_not_note_its_photographs(saved, caplog):
    _, _, config, dataset = saved
    config.background.photographs = "here"
    meta = {"config": config.to_dict(), "dataset": dataset}
    checkpoints.check_same_run(meta, config, dataset | {"photographs": "def"})
    assert caplog.text == ""
    config.background.photographs = "there"
    checkpoints.check_same_run(meta, config, dataset | {"photographs": "def"})
    assert (
        "config.background.photographs is 'there' and was 'here'; whether the photographs are the same" in caplog.text
    )


def _meta(workdir):
    with checkpoints.open_manager(workdir) as manager:
        return checkpoints.restore(manager, state.saved_template)[1]


def _write_photographs(folder, shade):
    folder.mkdir()
    for i in range(2):
        io.imsave(folder / f"{i}.png", np.full((80, 80, 3), shade + i, np.uint8), check_contrast=False)
    return folder


def test_a_run_goes_on_where_its_data_have_moved_and_names_the_new_place(tiny_config, tiny_folder, tmp_path):
    photographs = _write_photographs(tmp_path / "photographs", 100)
    tiny_config.schedule, tiny_config.steps, tiny_config.mask.kind = ("f+f_b:1",), 1, "nonzero"
    tiny_config.background.update({"photographs": str(photographs), "pictured_share": 0.25, "plain_share": 0.25})
    loop.train(tiny_config, tmp_path / "run")
    before = _meta(tmp_path / "run")
    assert len(before["dataset"]["photographs"]) == 64
    tiny_config.data.source = f"idx:{tiny_folder.rename(tmp_path / 'moved')}"
    tiny_config.background.photographs = str(photographs.rename(tmp_path / "elsewhere"))
    final = loop.train(tiny_config, tmp_path / "run")  # though no step is left
    assert final.step == 1
    after = _meta(tmp_path / "run")
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


def test_the_template_has_the_shapes_of_the_state(tiny_config):
    dataset = sources.load(tiny_config.data).describe()
    method = registry.make_method(tiny_config, dataset)
    template = state.abstract_state(tiny_config, method)
    actual = state.init_state(1, method.init, state.make_optimizers(tiny_config))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), actual) == jax.tree.map(lambda x: (x.shape, x.dtype), template)
