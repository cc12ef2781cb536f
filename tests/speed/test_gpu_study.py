"""Each part of the study gives its figures, and one that fails stops no other."""

import json

import jax
import numpy as np
import pytest

from bginv_jax.speed import gpu_study, study, timing
from bginv_jax.training import devices as hardware
from bginv_jax.training import step


@pytest.fixture
def records(small_networks, tiny_config, tmp_path, monkeypatch):
    """(part) -> its records, of a dense f alone on one device and the tiny set, so that each compiles in a second."""
    device = hardware.local()[:1]
    monkeypatch.setattr(hardware, "local", lambda: device)
    monkeypatch.setattr(timing, "_TRIAL_SECONDS", 0.01)
    monkeypatch.setattr(study, "_JOINT", ("f",))
    monkeypatch.setattr(timing, "PHASES", {"vanilla": ("f",), "mask": ("f_m",)})
    tiny_config.augment.update({"rotation": 0.0, "shift": 0.0, "zoom": 0.0})
    small = study.Study(tiny_config, seconds=0.01, batch_sizes=(8, 16), seeds=2, profiled=2, learned=2)

    def measure(part):
        gpu_study.measure_part(part, small, tmp_path / "lines.jsonl")
        first, *others = [json.loads(line) for line in (tmp_path / "lines.jsonl").read_text().splitlines()]
        assert first["origin"]["versions"]["jax"]
        assert all(record["part"] == part for record in (first, *others))
        return others

    return measure


def test_phases_are_timed_at_each_batch_size(records):
    found = {(record["batch_size"], record["phase"]): record for record in records("phases")}
    assert list(found) == [(size, phase) for size in (8, 16) for phase in timing.PHASES]
    for (size, _), record in found.items():
        assert 0 < record["lowest"] <= record["microseconds_per_step"] <= record["highest"]
        assert record["images_per_second"] == pytest.approx(1e6 * size / record["microseconds_per_step"])
        assert record["gflop_per_second"] > 0


def test_the_profile_tells_the_longest_kernels(records):
    whole, *top = records("profile")
    assert whole["launches_per_step"] >= whole["kernels"] / 2 > 2
    assert whole["profiled_microseconds_per_step"] > 0
    times = [kernel["busy_microseconds_per_step"] for kernel in top]
    assert times == sorted(times, reverse=True)
    assert len(top) == min(whole["kernels"], 25)
    assert sum(kernel["share_of_busy"] for kernel in top) <= 1 + 1e-6


def test_seeds_are_timed_side_by_side_and_in_turn(records, monkeypatch):
    mapped, run_map = [], step.lax.map
    monkeypatch.setattr(step.lax, "map", lambda *arguments: mapped.append(1) or run_map(*arguments))
    assert [(record["seeds"], record.get("by")) for record in records("seeds")] == [
        (1, None),
        (2, "vmap"),
        (2, "lax.map"),
        (2, "unrolled"),
    ]
    assert len(mapped) in (1, 2)  # traced for shapes and for the program, of one of the two


def test_precisions_are_timed_with_what_they_learn(records):
    found = records("precision")
    assert [record["precision"] for record in found] == [
        "default",
        "bfloat16 convolutions",
        "tensorfloat32",
        "bfloat16",
        "highest",
    ]
    assert all(0 <= record[name] <= 100 for record in found for name in ("accuracy_clean", "accuracy_mean"))


def test_health_is_timed_by_what_is_looked_at(records, monkeypatch):
    looks, look, take_time, shares = [], step._is_finite, study.Study.time, []
    monkeypatch.setattr(step, "_is_finite", lambda tree: looks.append(bool(jax.tree.leaves(tree))) or look(tree))

    def time(*arguments):
        looks.clear()
        result = take_time(*arguments)
        shares.append(np.mean(looks or [0]))
        return result

    monkeypatch.setattr(study.Study, "time", time)
    assert [record["checked"] for record in records("health")] == ["metrics", "metrics and gradients", "nothing"]
    assert 0 < shares[0] < shares[1] == 1  # of the trees that are looked at, those that hold anything
    assert shares[2] == 0


def test_command_buffers_are_told_to_xla_by_process():
    flags = {name: part.xla_flags for name, part in study.PARTS.items() if name.startswith("commands")}
    assert flags["commands_default"] == ""
    assert flags["commands_off"] == "--xla_gpu_enable_command_buffer="
    assert len(set(flags.values())) == len(flags) == 6


def test_a_part_that_fails_or_takes_too_long_stops_no_other(tmp_path, capsys):
    options = ["--source=idx:/nowhere", "--seconds=0.1"]
    output = tmp_path / "new" / "study"
    assert not gpu_study.run_parts(["health", "seeds"], output, options, limit=100)
    lines = [json.loads(line) for line in (output / "gpu_study.jsonl").read_text().splitlines()]
    assert [line["part"] for line in lines] == ["health", "seeds"]
    assert all("/nowhere" in line["failed"] for line in lines)
    assert "/nowhere" in (output / "seeds.log").read_text()
    assert not gpu_study.run_parts(["profile"], output, options, limit=0.0)
    assert "profile: stopped after 0 s" in capsys.readouterr().out
