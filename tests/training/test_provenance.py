"""Where a result comes from is told as it is, or not at all."""

import shutil
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from bginv_jax.training import provenance

ROOT = Path(__file__).parents[2]


def test_versions_and_command(monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["/usr/bin/python3", "-m", "bginv_jax.train", "--workdir=my runs"])
    origin = provenance.describe()
    assert origin["versions"]["jax"] == jax.__version__
    assert origin["versions"]["python"] == sys.version.split()[0]
    assert origin["devices"] == "8 cpu"
    assert origin["command"] == "python3 -m bginv_jax.train '--workdir=my runs'"


def test_a_package_that_says_nothing_of_itself_is_unknown(monkeypatch, tmp_path):
    assert provenance.versions(["jax", "no-such-package"]) == {"jax": jax.__version__, "no-such-package": "unknown"}
    (tmp_path / "bare-1.0.dist-info").mkdir()  # without the file that names the version
    monkeypatch.syspath_prepend(tmp_path)
    assert provenance.versions(["bare"]) == {"bare": "unknown"}

    def missing(name):
        raise provenance.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(provenance.metadata, "version", missing)
    versions = provenance.describe()["versions"]
    assert versions.pop("python") == sys.version.split()[0]
    assert set(versions.values()) == {"unknown"}


def test_the_commit_of_a_repository_and_none_outside(tmp_path):
    def commit(folder):
        script = "from bginv_jax.training import provenance; print(provenance.commit())"
        return subprocess.run(
            [sys.executable, "-c", script],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"},
        ).stdout.strip()

    def git(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        return subprocess.run(
            ("git", "-C", tmp_path, *who, *words), capture_output=True, text=True, check=True
        ).stdout.strip()

    if not shutil.which("git"):
        pytest.skip("git is not installed")
    shutil.copytree(ROOT / "bginv_jax", tmp_path / "bginv_jax", ignore=shutil.ignore_patterns("__pycache__"))
    assert commit(tmp_path) == "None"
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "all")
    assert commit(tmp_path) == git("rev-parse", "--short", "HEAD")
    (tmp_path / "bginv_jax" / "config.py").write_text("changed = True\n")
    assert commit(tmp_path) == git("rev-parse", "--short", "HEAD") + "+"
