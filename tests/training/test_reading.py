"""What a disk has made of a checkpoint is noticed by whoever reads it, said in a line, and the one before is used."""

import json
import shutil

import jax
import jax.numpy as jnp
import pytest

from bginv_jax.config import default_config
from bginv_jax.errors import InputError
from bginv_jax.training import checkpoints, integrity
from tests.conftest import same_bits
from tests.training import flips

_READERS = {"train": flips.read_to_train, "predict": flips.read_to_predict}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A workdir with checkpoints after steps 2 and 4, and what they hold; not to be changed."""
    workdir = tmp_path_factory.mktemp("written")
    return workdir, flips.write(workdir)


@pytest.fixture
def workdir(written, tmp_path):
    return shutil.copytree(written[0], tmp_path / "run")


def _expected(written, reader):
    states = written[1]
    return states if reader == "train" else {step: state.networks() for step, state in states.items()}


def test_a_flipped_byte_is_noticed_wherever_it_changes_what_is_read(tmp_path):
    """Three places of every file; `python -m tests.training.flips` tries all."""
    counts = flips.flip_some(tmp_path, lambda size: sorted({size // 5, size // 2, size - 4}))
    total = {outcome: sum(count for what, count in counts.items() if what[2] == outcome) for *_, outcome in counts}
    assert set(total) == {"noticed", "no effect"}
    for reader in ("read_to_train", "read_to_predict"):
        assert counts["metadata", reader, "noticed"] == 3
        assert counts["_METADATA", reader, "noticed"] >= 2


def test_every_byte_of_a_large_array_counts(tmp_path):
    flips.write(tmp_path)
    data = max((tmp_path / "checkpoints" / "4" / "state").rglob("d/*"), key=lambda path: path.stat().st_size)
    states = flips.make_state(2), flips.make_state(4)
    meta = flips.read_to_train(tmp_path)[2]
    for place in range(3, data.stat().st_size, data.stat().st_size // 20):
        flips.flip(data, place, 64)
        flips.judge(tmp_path, flips.read_to_train, dict(zip((2, 4), states, strict=True)), meta)
        flips.flip(data, place, 64)


def _truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


def _empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("reader", _READERS)
@pytest.mark.parametrize("damage", [_truncated, _zeros, _empty, lambda path: path.unlink()])
def test_files_that_are_truncated_or_gone_are_noticed(written, workdir, reader, damage):
    meta, outcomes = flips.read_to_train(workdir)[2], []
    for path in sorted((workdir / "checkpoints" / "4").rglob("*")):
        if path.is_file():
            whole = path.read_bytes()
            damage(path)
            outcomes.append(flips.judge(workdir, _READERS[reader], _expected(written, reader), meta))
            path.write_bytes(whole)
    assert outcomes.count("noticed") >= 4


@pytest.mark.parametrize("reader", _READERS)
def test_an_empty_checkpoint_and_half_written_ones_are_passed_over(written, workdir, reader):
    meta = flips.read_to_train(workdir)[2]
    place = workdir / "checkpoints"
    shutil.copytree(place / "4", place / "6.orbax-checkpoint-tmp")
    (place / "8.orbax-checkpoint-tmp-17").mkdir()
    assert flips.judge(workdir, _READERS[reader], _expected(written, reader), meta) == "no effect"
    shutil.rmtree(place / "4")
    (place / "4").mkdir()
    assert flips.judge(workdir, _READERS[reader], _expected(written, reader), meta) == "noticed"


@pytest.mark.parametrize("reader", _READERS)
def test_where_none_is_intact_nothing_is_changed(workdir, reader):
    for path in (workdir / "checkpoints").glob("*/meta/metadata"):
        flips.flip(path, path.stat().st_size // 2, 1)
    before = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=r"none of the checkpoints \[4, 2\] can be read; nothing was changed there"):
        _READERS[reader](workdir)
    assert {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()} == before


def _rewrite(workdir, change, *, step=4):
    path = workdir / "checkpoints" / str(step) / "meta" / "metadata"
    meta = json.loads(path.read_text())
    change(meta)
    path.write_text(json.dumps(meta))


def _unseal(meta):
    del meta[integrity.CHECKSUMS]


@pytest.mark.parametrize("reader", _READERS)
def test_a_checkpoint_of_before_there_were_checksums_loads_and_says_so_once(written, workdir, reader, caplog):
    caplog.set_level("INFO", "bginv_jax")
    _rewrite(workdir, _unseal)
    step, found, _ = _READERS[reader](workdir)
    assert step == 4
    assert same_bits(found, _expected(written, reader)[4])
    assert caplog.text.count("checkpoint 4 of") == 1
    assert "has no checksum: the version that made it (commit 0123) noted none" in caplog.text


@pytest.mark.parametrize("reader", _READERS)
def test_of_one_without_checksums_that_cannot_be_read_the_version_is_named(workdir, reader, caplog):
    _rewrite(workdir, _unseal)
    (workdir / "checkpoints" / "4" / "state" / "manifest.ocdbt").unlink()
    assert _READERS[reader](workdir)[0] == 2
    assert "the version that made it (commit 0123) noted no checksum" in caplog.text


def _lose(meta):
    meta["checksumz"] = meta.pop(integrity.CHECKSUMS)


def _nonsense(meta):
    meta[integrity.CHECKSUMS] = []


def _dataset(meta):
    meta["dataset"] = 3


@pytest.mark.parametrize("change", [_lose, _nonsense, _dataset, lambda meta: meta.clear()])
def test_a_meta_that_is_none_is_damage(workdir, change):
    _rewrite(workdir, change)
    assert flips.read_to_train(workdir)[0] == flips.read_to_predict(workdir)[0] == 2


@pytest.mark.parametrize("reader", _READERS)
@pytest.mark.parametrize("sealed", [True, False])
def test_a_field_that_this_version_does_not_know_names_the_version(workdir, reader, sealed):
    def change(meta):
        meta["config"]["rate"]["of_change"] = 1
        meta["origin"]["versions"] = {"bginv_jax": "9.1", "jax": "unknown"}
        meta |= integrity.sealed_again(meta)
        if not sealed:
            _unseal(meta)

    _rewrite(workdir, change)
    with pytest.raises(InputError) as caught:
        _READERS[reader](workdir)
    assert str(caught.value) == (
        f"checkpoint 4 of {workdir / 'checkpoints'} holds config.rate.of_change, which this version does not know; "
        "expected the version that made it (commit 0123, bginv_jax 9.1)"
    )


def _wider(state):
    return state._replace(params={**state.params, "f_b": {"bias": jnp.zeros(8)}})


def _more(state):
    return state._replace(opt_state={**state.opt_state, "f": (*state.opt_state["f"], jnp.zeros(()))})


def _fewer(state):
    return state._replace(opt_state={"f": state.opt_state["f"]})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_wider, "its ['params']['f_b']['bias'] is float32 (7); expected float32 (8)"),
        (_more, "it has no ['opt_state']['f'][2]"),
        (_fewer, "it has a ['opt_state']['f_b'][0].count, which nothing asks for"),
    ],
)
def test_an_intact_checkpoint_of_other_arrays_names_the_version(workdir, change, words):
    with checkpoints.open_manager(workdir) as manager, pytest.raises(InputError) as caught:
        checkpoints.restore(manager, lambda meta: jax.eval_shape(lambda: change(flips.make_state(0))))
    name = f"checkpoint 4 of {workdir / 'checkpoints'}"
    assert str(caught.value) == f"{name} is whole, but {words}; expected the version that made it (commit 0123)"


def test_what_cannot_be_understood_of_a_meta_without_checksums_is_damage_and_of_another_a_defect(workdir):
    def template(meta):
        return meta["config"]["none"]

    with checkpoints.open_manager(workdir) as manager, pytest.raises(KeyError):
        checkpoints.restore(manager, template)
    for step in (2, 4):
        _rewrite(workdir, _unseal, step=step)
    with (
        checkpoints.open_manager(workdir) as manager,
        pytest.raises(InputError, match=r"none of the checkpoints \[4, 2\]"),
    ):
        checkpoints.restore(manager, template)


def test_a_run_that_goes_on_seals_its_meta_again(workdir):
    meta = flips.read_to_train(workdir)[2]
    meta["config"]["log_every"] += 1
    with pytest.raises(integrity.DamagedError, match="its meta is not what was written"):
        integrity.check_meta(meta)
    assert integrity.check_meta(integrity.sealed_again(meta))
    assert default_config().log_every == meta["config"]["log_every"] - 1
