"""The benchmark's table and records: what is timed, what is refused, and what is said of what is unknown."""

import contextlib
import json
import math
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

from bginv_jax import config as configs
from bginv_jax.errors import InputError
from bginv_jax.speed import benchmark, memory, peer, timing
from tests.xla_flags import QUICK

ROOT = Path(__file__).parents[2]
USUAL = {"phases": ["vanilla"], "batch_sizes": [8], "peer": False, "pairs": 7, "seconds": 0.01}


def test_the_command_line_prints_a_table_and_writes_finite_records(tiny_folder, tmp_path):
    """Of a config with all that a step may have, for two seeds, through the processes that the benchmark starts."""
    output = tmp_path / "benchmark.json"
    command = [sys.executable, "-m", "bginv_jax.benchmark", f"--config={ROOT / 'experiments' / 'mnist_best.py'}"]
    command += [f"--config.data.source=idx:{tiny_folder}", "--config.classifier=cnn", "--config.seeds=(0, 1)"]
    command += ["--config.background.families=('ramp', 'plain')"]  # quick to draw
    command += ["--phases=vanilla", "--batch_size=8", "--pairs=2", "--seconds=0.1", f"--output={output}"]
    flags = f"--xla_force_host_platform_device_count=2 {QUICK}"
    environment = os.environ | {"XLA_FLAGS": flags}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    result = json.loads(output.read_text())
    (record,) = result["records"]
    figures = {name: value for name, value in record.items() if name not in ("phase", "networks", "compile_seconds")}
    assert all(value > 0 and math.isfinite(value) for value in figures.values()), figures
    # Of 8 images 2 are kept, 3 stand before pictures and 3 before f_b's backgrounds, which two devices cannot share.
    assert (record["seeds"], record["devices"], result["machine"]["devices"]) == (2, 1, 2)
    assert record["peak_mb"] > record["imports_mb"] > 10
    # The classifier of 16x16 images: forward, and backward without the gradient for the image.
    convolutions, dense = (18 * 16**2 * 32, 18 * 8**2 * 32 * 64), 2 * (4 * 4 * 64 * 128 + 128 * 3)
    assert record["mflop_per_image"] == pytest.approx(
        (2 * convolutions[0] + 3 * convolutions[1] + 3 * dense) / 1e6, rel=0.5
    )
    assert "vanilla" in done.stdout
    assert f"{record['images_per_second']:.0f}" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairs": 6, "peer": True}, r"--pairs is 6; allowed: at least 7 with --peer=torch"),
        ({"pairs": 0}, r"--pairs is 0; allowed: at least 1$"),
        ({"phases": ["both"]}, r"--phases has 'both'; allowed .*: vanilla, mask, adversarial, joint"),
        ({"phases": []}, r"--phases is empty; allowed: vanilla, mask, adversarial, joint"),
        ({"batch_sizes": [64, 4001]}, r"--batch_size is 4001; allowed: 1 to 4000"),
        ({"batch_sizes": [0]}, r"--batch_size is 0; allowed: 1 to 4000"),
    ],
)
def test_wrong_flags_are_refused(monkeypatch, mnist_5k, options, message):
    monkeypatch.setattr(benchmark.sources, "load", lambda config: mnist_5k)
    with pytest.raises(InputError, match=message):
        benchmark.benchmark(configs.default_config(), **(USUAL | options))


@pytest.mark.parametrize(
    ("fields", "phase", "message"),
    [
        (
            {"method": "vanilla", "schedule": ("f:1",)},
            "joint",
            r"--phases has 'joint'; allowed with config.method vanilla: vanilla$",
        ),
        ({"mask.kind": "nonzero"}, "mask", r"'mask'; .* proposal and config.mask.kind nonzero: vanilla, adversarial$"),
        (
            {"schedule": ("f:1",), "background.plain_share": 1.0},
            "adversarial",
            r"config.background.plain_share is 1.0; allowed: leaves some of the batch to f_b",
        ),
    ],
)
def test_a_phase_that_the_config_has_not_is_refused_before_anything_is_timed(
    monkeypatch, mnist_5k, fields, phase, message
):
    monkeypatch.setattr(benchmark.sources, "load", lambda config: mnist_5k)
    monkeypatch.setattr(timing, "matmul_rate", lambda: pytest.fail("timed"))
    config = configs.default_config()
    config.update_from_flattened_dict(fields)
    with pytest.raises(InputError, match=message):
        benchmark.benchmark(config, **USUAL | {"phases": ["vanilla", phase]})


def test_what_the_peer_lacks_is_refused_before_pytorch_is_looked_at(monkeypatch):
    monkeypatch.setattr(benchmark.util, "find_spec", lambda name: name)
    config = configs.default_config()
    config.seeds = (0, 1)
    with pytest.raises(InputError, match=r"config.seeds is \(0, 1\); allowed with --peer=torch: \(\)"):
        benchmark.benchmark(config, **USUAL | {"peer": True})


