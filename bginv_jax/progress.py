"""What a run says of itself: a bar on a terminal, lines in a log, metrics.jsonl and TensorBoard events."""

import json
import logging
import sys
import time
from pathlib import Path

import tensorboardX
import tqdm

_LOG = logging.getLogger(__name__)

_FLAT = 0.05  # a mask whose largest and smallest value differ by less, on average, shows no object
_EMPTY, _FULL = 0.005, 0.95  # share of the image


def mask_collapse(metrics: dict[str, float]) -> str | None:
    """Says how the mask of f_m has collapsed, or None; needs the metrics mask_area and mask_contrast.

    A collapsed mask is (almost) 0 or 1 everywhere, or the same everywhere: the sigmoid is saturated, gets no gradient,
    and seldom recovers.
    """
    if "mask_area" not in metrics:
        return None
    area, contrast = metrics["mask_area"], metrics["mask_contrast"]
    if area < _EMPTY:
        return f"the mask is 0 almost everywhere (mean {area:.4f})"
    if area > _FULL:
        return f"the mask is 1 almost everywhere (mean {area:.4f})"
    if contrast < _FLAT:
        return f"the mask is the same everywhere (mean {area:.4f}, contrast {contrast:.4f})"
    return None


def _keep_until(path: Path, step: int) -> None:
    """Drops the lines of metrics.jsonl that a resumed run will write again."""
    if path.exists():
        kept = []
        for line in path.read_text().splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
            except ValueError:
                break  # a killed process left half a line
        path.write_text("".join(kept))


class Progress:
    """Reports a run of `steps` steps that continues after `step`; use as a context manager."""

    def __init__(self, workdir: Path, *, step: int, steps: int, batch_size: int):
        self._batch_size = batch_size
        metrics_path = workdir / "metrics.jsonl"
        _keep_until(metrics_path, step)
        self._lines = metrics_path.open("a")
        self._events = tensorboardX.SummaryWriter(str(workdir / "tensorboard"), purge_step=step + 1)
        self._bar = tqdm.tqdm(
            initial=step, total=steps, unit="step", dynamic_ncols=True, disable=not sys.stderr.isatty()
        )
        self._steps = steps
        self._last = (step, time.perf_counter())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._lines.close()
        self._events.close()
        self._bar.close()

    def restart_clock(self, step: int) -> None:
        """Leaves what was done since the last report, such as compiling, out of the next rate."""
        self._last = (step, time.perf_counter())

    def advance(self, phase: str) -> None:
        """One step was dispatched."""
        self._bar.set_description(f"phase {phase}", refresh=False)
        self._bar.update()

    def report(self, step: int, phase: str, metrics: dict[str, float]) -> None:
        """Writes one interval's mean metrics everywhere."""
        before, since = self._last
        now = time.perf_counter()
        rate = (step - before) * self._batch_size / max(now - since, 1e-9) if step > before else 0.0
        self._last = (step, now)
        record = {"step": step, "phase": phase, "images_per_second": round(rate, 1), **metrics}
        self._lines.write(json.dumps(record) + "\n")
        self._lines.flush()
        for name, value in metrics.items():
            self._events.add_scalar(name, value, step)
        self._events.add_scalar("images_per_second", rate, step)
        self._events.flush()
        shown = {name: f"{value:.3f}" for name, value in metrics.items()}
        if self._bar.disable:
            left = (self._steps - step) * self._batch_size / rate if rate else 0.0
            values = "  ".join(f"{name} {value}" for name, value in shown.items())
            _LOG.info(
                "step %d/%d  phase %s  %s  %.0f images/s  %.0f s left", step, self._steps, phase, values, rate, left
            )
        else:
            self._bar.set_postfix({**shown, "images/s": f"{rate:.0f}"})
        collapse = mask_collapse(metrics)
        if collapse:
            _LOG.warning("step %d: mask collapsed: %s", step, collapse)
