"""The command lines on the tiny set, in processes of their own where it matters that they are."""

import csv
import json
import signal
import subprocess
import time

import jax
import numpy as np
import pytest
from skimage import io

from bginv_jax.backgrounds import families
from tests.conftest import call_door, door, run_door, write_workdir

CONFIG = "--config=experiments/mnist_5k_proposal.py"


@pytest.fixture(scope="module")
def workdir(module_config, tmp_path_factory):
    """A workdir of the tiny proposal."""
    return write_workdir(module_config, tmp_path_factory.mktemp("run") / "proposal")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((CONFIG, "--config.batchsize=3"), "error: config.batchsize is unknown; did you mean batch_size?"),
        ((CONFIG, "--config.batch_size=many"), "error: config.batch_size is 'many'; allowed: an integer of at least 1"),
        ((CONFIG, "--config.mask.binarize=half"), "error: config.mask.binarize is 'half'; allowed: one of otsu"),
        ((CONFIG, "--config.data.source=idx:/nowhere"), "/nowhere/train-images-idx3-ubyte is missing"),
        (("--config=experiments/nothing.py",), "error: --config cannot be read: there is no file"),
        (("--config=experiments/ablation.py:halo",), "ablation.py:halo is unknown; the variants are ours, "),
        ((CONFIG, "steps=3"), "unexpected argument 'steps=3'; flags are written --name=value"),
    ],
)
def test_wrong_flags_end_in_one_line(tmp_path, flags, message):
    result = call_door("bginv_jax.train", *flags, f"--workdir={tmp_path}")
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr


def test_a_process_ends_as_the_calls_do(tmp_path):
    flags = (CONFIG, "--config.mask.binarize=half", f"--workdir={tmp_path}")
    process, call = run_door("train", *flags), call_door("bginv_jax.train", *flags)
    assert (process.returncode, process.stdout, process.stderr) == (call.returncode, call.stdout, call.stderr)


def test_help_lists_every_field():
    for module, words in (
        ("train", ("--config", "--workdir", "mask.area_weight", "allowed")),
        ("evaluate", ("--workdir",)),
    ):
        result = run_door(module, "--help")
        assert all(word in result.stdout for word in words), result.stdout
        assert result.returncode == 0


