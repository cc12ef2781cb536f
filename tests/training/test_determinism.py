"""The same seed, config and machine give the same bits, run to run."""

import pytest

from tests.conftest import call_door, run_door

FLAGS = ("--config=experiments/mnist_5k_vanilla.py", "--config.batch_size=16", "--config.steps=6")


@pytest.mark.parametrize("seed", [3])
def test_two_processes_have_the_same_bits(tiny_folder, tmp_path, monkeypatch, seed):
    """With convolutions on two devices; another seed has others."""
    monkeypatch.syspath_prepend("experiments")
    for run, of_run in (("one", seed), ("again", seed), ("other", seed + 1)):
        flags = (*FLAGS, f"--config.data.source=idx:{tiny_folder}", f"--config.seed={of_run}")
        result = run_door("train", *flags, f"--workdir={tmp_path / run}", devices=2)
        assert result.returncode == 0, result.stderr
    for run, words in (("again", "the same bits\n"), ("other", "OTHER BITS\n")):
        result = call_door("soak", f"--same={tmp_path / 'one'}", f"--same={tmp_path / run}")
        assert result.stdout == words, result.stderr
        assert result.returncode == (words != "the same bits\n")
