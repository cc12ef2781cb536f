"""The loop of a training: from a config to a trained workdir, or on from where one was left."""

import dataclasses
import logging
import time
from collections.abc import Callable, Iterator
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
from bginv_jax.training import (
    agreement,
    background_strips,
    checkpoints,
    distributed,
    metrics_file,
    ownership,
    progress,
    provenance,
    same_run,
    wiring,
)
from bginv_jax.training import devices as hardware
from bginv_jax.training.state import TrainState
from bginv_jax.training.step import Health
from bginv_jax.training.stopping import Stop, newest_checkpoint
from bginv_jax.training.validation import Validator

_LOG = logging.getLogger(__name__)


_LONGEST = 5.0  # seconds of a call; two may be under way when a signal comes, and schedulers kill 30 seconds after it


def _stops(config: ConfigDict, phase: Phase, done: int) -> Iterator[int]:
    """Where the calls of a phase after `done` end: the next after a step, which is timed, then where the host must."""
    every = [steps for steps in (config.log_every, config.checkpoint_every, config.evaluate_every) if steps]
    for stop in range(done + 1, phase.stop + 1):
        if stop in (done + 1, phase.stop) or not all(stop % steps for steps in every):
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
    run: wiring.Run, phase: Phase, train_state: TrainState, stop: Stop, save: Callable[[], str] | None
) -> Iterator[tuple[TrainState, dict[str, jax.Array], int]]:
    """Calls of one or more steps, from where `train_state` stands to the end of the phase, or to where `stop` ends it.

    Yields the state, which is gone once the next is asked for, the mean metrics, and how many steps were taken. Where
    steps are slow a call has fewer of them: nothing else changes by that but the rounding of the means.

    Args:
      run, phase: what is trained.
      train_state: at its beginning, or where a run before this one ended.
      stop: asked after each call.
      save: what a signal needs while the phase compiles, as `Stop.unheard`.
    """
    done = int(train_state.step)
    with stop.unheard(save):
        feed = run.make_feed(phase, train_state.networks())
        take = run.make_step(phase, feed)
        arrays = feed.arrays(train_state.key, done, done + 1)
        with distributed.noticing_losses():
            train_state, metrics, health = take(train_state, arrays, np.int32(1))
            _check_health(run.config, done, health)
    save = None  # and the copy of the state with it
    stop.after_call()
    done, longest, last = done + 1, 0, None
    yield train_state, metrics, 1
    for goal in _stops(run.config, phase, done):
        while done < goal and stop.ending is None:
            until = min(goal, feed.last(done), done + max(1, longest))
            arrays = feed.arrays(train_state.key, done, until)
            began = time.perf_counter()
            with distributed.noticing_losses():
                train_state, metrics, health = take(train_state, arrays, np.int32(until - done))
                if last is not None:  # of the call before, which is over: looking at this one's would wait for it
                    _check_health(run.config, *last)
                last, ending = (done, health), stop.after_call()
                if until == goal or ending:  # whose metrics and state the host reads
                    _check_health(run.config, *last)
            if not longest:  # for all processes alike
                longest = int(_LONGEST / agreement.gather(np.float32(time.perf_counter() - began)).max()) or 1
            yield train_state, metrics, until - done
            done = until


class _Painter:
    """Keeps what f_b, of the first seed, makes of the same noise at every checkpoint: the poster's figure 4."""

    def __init__(self, run: wiring.Run, workdir: Path):
        self._run, self._workdir = run, workdir
        self._paint = jax.jit(run.method.paint) if run.method.paint else None

    def show(self, phase: Phase, train_state: TrainState) -> None:
        if self._paint is None or not distributed.is_first() or not self._run.method.composes(phase.networks):
            return
        networks = self._run.of_each_seed(train_state.networks())[0]
        keys = jax.random.split(jax.random.key(0), background_strips.SHOWN)
        background_strips.write(self._workdir, int(train_state.step), np.asarray(self._paint(networks, keys)))


def _restore_or_init(manager: checkpoints.Manager, run: wiring.Run) -> tuple[TrainState, Description, dict | None]:
    """The state to go on from, the description of its data, and what the run before had not reported yet."""

    def template(meta):
        same_run.check_same_run(meta, run.config, run.description)
        return run.shapes()

    restored = checkpoints.restore(manager, template)
    agreement.check_same({"the newest checkpoint": restored and int(restored[0].step)})
    if restored is None:
        # All but the key, which is exact: of processors of another kind each would begin with other last bits.
        first = run.init()
        params, opt_state, statistics = agreement.from_first((first.params, first.opt_state, first.statistics))
        first = first._replace(params=params, opt_state=opt_state, statistics=statistics)
        return first, run.description, None
    train_state, meta = restored
    # The weights that it started from may be gone since.
    weights = run.description.weights or same_run.noted(meta).description.weights
    description = dataclasses.replace(run.description, weights=weights)
    same_run.note_names(manager, int(train_state.step), meta, run.config, description)
    _LOG.info("continuing after step %d of %s", int(train_state.step), manager.directory)
    return train_state, description, meta.get("unreported")


