"""Learning curves from the metrics of a run."""

import json
import re

import numpy as np
from skimage import io

from bginv_jax.config import default_config
from bginv_jax.evaluation import curves, results, scoring
from bginv_jax.evaluation import unseen as unseen_backgrounds
from tests.conftest import write_workdir
from tests.training.test_reinforcement import CLASSIFIER


def _config(**fields):
    config = default_config()
    config.method, config.task, config.data.source = "vanilla", "q_learning", "world:catch"
    config.classifier, config.schedule, config.steps = CLASSIFIER, ("f:1",), 10
    config.play.update({"worlds": 2, "memory": 64})
    config.update(fields)
    return config


def _write_metrics(workdir, lines):
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_returns_are_read_by_step_of_one_seed_or_several(tmp_path):
    _write_metrics(tmp_path, [{"step": 5, "return": -0.5}, {"step": 7, "loss": 1.0}, {"step": 10, "return": 0.25}])
    steps, returns = curves.read_returns(tmp_path)
    np.testing.assert_array_equal(steps, [5, 10])
    np.testing.assert_array_equal(returns, [[-0.5], [0.25]])
    _write_metrics(tmp_path, [{"step": 5, "return": [-0.5, 0.5]}])
    np.testing.assert_array_equal(curves.read_returns(tmp_path)[1], [[-0.5, 0.5]])
    (tmp_path / "metrics.jsonl").unlink()
    assert [len(found) for found in curves.read_returns(tmp_path)] == [0, 0]


def test_a_world_is_evaluated_by_playing_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(scoring, "RATES", (0.0, 0.5))
    workdir = write_workdir(_config(), tmp_path / "run")
    _write_metrics(workdir, [{"step": 5, "return": -0.5}, {"step": 10, "return": 0.25}])
    (run,) = scoring.load([workdir])
    records = results.write([run], tmp_path)
    head = {"dataset": "world:catch", "method": "vanilla", "seed": 0, "background": "none", "count": 200}
    assert head.items() <= records[0].items()
    assert (records[0]["measure"], records[0]["larger_is_better"]) == ("share_of_best", True)
    assert records[0]["share_of_best"] == 100 * records[0]["return"]
    assert [record["background"] for record in records[1:]] == [
        "stripes",
        "board",
        "border",
        "circles",
        "clock",
        "random",
    ]
    rates = [json.loads(line) for line in (tmp_path / "rates.jsonl").read_text().splitlines()]
    assert rates[0]["share_of_best"] == records[0]["share_of_best"]  # no white pixel: the same episodes, seen the same
    printed = capsys.readouterr().out
    assert "Share of best" in printed
    assert re.search(r"world:catch: random actions reach a share of best of -[78]\d\n", printed)
    for name in ("curve.png", "table1.png", "figure1.png"):
        assert io.imread(tmp_path / name).std() > 10
    settings = unseen_backgrounds.vary({"plain": np.zeros((2, 32, 32, 1), np.float32)})
    *each, every = unseen_backgrounds.score(run, settings)
    assert [one["count"] for one in each] == [40, 40]
    assert every["share_of_best"] == each[0]["share_of_best"] == each[1]["share_of_best"]  # black is black