def test_a_missing_pytorch_is_named(monkeypatch):
    monkeypatch.setattr(benchmark.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"--peer=torch needs PyTorch: pip install 'bginv_jax\[bench\]'"):
        benchmark.benchmark(configs.default_config(), **USUAL | {"peer": True})


@pytest.fixture
def timed(tiny_config, monkeypatch):
    """(text, record) of the vanilla phase on the tiny set beside a peer whose variants went as the trials say."""
    steps = {"run": lambda count: None, "flop": 8e6, "state": None, "plan": timing.BatchPlan(None, 1, 1)}

    def run(trials=(), flop=8e6, memory_mb=(300.0, 200.0, 400.0), notes=()):
        figures = dict(zip(("peak_mb", "imports_mb", "first_start_mb"), memory_mb, strict=True))
        monkeypatch.setattr(benchmark.util, "find_spec", lambda name: name == "torch")
        monkeypatch.setattr(benchmark.memory, "measure", lambda *_: (dict(figures), list(notes)))
        monkeypatch.setattr(timing, "make_runner", lambda *_: timing.Runner(**steps | {"flop": flop}))
        monkeypatch.setattr(timing, "warm_up", lambda run: (2.0, 0.001))
        monkeypatch.setattr(timing, "seconds_per_step", lambda run, count: 0.001 if run is steps["run"] else 0.002)
        monkeypatch.setattr(timing, "matmul_rate", lambda: 80.0)
        monkeypatch.setattr(peer, "try_variants", lambda *_: list(trials))
        monkeypatch.setattr(peer, "started", lambda *_: contextlib.nullcontext(lambda count: None))
        result = benchmark.benchmark(tiny_config, **USUAL | {"peer": bool(trials)})
        (record,) = json.loads(json.dumps(result))["records"]
        return benchmark.text(result), record

    return run


def test_rates_and_ratios(timed):
    text, record = timed([peer.Trial("eager", 0.0, 0.004), peer.Trial("compile", 9.0, 0.002)])
    assert record["images_per_second"] == pytest.approx(8000)
    assert record["mflop_per_image"] == pytest.approx(1.0)
    assert record["gflop_per_second"] == pytest.approx(8.0)
    assert record["share_of_matmul"] == pytest.approx(0.1)
    assert record["ratio"] == pytest.approx(2.0)
    assert record["peer"]["variant"] == "compile"
    assert record["peer"]["compile_seconds"] == 9.0
    assert record["peer"]["trials"]["eager"] == {"images_per_second": 2000.0, "compile_seconds": 0.0, "notes": []}
    assert "notes" not in record
    assert "compile 4000" in text
    assert "300 (200; 400)" in text
    assert text.splitlines()[-1] == "vanilla: 2.00, each side at its best batch size"


def test_variants_that_failed_or_fell_back_are_named_below_the_table(timed):
    text, record = timed(
        [
            peer.Trial("eager", 0.0, 0.004),
            peer.Trial("compile", 9.0, 0.002, ("partly eager: the graph breaks: print",)),
            peer.Trial("reduce-overhead", None, None, ("failed: InductorError: no compiler",)),
        ]
    )
    assert record["peer"]["trials"]["reduce-overhead"]["images_per_second"] is None
    assert record["notes"] == [
        "PyTorch compile partly eager: the graph breaks: print",
        "PyTorch reduce-overhead failed: InductorError: no compiler",
    ]
    assert text.splitlines()[3:5] == [f"vanilla, batch 8: {note}" for note in record["notes"]]


def test_what_nobody_knows_is_a_dash(timed):
    text, record = timed(flop=None, memory_mb=(None, None, None), notes=["memory is unknown: killed"])
    assert record["gflop_per_second"] is record["share_of_matmul"] is record["peak_mb"] is None
    header, line = text.splitlines()[1:3]
    columns = dict(zip(re.split("  +", header.strip()), re.split("  +", line.strip()), strict=True))
    assert columns["GFLOP/s"] == columns["of matmul"] == "-"
    assert columns["MB (imports; 1st start)"] == "- (-; -)"
    assert text.splitlines()[3] == "vanilla, batch 8: memory is unknown: killed"


def test_memory_that_cannot_be_measured_is_unknown(monkeypatch):
    monkeypatch.setattr(memory, "sys", types.SimpleNamespace(executable="false"))
    figures, notes = memory.measure(configs.default_config(), "vanilla", "jax")
    assert figures == {"peak_mb": None, "imports_mb": None, "first_start_mb": None}
    assert notes == ["memory is unknown: exit status 1"]


def test_the_fastest_of_those_that_did_not_fail_is_compared():
    failed = peer.Trial("reduce-overhead", None, None, ("failed: x",))
    trials = [peer.Trial("eager", 0.0, 0.4), peer.Trial("compile", 1.0, 0.3), failed]
    assert peer.fastest(trials).variant == "compile"
