"""Kills trainings at random moments and looks for what is lost: python experiments/soak.py [--seed=N] [--kills=30]

Trains each of CASES once as it is; and again, killed (SIGKILL) while it starts, compiles, trains, saves and goes from
phase to phase, or ended by signals, and started by the same command each time. Then every bit of the two last
checkpoints, the lines of their logs, their figures and their tables must be the same. At last single bytes of a
checkpoint are turned over, and a training of 20,000 steps is watched for memory. Prints a table, and ends with status 1
where anything was lost. Ten minutes on two cores.
"""

import contextlib
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import flags

from bginv_jax import command_line, files
from bginv_jax.errors import InputError
from bginv_jax.evaluation import predictors
from bginv_jax.evaluation.table1 import as_markdown, as_text
from bginv_jax.training import metrics_file, provenance

_LOG = logging.getLogger("bginv_jax.soak")
HERE = Path(__file__).parent
STEPS = 12  # of a training for each time that it is ended, in three phases of as many
SIZE = (
    *("data.image_size=16", "mask.width=4", "batch_size=16", "log_every=3", "checkpoint_every=2"),
    *("evaluate_every=10", "data.validation_share=0.02"),
)
CASES = {
    "two seeds, streamed": (*SIZE, "seeds=(0,1)", "data.stream=always", "schedule=('f:1','f_m:1','f+f_b:1')"),
    "one seed, on the devices": (*SIZE, "schedule=('f:1','f_m:1','f+f_b:1')"),
}
LONG = ("batch_size=4", "steps=20000", "log_every=50", "checkpoint_every=250", "schedule=('f:1',)", "method=vanilla")
MOMENTS = ("starting", "training", "saving", "a phase's end", "SIGTERM", "SIGINT", "SIGHUP")
_WEIGHTS = (6, 8, 8, 4, 2, 1, 1)


def _command(settings: tuple[str, ...], workdir: Path) -> list[str]:
    config = f"--config={HERE / 'mnist_5k_proposal.py'}"
    fields = (f"--config.{setting}" for setting in settings)
    return [sys.executable, "-m", "bginv_jax.train", config, *fields, f"--workdir={workdir}"]


def _hear_in_children() -> None:
    """Signals that this process ignores, as under nohup, it goes on to ignore, but those that it starts do not."""
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)  # what is heard is not inherited, what is ignored would be


def _start(command: list[str], workdir: Path) -> subprocess.Popen:
    """A process whose output goes to log.txt beside the workdir; it compiles fast, and computes the same each time."""
    environment = os.environ | {"XLA_FLAGS": "--xla_backend_optimization_level=0"}
    with (workdir.parent / "log.txt").open("a", encoding="utf-8") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment)


def _steps_saved(workdir: Path) -> set[str]:
    return {path.name for path in (workdir / "checkpoints").glob("*") if path.name.isdecimal()}


def _step(workdir: Path) -> int:
    """How far it has come, by its log."""
    lines = metrics_file.read(workdir)
    return lines[-1]["step"] if lines else 0


def _saving(workdir: Path) -> bool:
    return any("tmp" in path.name for path in (workdir / "checkpoints").glob("*"))


def _wait(process: subprocess.Popen, until: Callable[[], bool]) -> None:
    while process.poll() is None and not until():
        time.sleep(0.01)


