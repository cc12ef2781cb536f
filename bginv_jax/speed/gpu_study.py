"""The study's parts, each in a process of its own, one after the other within a limit of time."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bginv_jax import files
from bginv_jax.data import sources
from bginv_jax.jax_settings import own_settings
from bginv_jax.speed.study import PARTS, Study
from bginv_jax.training import provenance

LINES = "gpu_study.jsonl"


@own_settings()
def measure_part(name: str, study: Study, lines: Path) -> None:
    """Measures one part in this process, and appends its records to `lines` as they come."""
    start = time.perf_counter()
    dataset = sources.load(study.config.data)
    origin = {**provenance.describe(), "xla_flags": os.environ.get("XLA_FLAGS", "")}
    files.append_json_line(lines, {"part": name, "origin": origin, "seconds": time.perf_counter() - start})
    for record in PARTS[name].measure(study, dataset):
        files.append_json_line(lines, {"part": name, **record, "seconds": time.perf_counter() - start})


def run_parts(names: list[str], output: Path, options: list[str], *, limit: float) -> bool:
    """Runs parts, each in a process of its own with `options`, for `limit` seconds together; says whether all did."""
    output.mkdir(parents=True, exist_ok=True)
    lines, end, complete = output / LINES, time.monotonic() + limit, True
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            part, left = PARTS[name], end - time.monotonic()
            environment = {
                **os.environ,
                "JAX_COMPILATION_CACHE_DIR": folder,  # the parts share the joint step's program
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
                "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
                "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {part.xla_flags}".strip(),
            }
            command = [sys.executable, "-m", "bginv_jax.gpu_study", f"--output={output}", f"--part={name}"]
            failure = None
            with (output / f"{name}.log").open("w", encoding="utf-8") as log:
                try:
                    subprocess.run(
                        [*command, *options],
                        check=True,
                        stdout=log,
                        stderr=log,
                        env=environment,
                        timeout=max(0.1, min(part.share * limit, left)),
                    )
                except subprocess.TimeoutExpired as error:
                    failure = f"stopped after {error.timeout:.0f} s"
                except subprocess.CalledProcessError as error:
                    said = (output / f"{name}.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
                    failure = f"exit status {error.returncode}: {said[-1] if said else ''}"
            if failure:
                complete = False
                files.append_json_line(lines, {"part": name, "failed": failure})
            print(f"{name}: {failure or 'done'}", flush=True)
    return complete
