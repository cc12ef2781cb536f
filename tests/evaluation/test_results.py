"""All that an evaluation writes, of several workdirs, in a program with settings of its own."""

import dataclasses
import json

import jax
import pytest
from skimage import io

from bginv_jax.errors import InputError
from bginv_jax.evaluation import results, scoring
from bginv_jax.tasks.rotation import rotation
from tests.conftest import changed, write_workdir


@pytest.fixture(scope="module")
def workdirs(module_config, tmp_path_factory):
    """Of vanilla with two seeds, and of the proposal."""
    folder = tmp_path_factory.mktemp("runs")
    configs = {
        "vanilla": changed(module_config, method="vanilla", schedule=("f:1",), seeds=(1, 2)),
        "proposal": module_config,
    }
    return [write_workdir(config, folder / name) for name, config in configs.items()]


def test_records_tables_figures_and_page_are_written(workdirs, tmp_path, capsys):
    page = tmp_path / "new" / "page.html"
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        runs = scoring.load(workdirs)
        records = results.write(runs, tmp_path / "output", html=page)
    assert records[:14] == scoring.score(runs[0])
    lines = (tmp_path / "output" / "results.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == records
    rows = [("vanilla", 1), ("vanilla", 2), ("proposal", 0)]
    assert [(one["method"], one["seed"]) for one in records[::7]] == rows
    rates = (tmp_path / "output" / "rates.jsonl").read_text().splitlines()
    assert len(rates) == 2 * 20
    table = (tmp_path / "output" / "table1.md").read_text()
    assert table.startswith("| Accuracy (%) | None | Stripes | Board | Border | Circles | Clock | Random |\n")
    assert table.count("- vanilla: vanilla, seeds 1, 2; batch 16; epochs of 48 images: f 3.00\n") == 1
    assert table.count("; IoU of masks and objects ") == 1
    figures = ["figure1.png", "figure3.png"]
    for name in ("table1.png", "rates.png", *figures):
        assert io.imread(tmp_path / "output" / name).std() > 10
    assert page.read_text().count("data:image/png;base64,") == 3  # rates and the figures
    printed = capsys.readouterr().out
    assert "Vanilla CNN, idx:tiny (21 images, 2 seeds)" in printed
    written = ["results.jsonl", "table1.md", "table1.png", "rates.jsonl", "rates.png", *figures]
    assert printed.endswith(f"written to {tmp_path / 'output'}: {', '.join(written)}; and {page}\n")


def test_the_same_run_twice_is_refused_before_it_is_scored(workdirs, tmp_path):
    runs = scoring.load([workdirs[1]] * 2)
    with pytest.raises(InputError, match="two of the workdirs hold idx:tiny, proposal, seed 0; expected each once"):
        results.write(runs, tmp_path / "output")
    assert not (tmp_path / "output").exists()


def test_runs_of_two_measures_are_refused_before_they_are_scored(workdirs, tmp_path):
    (run,) = scoring.load([workdirs[1]])
    (trained,) = run.seeds
    other = trained._replace(method=dataclasses.replace(trained.method, task=rotation()))
    with pytest.raises(InputError, match="measured by accuracy and by mean_absolute_error; a table shows one measure"):
        results.write([run, run._replace(seeds=[other])], tmp_path / "output")
    assert not (tmp_path / "output").exists()