def _plan(kills: int, steps: int, draw: random.Random) -> list[tuple[int, str]]:
    """So many disturbances in the order of their steps: from which step on, and at which of MOMENTS."""
    plan = []
    for moment in draw.choices(MOMENTS, _WEIGHTS, k=kills):
        at_end = moment == "a phase's end"
        plan.append((draw.choice((1, 2)) * steps // 3 if at_end else draw.randrange(steps * 9 // 10), moment))
    return sorted(plan)


def _disturb(command: list[str], workdir: Path, moment: str, draw: random.Random, *, start: float, target: int) -> str:
    """Starts the command and ends it at such a moment; what was seen: the moment, or what went wrong.

    Args:
      command: trains in `workdir`.
      moment: one of MOMENTS.
      draw: how long after it.
      start: seconds that it takes to its first step.
      target: the step from which on it is ended, if it goes on at all before.
    """
    before, number = _steps_saved(workdir), getattr(signal, moment, signal.SIGKILL)
    lines, there = len(metrics_file.read(workdir)), _step(workdir) >= target
    process = _start(command, workdir)
    if moment == "starting" or (moment == "a phase's end" and there):
        time.sleep(draw.uniform(0, start))
    else:
        waited = draw.uniform(0, 0.3)
        if moment != "a phase's end":
            _wait(process, lambda: len(metrics_file.read(workdir)) > lines or len(_steps_saved(workdir) - before) > 0)
        _wait(process, lambda: _step(workdir) >= target)
        if moment == "saving":
            _wait(process, lambda: _saving(workdir))
            waited /= 20
        time.sleep(waited)
    if process.poll() is not None:
        return "it had finished" if process.returncode == 0 else f"it had failed ({process.returncode})"
    process.send_signal(number)
    status = process.wait(60)
    expected = -number if number == signal.SIGKILL else 128 + number
    return moment if status == expected else f"{moment}: status {status}, expected {expected}"


def _last(workdir: Path) -> list[np.ndarray]:
    """Every array of the newest checkpoint: parameters, moments, statistics, keys and step; as Orbax alone reads it."""
    step = max(_steps_saved(workdir), key=int)
    with warnings.catch_warnings(action="ignore"):  # that it asks the file which devices wrote it
        tree = ocp.PyTreeCheckpointer().restore((workdir / "checkpoints" / step / "state").resolve())
    keys = jax.dtypes.prng_key
    leaves = (jax.random.key_data(x) if jax.numpy.issubdtype(x.dtype, keys) else x for x in jax.tree.leaves(tree))
    return [np.asarray(leaf) for leaf in leaves]


def _same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return len(one) == len(other) and all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


def _differences(whole: Path, killed: Path) -> list[str]:
    """What differs between a run that nobody disturbed and one that was, in words."""
    found = [] if _same(_last(whole), _last(killed)) else ["bits of the last checkpoint"]
    strips = [{path.name: path.read_bytes() for path in (run / "backgrounds").glob("*")} for run in (whole, killed)]
    found += [] if strips[0] == strips[1] else ["figure 4"]
    logs = [
        [{name: line[name] for name in line if name != "images_per_second"} for line in metrics_file.read(run)]
        for run in (whole, killed)
    ]
    close = len(logs[0]) == len(logs[1]) and all(
        one.keys() == other.keys()
        and all(
            one[name] == other[name] if isinstance(one[name], str) else np.allclose(one[name], other[name], rtol=1e-5)
            for name in one
        )
        for one, other in zip(*logs, strict=True)
    )
    found += [] if close else ["lines of the log"]
    for run in (whole, killed):
        subprocess.run(
            [sys.executable, "-m", "bginv_jax.evaluate", f"--workdir={run}"], check=True, capture_output=True
        )
    tables = [(run / "results.jsonl").read_text(encoding="utf-8") for run in (whole, killed)]
    return found + ([] if tables[0] == tables[1] else ["the table"])


def soak(name: str, settings: tuple[str, ...], output: Path, kills: int, draw: random.Random) -> tuple[list[str], bool]:
    """A row of the table, of one case, and whether all is well."""
    place = output / name.replace(" ", "_").replace(",", "")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    whole, killed = place / "whole", place / "killed"
    steps = STEPS * max(kills, 10)
    settings = (*settings, f"steps={steps}")
    for _ in range(2):  # the second has compiled programs, and says how long a start takes
        shutil.rmtree(whole, ignore_errors=True)
        began = time.monotonic()
        process = _start(_command(settings, whole), whole)
        _wait(process, lambda: bool(metrics_file.read(whole)))
        start = time.monotonic() - began
        if process.wait():
            raise InputError(f"the training that nobody disturbed ended with {process.returncode}; see {place}/log.txt")
    seen: Counter[str] = Counter()
    for target, moment in _plan(kills, steps, draw):
        seen[_disturb(_command(settings, killed), killed, moment, draw, start=start, target=target)] += 1
        _LOG.info("%s: %s", name, ", ".join(f"{count} {what}" for what, count in seen.items()))
    status = _start(_command(settings, killed), killed).wait()
    wrong = [what for what in seen if what not in MOMENTS] + ([f"the last start ended with {status}"] if status else [])
    wrong = wrong or _differences(whole, killed)
    return [name, ", ".join(f"{seen[what]} {what}" for what in sorted(seen)), "; ".join(wrong) or "the same"], not wrong


def flip(workdir: Path, output: Path, count: int, draw: random.Random) -> tuple[list[str], bool]:
    """A row of the table: single bytes of the newest checkpoint turned over, and what its reader makes of them."""
    step, seen = max(_steps_saved(workdir), key=int), Counter[str]()
    right = jax.tree.leaves(predictors.load_seeds(workdir)[0].networks)
    for _ in range(count):
        copy = output / "flipped"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(workdir / "checkpoints" / step, copy / "checkpoints" / step)
        paths = [path for path in sorted(copy.rglob("*")) if path.is_file() and path.stat().st_size]
        path = draw.choices(paths, [path.stat().st_size for path in paths])[0]
        data = bytearray(path.read_bytes())
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
        try:
            found = jax.tree.leaves(predictors.load_seeds(copy)[0].networks)
        except InputError:
            seen["noticed"] += 1
        else:
            same = _same([np.asarray(leaf) for leaf in found], [np.asarray(leaf) for leaf in right])
            seen["of no matter to the networks" if same else "not noticed"] += 1
    what = ", ".join(f"{seen[what]} {what}" for what in sorted(seen))
    return ["bytes turned over in a checkpoint", str(count), what], not seen["not noticed"]


def watch_memory(output: Path, steps: int) -> tuple[list[str], bool]:
    """A row of the table: the memory of a long run, and memory.jsonl, a record (step, MB) a second."""
    workdir = output / "long" / "run"
    shutil.rmtree(workdir.parent, ignore_errors=True)
    workdir.parent.mkdir(parents=True)
    records: list[dict] = []
    process = _start(_command((*LONG, f"steps={steps}"), workdir), workdir)
    while process.poll() is None:
        time.sleep(1)
        step = _step(workdir)
        with contextlib.suppress(OSError, StopIteration):  # it has ended
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
            kilobytes = next(line for line in status if line.startswith("VmRSS")).split()[1]
            records.append({"step": step, "megabytes": int(kilobytes) / 1024})
    files.write_json_lines(output / "memory.jsonl", records)
    after = {
        share: [r["megabytes"] for r in records if r["step"] >= share * steps] for share in (0.1, 0.25, 0.5, 0.75, 0.99)
    }
    told = ", ".join(f"{found[0]:.0f} MB at {share:.0%}" for share, found in after.items() if found)
    grown = (
        max(after[0.75]) / max(r["megabytes"] for r in records if steps / 10 <= r["step"] <= steps / 2)
        if after[0.75]
        else 2
    )
    return [f"memory of {steps} steps", "1", told], process.returncode == 0 and grown < 1.05


def main() -> None:
    values = flags.FLAGS
    if values.same:
        arrays = [_last(predictors.find_workdir(workdir)) for workdir in values.same]
        same = all(_same(arrays[0], other) for other in arrays)
        print("the same bits" if same else "OTHER BITS")
        sys.exit(0 if same else 1)
    output = files.check_folder(values.output, field="--output", files=["soak.md", "memory.jsonl"])
    _hear_in_children()
    seed = random.randrange(2**31) if values.seed is None else values.seed
    draw = random.Random(seed)
    rows, well = [["what", "tries", "what came out"]], True
    for name, settings in CASES.items() if values.kills else ():
        row, fine = soak(name, settings, output, values.kills if name.startswith("two") else values.kills // 3, draw)
        rows, well = [*rows, row], well and fine
    if values.kills and values.flips:
        row, fine = flip(output / "two_seeds_streamed" / "whole", output, values.flips, draw)
        rows, well = [*rows, row], well and fine
    if values.long:
        row, fine = watch_memory(output, values.long)
        rows, well = [*rows, row], well and fine
    about = provenance.describe()
    head = f"`{about['command']}`, seed {seed}, commit {about['commit']}, {about['devices']}, JAX "
    head += about["versions"]["jax"]
    files.write_text(output / "soak.md", f"{head}\n\n{as_markdown(rows)}")
    print(f"{head}\n{as_text(rows)}\n{'nothing was lost' if well else 'SOMETHING WAS LOST'}")
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    flags.DEFINE_integer("seed", None, "Of the moments and bytes; by default another each time.")
    flags.DEFINE_integer("kills", 30, "How often each training is ended.", lower_bound=0)
    flags.DEFINE_integer("flips", 20, "How many bytes are turned over.", lower_bound=0)
    flags.DEFINE_integer("long", 20000, "Steps of the training whose memory is watched; 0 trains none.", lower_bound=0)
    command_line.define_path("same", None, "Only compares the newest checkpoints of such workdirs.", several=True)
    command_line.define_path("output", "runs/soak", "Where all of it goes.")
    command_line.run(main, required=[])
