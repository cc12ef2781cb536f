"""The loop of a training: from a config to a trained workdir, or on from where one was left."""

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from bginv_jax import config as configs
from bginv_jax import files
from bginv_jax.data import sources
from bginv_jax.data.dataset import Description
from bginv_jax.errors import DivergedError
from bginv_jax.jax_settings import own_settings
from bginv_jax.methods.schedule import Phase
from bginv_jax.training import agreement, checkpoints, distributed, progress, provenance, same_run, wiring
from bginv_jax.training import devices as hardware
from bginv_jax.training.state import TrainState
from bginv_jax.training.step import Health

_LOG = logging.getLogger(__name__)


def _stops(config: ConfigDict, phase: Phase, start: int) -> Iterator[int]:
    """Where the calls of a phase end: after its first step, which compiles, and where the host must."""
    yield start + 1
    for stop in range(start + 2, phase.stop + 1):
        if stop == phase.stop or not (stop % config.log_every and stop % config.checkpoint_every):
            yield stop


def _check_health(config: ConfigDict, start: int, health: Health) -> None:
    """Raises DivergedError, naming the step after `start`, the networks and the fields, if something is not finite."""
    health = jax.device_get(health)
    networks, metrics = ([name for name, finite in part.items() if not np.all(finite)] for part in health.finite)
    if not networks and not metrics:
        return
    broken = [f"the gradient of {name}" for name in networks] or [f"the metric {name}" for name in metrics]
    fields = checkpoints.fields_to_lower(config, networks or list(health.finite.gradients))
    raise DivergedError(
        f"step {start + int(health.taken)}: not finite: {', '.join(broken)}; lower {fields}. The newest checkpoint in "
        "the workdir, if there is one, is of an earlier step and whole"
    )


def _take_steps(
    run: wiring.Run, phase: Phase, train_state: TrainState
) -> Iterator[tuple[TrainState, dict[str, jax.Array], int]]:
    """Calls of one or more steps, from where `train_state` stands to the end of the phase.

    Yields the state, which is gone once the next is asked for, the mean metrics, and how many steps were taken.
    """
    feed = run.make_feed(phase, train_state.networks())
    take = run.make_step(phase, feed)
    done, last = int(train_state.step), None
    for goal in _stops(run.config, phase, done):
        while done < goal:
            stop = min(goal, feed.last(done))
            arrays = feed.arrays(train_state.key, done, stop)
            with distributed.noticing_losses():
                train_state, metrics, health = take(train_state, arrays, np.int32(stop - done))
                if last is not None:  # of the call before, which is over: looking at this one's would wait for it
                    _check_health(run.config, *last)
                last = done, health
                if stop == goal:  # whose metrics and state the host reads
                    _check_health(run.config, *last)
            yield train_state, metrics, stop - done
            done = stop


class _Painter:
    """Keeps what f_b, of the first seed, makes of the same noise at every checkpoint: the poster's figure 4."""

    def __init__(self, run: wiring.Run, workdir: Path):
        self._run, self._workdir = run, workdir
        self._paint = jax.jit(run.method.paint) if run.method.paint else None

    def show(self, phase: Phase, train_state: TrainState) -> None:
        if self._paint is None or not distributed.is_first() or not self._run.method.composes(phase.networks):
            return
        networks = self._run.of_each_seed(train_state.networks())[0]
        keys = jax.random.split(jax.random.key(0), progress.BACKGROUNDS_SHOWN)
        progress.write_backgrounds(self._workdir, int(train_state.step), np.asarray(self._paint(networks, keys)))


def _restore_or_init(manager: checkpoints.Manager, run: wiring.Run) -> tuple[TrainState, Description]:
    """The state to go on from, and the description of its data."""

    def template(meta):
        same_run.check_same_run(meta, run.config, run.description)
        return run.shapes()

    restored = checkpoints.restore(manager, template)
    agreement.check_same({"the newest checkpoint": restored and int(restored[0].step)})
    if restored is None:
        # All but the key, which is exact: of processors of another kind each would begin with other last bits.
        step, key, *networks = run.init()
        return TrainState(step, key, *agreement.from_first(networks)), run.description
    train_state, meta = restored
    # The weights that it started from may be gone since.
    weights = run.description.weights or Description.from_json(meta["dataset"]).weights
    description = dataclasses.replace(run.description, weights=weights)
    same_run.note_names(manager, int(train_state.step), meta, run.config, description)
    _LOG.info("continuing after step %d of %s", int(train_state.step), manager.directory)
    return train_state, description


@own_settings()
def train(config: ConfigDict, workdir: str | Path) -> TrainState:
    """Trains `config` to its last step, or continues to it, and returns the final state.

    Raises:
      InputError: for a wrong config, unreadable data, or a workdir of another run or that cannot be written, or where
        several processes (`distributed.join`) differ in any; names the field or file.
      DivergedError: where a loss or gradient is not finite; the checkpoints before stay.
      RuntimeError: after a fork, as `forks.refuse`.
    """
    configs.validate(config)
    written = {"files": ["metrics.jsonl"], "folders": ["checkpoints", "tensorboard", "backgrounds"]}
    checkpoints.refuse_inside(workdir, folders=written["folders"])
    workdir = files.check_folder(workdir, field="--workdir", **written)
    agreement.check_shared(workdir, field="--workdir")
    run = wiring.wire(config, sources.load(config.data))
    agreement.check_same(same_run.of_all_processes(config, run.description))
    origin = provenance.describe()
    with checkpoints.open_manager(workdir, kept=config.checkpoints_kept) as manager:
        train_state, description = _restore_or_init(manager, run)
        train_state = hardware.replicate(train_state, run.devices)
        done = int(train_state.step)
        _LOG.info(
            "%s on %s: %d images to train, %dx%dx%d; %d devices of %s",
            config.method,
            description.name,
            description.train_count,
            *description.input_shape,
            run.plan.devices,
            hardware.describe(),
        )
        painter = _Painter(run, workdir)
        open_report = progress.Progress if distributed.is_first() else progress.Silence
        with open_report(
            workdir,
            step=done,
            steps=config.steps,
            images_per_step=config.batch_size * max(1, len(config.seeds)),
            log_every=config.log_every,
        ) as report:
            for phase in run.phases:
                if done >= phase.stop:
                    continue
                if done == phase.start:
                    painter.show(phase, train_state)
                for latest, metrics, count in _take_steps(run, phase, train_state):
                    train_state, done = latest, done + count
                    report.record(done, phase, metrics, count)
                    if done % config.checkpoint_every == 0 or done == config.steps:
                        checkpoints.save(manager, train_state, config, description, origin)
                        painter.show(phase, train_state)
    return train_state