def test_a_second_start_compiles_nothing(tiny_folder, tmp_path):
    flags = [
        "--config=experiments/mnist_5k_vanilla.py",
        f"--config.data.source=idx:{tiny_folder}",
        "--config.batch_size=16",
        "--config.steps=2",
    ]
    misses = []
    for start in ("first", "second"):
        cache = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "JAX_DEBUG_LOG_MODULES": "jax._src.compiler"}
        command = door("train", *flags, f"--workdir={tmp_path / start}", **cache)
        command["env"] = {name: value for name, value in command["env"].items() if "CACHE_" not in name[4:]}
        command["env"] |= cache
        result = subprocess.run(**command, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
        misses.append(result.stderr.count("PERSISTENT COMPILATION CACHE MISS"))
        assert "Persistent compilation cache hit" in result.stderr or start == "first"
    assert misses[0] > 0
    assert misses[1] == 0


def test_a_killed_process_continues_and_the_table_is_written(tiny_folder, tmp_path):
    """The real thing: SIGKILL while it trains, the same command again, then evaluate."""
    flags = [
        CONFIG,
        f"--config.data.source=idx:{tiny_folder}",
        "--config.batch_size=16",
        "--config.steps=20",
        "--config.checkpoint_every=2",
        "--config.log_every=1",
        f"--workdir={tmp_path / 'run'}",
    ]
    process = subprocess.Popen(**door("train", *flags, devices=2), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not (tmp_path / "run" / "checkpoints" / "4").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    result = run_door("train", *flags, devices=2)
    assert result.returncode == 0, result.stderr
    assert "continuing after step" in result.stderr
    assert "step 20/20" in result.stderr
    page = tmp_path / "new" / "page.html"
    result = run_door("evaluate", f"--workdir={tmp_path / 'run'}", f"--html={page}")  # on fewer devices than trained it
    assert result.returncode == 0, result.stderr
    assert "Proposal, poster" in result.stdout
    records = [json.loads(line) for line in (tmp_path / "run" / "results.jsonl").read_text().splitlines()]
    assert len(records) == 7
    assert all(record["count"] == 21 for record in records)
    assert (tmp_path / "run" / "table1.md").read_text().startswith("| Accuracy (%) | None |")
    assert (tmp_path / "run" / "table1.png").stat().st_size > 10_000
    rates = [json.loads(line) for line in (tmp_path / "run" / "rates.jsonl").read_text().splitlines()]
    assert [record["count"] for record in rates] == [21] * 20
    text = page.read_text()
    assert text.count("data:image/png;base64,") == 3  # rates, figures 3 and 4
    assert "--config=experiments/mnist_5k_proposal.py" in text  # the command that trained it


def test_figures_are_drawn_into_the_workdir_even_of_its_checkpoints(workdir):
    result = call_door("bginv_jax.figures", f"--workdir={workdir / 'checkpoints'}")
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"written to {workdir}: figure3.png\n"
    assert io.imread(workdir / "figure3.png").std() > 10


def test_figures_of_one_method_do_not_overwrite_each_other(workdir, tmp_path):
    flags = (f"--workdir={workdir}", f"--workdir={workdir}", f"--output={tmp_path}")
    result = call_door("bginv_jax.figures", *flags)
    assert result.returncode == 2
    assert "of one method; expected another --output for each" in result.stderr
    assert not list(tmp_path.iterdir())


def test_no_run_is_begun_in_the_checkpoints_of_another(workdir):
    before = sorted(workdir.rglob("*"))
    result = call_door("bginv_jax.train", CONFIG, f"--workdir={workdir}/checkpoints")
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: --workdir is '{workdir}/checkpoints', in checkpoints of the workdir ")
    assert sorted(workdir.rglob("*")) == before


def test_unseen_backgrounds_are_scored_in_the_workdir(workdir, tmp_path):
    io.imsave(tmp_path / "sky.png", np.full((70, 70), 200, np.uint8), check_contrast=False)
    options = ("--count=2", "--families=fold0", f"--photographs={tmp_path}", "--seeds=0")
    with jax.enable_x64(True):  # as the user's environment may have it, and no command does
        result = call_door("bginv_jax.unseen", f"--workdir={workdir}/checkpoints/", *options)
    assert result.returncode == 0, result.stderr
    records = [json.loads(line) for line in (workdir / "unseen.jsonl").read_text().splitlines()]
    assert [record["family"] for record in records[::2]] == [*families.FOLDS[0], "photographs", "every"]
    assert all(record["count"] == 21 and record["correct"] >= records[-1]["correct"] for record in records)
    assert (workdir / "unseen.md").read_text().startswith("| Accuracy (%) | ")
    for seeds in (("--seeds=3",), ("--seeds=0", "--seeds=3")):
        result = call_door("bginv_jax.unseen", f"--workdir={workdir}", *seeds)
        given = ", ".join(seed[-1] for seed in seeds)
        assert result.stderr.strip().endswith(f"error: --seeds is {given}; the workdirs have 0")


def test_predict_does_what_it_can_and_its_status_tells(workdir, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a,b.png", "日本.png"):
        io.imsave(tmp_path / "in" / name, np.zeros((30, 20, 3), np.uint8), check_contrast=False)
    good = run_door("predict", str(tmp_path / "in"), f"--workdir={workdir}", LC_ALL="C", PYTHONUTF8="0")  # flags last
    assert good.returncode == 0, good.stderr
    head, *rows = csv.reader(good.stdout.splitlines())
    assert head == ["file", "class", "0", "1", "2"]
    assert [row[0] for row in rows] == [f"{tmp_path}/in/a,b.png", f"{tmp_path}/in/日本.png"]
    (tmp_path / "in" / "bad.jpg").write_bytes(b"x")
    flags = (f"--workdir={workdir}", "--format=jsonl", f"--output={tmp_path}/o.jsonl", f"--overlay={tmp_path}/in/new")
    some = run_door("predict", *flags, f"--html={tmp_path}/page.html", f"{tmp_path}/in/*", str(tmp_path / "in"))
    assert some.returncode == 3, some.stderr
    assert f"error: {tmp_path}/in/bad.jpg: it is no picture" in some.stderr
    assert "2 of 3 files predicted, 1 could not be read" in some.stderr
    assert "Traceback" not in some.stderr
    assert some.stdout == ""
    records = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text(encoding="utf-8").splitlines()]
    assert ["error" in record for record in records] == [False, True, False]
    assert sorted(path.name for path in (tmp_path / "in" / "new").iterdir()) == ["1 a,b.png", "3 日本.png"]
    again = run_door("predict", *flags, str(tmp_path / "in"))  # the overlays in the folder are no pictures to predict
    assert "2 of 3 files predicted" in again.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "error: no argument is given; expected picture files, folders of them, or quoted patterns"),
        (("-",), "error: an argument is '-'; expected picture files, folders of them, or quoted patterns"),
        (("a.png", "--output=setup.cfg/x"), "error: --output is 'setup.cfg/x', which cannot be written"),
        (("a.png", "--html_count=0"), "html_count"),
        (("--output", "a.png", "b.png"), "error: --output is 'a.png', the name of a picture; expected --output=FILE"),
        (("b.png", "--html=c.TIFF"), "error: --html is 'c.TIFF', the name of a picture; expected --html=FILE"),
        (("a.png", "--output=o", "--html=o"), "error: --output is 'o', where --html is written, too"),
        (("a.png", "--html=o", "--overlay=o"), "error: --html is 'o', where --overlay is written, too"),
    ],
)
def test_predict_refuses_what_it_cannot_do(tmp_path, flags, message):
    result = run_door("predict", f"--workdir={tmp_path}", *flags)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_export_writes_a_folder(workdir, tmp_path):
    result = run_door("export", f"--workdir={workdir}", f"--output={tmp_path / 'out'}", "--noscore")
    assert result.returncode == 0, result.stderr
    names = ["predict.jax_export", "mask.jax_export", "weights.safetensors", "model.json", "README.md"]
    assert result.stdout == f"written to {tmp_path / 'out'}: {', '.join(names)}\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)
