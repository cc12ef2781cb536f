"""How a training's speed scales over devices and processes of this machine, and on paper over many.

python experiments/processes.py --output=FOLDER

Trains f alone on the digits of mnist_5k for a few steps in one process of one device, in one of two, and in two of one;
prints images/s of each, then what a step of each phase sends and the bandwidth that keeps it above 90 %. A minute or
two on two cores.
"""

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
from pathlib import Path

from absl import app, flags

from bginv_jax import config as configs
from bginv_jax.data import sources
from bginv_jax.methods.registry import make_method
from bginv_jax.speed import traffic
from bginv_jax.speed.timing import PHASES

ROOT = Path(__file__).parents[1]
OUTPUT = flags.DEFINE_string("output", None, "Folder for the workdirs.", required=True)
BATCH = flags.DEFINE_integer("batch_size", 256, "Images per step.")
MILLISECONDS = flags.DEFINE_float("milliseconds", 1.0, "Of a step on one device alone, for what is on paper.")
SHAPES = ((1, 1), (1, 2), (2, 1))  # processes, devices of each
_STEPS, _EVERY = 80, 10


def images_per_second(processes: int, devices: int) -> float:
    """The median over the reports of a training but the first, whose steps compiled."""
    workdir = Path(OUTPUT.value) / f"{processes}x{devices}"
    shutil.rmtree(workdir, ignore_errors=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{free.getsockname()[1]}"
    fields = {"steps": _STEPS, "log_every": _EVERY, "checkpoint_every": _STEPS, "batch_size": BATCH.value}
    given = [f"--config.{name}={value}" for name, value in fields.items()] + ["--config.schedule=('f:1',)"]
    command = [
        sys.executable,
        "-m",
        "bginv_jax.train",
        "--config=experiments/mnist_5k_vanilla.py",
        f"--workdir={workdir}",
    ]
    joined = [
        ["--distributed", f"--coordinator={where}", f"--process_count={processes}", f"--process_id={i}"]
        for i in range(processes)
    ]
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)}
    started = [
        subprocess.Popen([*command, *given, *own], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        for own in (joined if processes > 1 else [[]])
    ]
    if max(process.wait() for process in started) > 0:
        sys.exit("a training failed")
    records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return statistics.median(record["images_per_second"] for record in records[1:])


def main(_: list[str]) -> None:
    measured = {shape: images_per_second(*shape) for shape in SHAPES}
    print("\n| processes x devices | images/s | over 1 x 1 |\n| --- | ---: | ---: |")
    for (processes, devices), rate in measured.items():
        print(f"| {processes} x {devices} | {rate:.0f} | {rate / measured[1, 1]:.2f} |")
    config = configs.default_config()
    method = make_method(config, sources.load(config.data).description)
    head = " | ".join(f"{count} devices, GB/s" for count in traffic.DEVICES)
    print(f"\n| phase | MB a step | {head} |\n| --- | ---: |" + " ---: |" * len(traffic.DEVICES))
    for active in PHASES.values():
        if set(active) <= set(method.networks):
            sent = traffic.gradient_bytes(method, active)
            needed = [
                traffic.bandwidth(sent, devices=n, seconds=MILLISECONDS.value / 1000) / 1e9 for n in traffic.DEVICES
            ]
            print(f"| {'+'.join(active)} | {sent / 1e6:.2f} | " + " | ".join(f"{rate:.1f}" for rate in needed) + " |")


if __name__ == "__main__":
    app.run(main)
