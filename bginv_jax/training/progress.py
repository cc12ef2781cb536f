"""What a run says of itself: a bar on a terminal, lines in a log, metrics.jsonl and TensorBoard events."""

import contextlib
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import jax
import numpy as np
import tqdm

from bginv_jax import files
from bginv_jax.methods import schedule
from bginv_jax.training import collapse, metrics_file
from bginv_jax.training.event_file import EventFile

_LOG = logging.getLogger(__name__)


class Silence:
    """In the place of `Progress`, in a process that is not the first of several: what it says, and nothing written."""

    def __init__(self, workdir: Path, **_: Any):
        pass

    def __enter__(self) -> "Silence":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def tolerating(self) -> contextlib.nullcontext:
        return contextlib.nullcontext()

    def record(self, step: int, phase: schedule.Phase, metrics: dict[str, jax.Array], count: int) -> None:
        pass

    def unreported(self) -> None:
        return None

    def paused(self) -> contextlib.nullcontext:
        return contextlib.nullcontext()

    def validated(self, step: int) -> bool:
        return False

    def validate(self, step: int, phase: schedule.Phase, scores: Mapping[str, list[float]]) -> None:
        pass


class Progress:
    """Reports a run that continues after `step`, every `log_every` steps and at the end of each phase.

    A context manager. Metrics are means over the steps since the last report; of several seeds, metrics.jsonl has each
    and everything else the mean. A disk that is full, or gone, does not stop the training: it is said once, and what
    cannot be written is left out.

    Args:
      workdir: where metrics.jsonl and TensorBoard's events go.
      step: taken so far.
      steps: in all.
      images_per_step: of all seeds.
      log_every: steps.
      unreported: what the run that is continued had not reported yet: of its own `unreported`.
    """

    def __init__(
        self,
        workdir: Path,
        *,
        step: int,
        steps: int,
        images_per_step: int,
        log_every: int,
        unreported: Mapping[str, Any] | None = None,
    ):
        self._steps, self._images_per_step, self._log_every = steps, images_per_step, log_every
        self._lines = workdir / metrics_file.NAME
        kept = metrics_file.keep_until(workdir, step)
        self._validated = {record["step"] for record in kept if metrics_file.is_validation(record)}
        self._events = EventFile(workdir / "tensorboard", purge_step=step + 1)
        self._warned = False
        self._bar = tqdm.tqdm(
            initial=step, total=steps, unit="step", dynamic_ncols=True, disable=not sys.stderr.isatty()
        )
        self._phase: schedule.Phase | None = None
        self._metrics: list[Mapping[str, jax.Array | np.ndarray]] = []
        self._counts: list[int] = []
        if unreported:
            self._metrics.append({name: np.asarray(value) for name, value in unreported["means"].items()})
            self._counts.append(unreported["steps"])
        self._timed_from = (step, time.perf_counter())

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        with self.tolerating():
            self._events.close()

    @contextlib.contextmanager
    def tolerating(self) -> Iterator[None]:
        """Where a training goes on though the system cannot write; what else it writes for its user belongs there."""
        try:
            yield
        except OSError as error:
            if not self._warned:
                _LOG.warning(
                    "%s: %s; training goes on, and what cannot be written of its log is left out from here on",
                    error.filename,
                    error.strerror or error,
                )
            self._warned = True

    def record(self, step: int, phase: schedule.Phase, metrics: dict[str, jax.Array], count: int) -> None:
        """Takes the mean metrics of the `count` steps that were just dispatched; `step` counts the last."""
        self._metrics.append(metrics)
        self._counts.append(count)
        if phase != self._phase:  # its first call compiled, which says nothing of the speed
            jax.block_until_ready(metrics)
            self._phase = phase
            self._timed_from = (step, time.perf_counter())
            self._bar.set_description(f"phase {phase.name}", refresh=False)
        self._bar.update(count)
        if step % self._log_every == 0 or step == phase.stop:
            means = self._means()
            self._metrics, self._counts = [], []
            self._report(step, phase.name, {name: value.tolist() for name, value in means.items()})
            for i in range(np.size(means["loss"] if "loss" in means else next(iter(means.values())))):
                of_seed = {name: np.atleast_1d(value)[i] for name, value in means.items()}
                collapse.warn(step, of_seed, trained=step == phase.stop or "f_b" in phase.networks)

    def _means(self) -> dict[str, np.ndarray]:
        """Of the metrics over the steps since the last report, the loss first."""
        entries = jax.device_get(self._metrics)
        names = sorted(entries[0], key=lambda name: (name != "loss", name))
        return {name: np.average([entry[name] for entry in entries], axis=0, weights=self._counts) for name in names}

    def unreported(self) -> dict[str, Any] | None:
        """The steps since the last report and the means of their metrics, as JSON values; None without any.

        With it a run that is continued reports the same means, to rounding, as one that was never interrupted.
        """
        if not self._metrics:
            return None
        return {"steps": sum(self._counts), "means": {name: mean.tolist() for name, mean in self._means().items()}}

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Where time passes without steps, which says nothing of their speed."""
        began = time.perf_counter()
        yield
        step, since = self._timed_from
        self._timed_from = step, since + time.perf_counter() - began

    def validated(self, step: int) -> bool:
        """Whether `validate` has reported this step, if the run before this one ended there."""
        return step in self._validated

    def validate(self, step: int, phase: schedule.Phase, scores: Mapping[str, list[float]]) -> None:
        """Reports scores of the images that are held out, by name of each seed."""
        self._validated.add(step)
        shown = {name: values if len(values) > 1 else values[0] for name, values in scores.items()}
        self._write(step, {"phase": phase.name} | shown)
        means = {name: float(np.mean(values)) for name, values in scores.items()}
        _LOG.info("step %d/%d  %s", step, self._steps, "  ".join(f"{name} {mean:.4g}" for name, mean in means.items()))

    def _rate(self, step: int) -> float:
        """Images per second since the last report."""
        before, since = self._timed_from
        now = time.perf_counter()
        self._timed_from = (step, now)
        return (step - before) * self._images_per_step / (now - since)

    def _write(self, step: int, record: dict[str, Any]) -> None:
        """A line of metrics.jsonl, and its numbers for TensorBoard, of several seeds their mean."""
        with self.tolerating():
            files.append_json_line(self._lines, {"step": step} | record)
        for name, value in record.items():
            if not isinstance(value, str):
                self._events.add_scalar(name, float(np.mean(value)), step)
        with self.tolerating():
            self._events.flush()

    def _report(self, step: int, phase: str, metrics: dict[str, float | list[float]]) -> None:
        rate = self._rate(step)
        self._write(step, {"phase": phase, "images_per_second": round(rate, 1), **metrics})
        shown = {name: f"{float(np.mean(value)):.3f}" for name, value in metrics.items()}
        if self._bar.disable:
            steps = self._steps
            left = f"{(steps - step) * self._images_per_step / rate:.0f} s left" if rate else ""
            values = "  ".join(f"{name} {value}" for name, value in shown.items())
            _LOG.info("step %d/%d  phase %s  %s  %.0f images/s  %s", step, steps, phase, values, rate, left)
        else:
            self._bar.set_postfix({**shown, "images/s": f"{rate:.0f}"})


Report: TypeAlias = Progress | Silence
