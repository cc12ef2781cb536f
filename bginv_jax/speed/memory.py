"""What a few steps of one side take of memory at their peak, in a process of their own."""

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from ml_collections import ConfigDict

from bginv_jax import config as configs
from bginv_jax.data import sources
from bginv_jax.jax_settings import own_settings
from bginv_jax.speed import peer, timing
from bginv_jax.training import devices as hardware

SIDES = ("jax", *peer.VARIANTS)
_STEPS = 3
UNKNOWN: dict[str, float | None] = dict.fromkeys(("peak_mb", "imports_mb", "first_start_mb"))


def _resident_mb() -> float:
    """The process's peak resident set so far, MB."""
    try:
        # Linux counts the parent's memory into a child's ru_maxrss, but not into this.
        status = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
        peak = re.search(r"VmHWM:\s*(\d+) kB", status)
        assert peak, "Linux has this line for every process"
        return int(peak[1]) * 1024 / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on macOS


@own_settings()
def memory_of_this_process(config: ConfigDict, active: tuple[str, ...], side: str) -> dict[str, float | None]:
    """Takes a few steps of one side and says what memory this took at its peak: the host's, or else the device's.

    Returns:
      "peak_mb", None where the device does not say, and "imports_mb", what imports alone take of it.
    """
    dataset = sources.load(config.data)
    if side != "jax":
        import torch
    device = hardware.local()[0]
    on_host, imports, device_bytes = hardware.on_cpu(), _resident_mb(), None
    if side == "jax":
        timing.make_runner(config, dataset, active).run(_STEPS)
        device_bytes = (device.memory_stats() or {}).get("peak_bytes_in_use")
    else:
        with peer.started(config, dataset, active, side) as run:
            run(_STEPS)
            device_bytes = None if on_host else torch.cuda.max_memory_allocated()
    if on_host:
        return {"peak_mb": _resident_mb(), "imports_mb": imports}
    return {"peak_mb": device_bytes and device_bytes / 1e6, "imports_mb": 0.0}


def measure(config: ConfigDict, phase: str, side: str) -> tuple[dict[str, float | None], list[str]]:
    """Peak memory of a fresh process that takes a few steps of one side, MB, and what imports alone take of it.

    That of a second start, which finds the programs compiled; "first_start_mb" is that of the one that compiles.

    Returns:
      The figures, None where they are unknown, and why they are.
    """
    fields = [f"--config.{name}={value}" for name, value in configs.flatten(config).items()]
    command = [sys.executable, "-m", "bginv_jax.benchmark", f"--measure_memory_of={side}", f"--phases={phase}"]
    command += [f"--batch_size={config.batch_size}", *fields]
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "JAX_COMPILATION_CACHE_DIR": folder,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "TORCHINDUCTOR_CACHE_DIR": folder,
        }
        starts = []
        for _ in range(1 if side == "eager" else 2):
            done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment)
            if done.returncode:
                last = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
                return UNKNOWN, [f"memory is unknown: {last}"]
            starts.append(json.loads(done.stdout.splitlines()[-1]))
    return starts[-1] | {"first_start_mb": starts[0]["peak_mb"]}, []
