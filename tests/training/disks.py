"""Tries what disks do to a training, by its command: `python -m tests.training.disks`, as root on Linux.

Each try has a small disk of its own in memory, which is mounted for it, and prints what was seen.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.conftest import ROOT, write_tiny_folder

_FIELDS = {
    "method": "vanilla",
    "schedule": "f:1",
    "classifier": "tests.training.toys:Linear",
    "batch_size": 16,
    "steps": 1_000_000,
    "checkpoint_every": 200,
    "log_every": 50,
}


@contextlib.contextmanager
def _disk(folder, size):
    """A disk of so many bytes in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, stderr=subprocess.DEVNULL)


def _start(data, workdir, **fields):
    flags = [f"--config.{name}={value}" for name, value in ({"data.source": f"idx:{data}"} | _FIELDS | fields).items()]
    config = ROOT / "experiments" / "mnist_5k_vanilla.py"
    command = [sys.executable, "-m", "bginv_jax.train", f"--config={config}", f"--workdir={workdir}", *flags]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_NUM_CPU_DEVICES": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def _steps(workdir):
    return sorted(int(path.name) for path in (workdir / "checkpoints").glob("*") if path.name.isdecimal())


def _until_it_has_saved(process, workdir, *, after=0):
    while max(_steps(workdir), default=0) <= after and process.poll() is None:
        time.sleep(0.1)


def _goes_on(data, workdir, **fields):
    """Starts it again, until it has saved once more."""
    last = _steps(workdir)[-1]
    process = _start(data, workdir, **fields)
    _until_it_has_saved(process, workdir, after=last)
    went_on = process.poll() is None
    process.kill()
    errors = process.communicate()[1]
    print(
        "the same command again:", "goes on" if went_on else errors.splitlines()[-1], f"after step {last}", flush=True
    )


def _tell(what, process, workdir=None):
    *_, errors = process.communicate(timeout=300)
    lines = [line for line in errors.splitlines() if "  phase " not in line]
    kept = f", checkpoints {_steps(workdir)}" if workdir else ""
    print(f"== {what}: exit {process.returncode}{kept}; {len(lines)} lines besides the steps', the last:", flush=True)
    print("\n".join(lines[-2:]), flush=True)


def _full(data, folder):
    with _disk(folder, "1m") as disk:
        process = _start(data, disk / "run", checkpoints_kept=1000)
        _tell("disk full", process, disk / "run")
        for step in _steps(disk / "run")[:4]:
            shutil.rmtree(disk / "run" / "checkpoints" / str(step))
        _goes_on(data, disk / "run", checkpoints_kept=1)


def _read_only(data, folder):
    with _disk(folder, "50m") as disk:
        process = _start(data, disk / "run")
        _until_it_has_saved(process, disk / "run")
        place = str(disk / "run" / "checkpoints")  # alone: a disk on which files are open cannot become read-only
        subprocess.run(["mount", "--bind", place, place], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
        _tell("disk read-only", process, disk / "run")
        subprocess.run(["umount", place], check=True)
        _goes_on(data, disk / "run")


def _gone(data, folder):
    with _disk(folder, "50m") as disk:
        process = _start(data, disk / "run")
        _until_it_has_saved(process, disk / "run")
        subprocess.run(["umount", "-l", str(disk)], check=True)
        _tell("disk gone", process)
        print("left where it was mounted:", sorted(str(path) for path in disk.rglob("*")))


def _logs(data, folder):
    with _disk(folder / "logs", "16k") as disk:
        (disk / "fill").write_bytes(bytes(8192))
        run = folder / "run"
        run.mkdir()
        for name in ("tensorboard", "backgrounds"):
            (disk / name).mkdir()
            (run / name).symlink_to(disk / name)
        (run / "metrics.jsonl").symlink_to(disk / "metrics.jsonl")
        process = _start(data, run, steps=4000)
        _tell("disk of the logs full", process, run)


def _two(data, folder):
    first = _start(data, folder / "run")
    _until_it_has_saved(first, folder / "run")
    begun = time.monotonic()
    second = _start(data, folder / "run")
    _tell(f"a second training beside process {first.pid}", second)
    print(f"{time.monotonic() - begun:.1f} s")
    first.send_signal(signal.SIGKILL)
    first.communicate()
    _goes_on(data, folder / "run")


def main():
    with tempfile.TemporaryDirectory() as folder:
        data = write_tiny_folder(Path(folder) / "data")
        for attempt in (_full, _read_only, _gone, _logs, _two):
            place = Path(folder) / attempt.__name__
            place.mkdir()
            attempt(data, place)


if __name__ == "__main__":
    main()