class _Saver:
    """Saves a run's states; `saved` is the step of the newest, 0 without any."""

    def __init__(
        self,
        run: wiring.Run,
        manager: checkpoints.Manager,
        description: Description,
        owner: ownership.Owner,
        saved: int,
    ):
        self._config, self._manager, self._description, self._owner = run.config, manager, description, owner
        self._origin = provenance.describe()
        self.saved = saved

    def save(self, train_state: TrainState, unreported: dict | None = None, measure: float | None = None) -> None:
        self._owner.check()
        about = self._config, self._description, self._origin
        checkpoints.save(self._manager, train_state, *about, unreported=unreported, measure=measure)
        self.saved = int(train_state.step)

    def for_a_signal(self, train_state: TrainState) -> Callable[[], str] | None:
        """What saves this state, which may be gone by then, as `Stop.unheard` takes it; None where it is saved."""
        if int(train_state.step) == self.saved:
            return None
        kept = checkpoints.copy_state(train_state)

        @own_settings()  # which are of one thread
        def save() -> str:
            self.save(kept)
            self._manager.wait_until_finished()
            return newest_checkpoint(Path(self._manager.directory))

        return save


def _take_phases(
    run: wiring.Run, train_state: TrainState, report: progress.Report, painter: _Painter, saver: _Saver, stop: Stop
) -> TrainState:
    """Trains to the last step, or to where `stop` ends it, and saves what has been reached."""
    config, done = run.config, int(train_state.step)
    with stop.unheard():  # the backgrounds that it draws compile
        validator = Validator(run, report, stop)
    for phase in run.phases:
        if phase.start < done <= phase.stop:  # a signal may have ended the run before this one ahead of its scores
            validator.measure(phase, train_state)
        if done >= phase.stop or stop.ending:
            continue
        if done == phase.start:
            with report.tolerating():
                painter.show(phase, train_state)
        steps = _take_steps(run, phase, train_state, stop, saver.for_a_signal(train_state) if stop.listens else None)
        for latest, metrics, count in steps:
            train_state, done = latest, done + count
            report.record(done, phase, metrics, count)
            measure = validator.measure(phase, train_state)
            due = done % config.checkpoint_every == 0 or done == config.steps
            if due:  # before the checkpoint: a run that continues from it paints no more of this step
                with report.tolerating():
                    painter.show(phase, train_state)
            if due or stop.ending:
                saver.save(train_state, report.unreported(), measure)
    return train_state


@own_settings()
def train(config: ConfigDict, workdir: str | Path, *, signals: bool = False) -> TrainState:
    """Trains `config` to its last step, or continues to it, and returns the final state.

    Args:
      config: of the run.
      workdir: made where it is missing.
      signals: SIGINT, SIGTERM and SIGHUP end it after a checkpoint: for commands, whose handlers it takes meanwhile,
        and which a second signal, or one while it compiles, ends at once.

    Raises:
      InputError: for a wrong config, unreadable data, a workdir of another run, where another training writes, or that
        cannot be written, or where several processes (`distributed.join`) differ in any; names the field or file.
      DivergedError: where a loss or gradient is not finite; the checkpoints before stay.
      OSError: where a checkpoint cannot be written; the checkpoints before stay.
      StoppedError: where a signal ended it.
      RuntimeError: after a fork, as `forks.refuse`.
    """
    configs.validate(config)
    written = {"files": [metrics_file.NAME, ownership.OWNER], "folders": ["checkpoints", "tensorboard", "backgrounds"]}
    checked = files.check_folder(workdir, field="--workdir", **written)
    ownership.refuse_inside(workdir, folders=written["folders"])
    workdir = checked
    agreement.check_shared(workdir, field="--workdir")
    with Stop(workdir / "checkpoints", listens=signals) as stop, ownership.own(workdir) as owner:
        return _train(config, workdir, owner, stop)


def _train(config: ConfigDict, workdir: Path, owner: ownership.Owner, stop: Stop) -> TrainState:
    run = wiring.wire(config, sources.load(config.data))
    agreement.check_same(same_run.of_all_processes(config, run.description))
    kept = {"kept": config.checkpoints_kept, "keep_every": config.checkpoint_keep_every}
    with stop.gently(), checkpoints.open_manager(workdir, **kept) as manager:
        with stop.unheard():
            train_state, description, unreported = _restore_or_init(manager, run)
            train_state = hardware.replicate(train_state, run.devices)
        done = int(train_state.step)
        saver = _Saver(run, manager, description, owner, done)
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
            unreported=unreported,
        ) as report:
            train_state = _take_phases(run, train_state, report, painter, saver, stop)
    stop.end(int(train_state.step), config.steps)
    return train_state
