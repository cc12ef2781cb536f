"""How a training's speed scales over processors and processes of this machine, and on paper over many devices.

python experiments/processes.py --output=FOLDER

Trains f alone on the digits of mnist_5k for a few steps in one process of one device, in one of two, and in two of one;
prints images/s of each, then what a step of each phase sends and the bandwidth that keeps it above 90 %. A minute or
two on two cores; --notrained prints what is on paper alone.
"""

import os
import shutil
import socket
import statistics
import subprocess
import sys
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict

from bginv_jax import command_line, config_files
from bginv_jax import config as configs
from bginv_jax.data.dataset import Description
from bginv_jax.methods.registry import make_method
from bginv_jax.speed import traffic
from bginv_jax.training import metrics_file

SHAPES = ((1, 1), (1, 2), (2, 1))  # processes, devices of each
FIELDS = {"steps": 80, "log_every": 10, "checkpoint_every": 80, "schedule": ("f:1",)}
# Milliseconds of a step of 64 digits on one H200: docs/results.md, On a GPU. Photographs were not timed there.
DIGITS = {("f",): 0.269, ("f_m",): 0.907, ("f", "f_b"): 0.608, ("f", "f_m", "f_b"): 1.450}
PHOTOGRAPHS = dict.fromkeys(DIGITS, 10.0)


def _trains(processes: int, devices: int, flags_of_all: list[str]) -> list[subprocess.Popen]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"--coordinator=127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "bginv_jax.train", *flags_of_all]
    joined = [["--distributed", where, f"--process_count={processes}", f"--process_id={i}"] for i in range(processes)]
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)}
    return [
        subprocess.Popen([*command, *own], env=environment, stdout=subprocess.DEVNULL)
        for own in (joined if processes > 1 else [[]])
    ]


def images_per_second(processes: int, devices: int) -> float:
    """The median over the reports of a training but the first, whose steps compiled."""
    workdir = Path(flags.FLAGS.output) / f"{processes}x{devices}"
    shutil.rmtree(workdir, ignore_errors=True)
    fields = [f"--config.{name}={value}" for name, value in (FIELDS | {"batch_size": flags.FLAGS.batch_size}).items()]
    started = _trains(processes, devices, ["--config=experiments/mnist_5k_vanilla.py", f"--workdir={workdir}", *fields])
    statuses = [process.wait() for process in started]
    if any(statuses):
        sys.exit(f"a training of {processes} x {devices} ended with {statuses}")
    return statistics.median(record["images_per_second"] for record in metrics_file.read(workdir)[1:])


def print_traffic(name: str, config: ConfigDict, description: Description, milliseconds: dict) -> None:
    """What a step of each phase sends, in a table."""
    method = make_method(config, description)
    head = " | ".join(f"{count} devices, GB/s" for count in traffic.DEVICES)
    print(f"\n| {name} | MB of gradients | ms on one device | {head} |")
    print("| --- |" + " ---: |" * (2 + len(traffic.DEVICES)))
    for active, duration in milliseconds.items():
        sent = traffic.gradient_bytes(method, active)
        needed = [traffic.bandwidth(sent, devices=n, seconds=duration / 1000) / 1e9 for n in traffic.DEVICES]
        rates = " | ".join(f"{rate:.1f}" for rate in needed)
        print(f"| {'+'.join(active)} | {sent / 1e6:.2f} | {duration:g} | {rates} |")


def main() -> None:
    if flags.FLAGS.trained:
        measured = {shape: images_per_second(*shape) for shape in SHAPES}
        print("\n| processes x devices | images/s | over 1 x 1 |\n| --- | ---: | ---: |")
        for (processes, devices), rate in measured.items():
            print(f"| {processes} x {devices} | {rate:.0f} | {rate / measured[1, 1]:.2f} |")
    digits = Description("digits", (28, 28, 1), 32, tuple(map(str, range(10))), 60000, 10000, "")
    print_traffic("digits", configs.default_config(), digits, DIGITS)
    photographs = Description("leaves", (112, 112, 3), 112, tuple(map(str, range(14))), 3471, 700, "")
    print_traffic("leaves", config_files.load(str(Path(__file__).with_name("leaves.py"))), photographs, PHOTOGRAPHS)


if __name__ == "__main__":
    command_line.define_path("output", "runs/processes", "Folder for the workdirs.")
    flags.DEFINE_integer("batch_size", 256, "Images per step.", lower_bound=2)
    flags.DEFINE_bool("trained", True, "Train, besides what is on paper.")
    command_line.run(main, required=[])
