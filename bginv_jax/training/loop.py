"""Trains one config: python -m bginv_jax.train --config=experiments/NAME.py --workdir=DIR [--config.FIELD=VALUE ...]

Started again on the same workdir it continues where the newest checkpoint ends.
"""

import dataclasses
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from bginv_jax import config as configs
from bginv_jax import files
from bginv_jax.backgrounds import photographs as pictures
from bginv_jax.data import sources
from bginv_jax.data.dataset import Dataset
from bginv_jax.errors import InputError
from bginv_jax.images.pixels import backdrop, pad_to
from bginv_jax.methods import registry, schedule
from bginv_jax.methods.contract import Method
from bginv_jax.training import checkpoints, progress, provenance, state, step

_BACKDROP_IMAGES = 2000  # enough to tell a backdrop from what stands before it
_LOG = logging.getLogger("bginv_jax.train")  # run with -m, __name__ is __main__


@dataclasses.dataclass(frozen=True)
class _Run:
    """What stays the same from the first step to the last."""

    config: ConfigDict
    data: Dataset
    described: dict
    method: Method
    optimizers: state.Optimizers
    phases: tuple[schedule.Phase, ...]
    plan: step.BatchPlan
    devices: list[jax.Device]
    pictures: np.ndarray | None
    paint: Callable | None


def _prepare(config: ConfigDict) -> _Run:
    """Checks the config, reads the data and plans the run; nothing has compiled when it complains."""
    configs.validate(config)
    source = sources.load(config.data)
    if config.batch_size > len(source.train.images):
        raise InputError(f"config.batch_size is {config.batch_size}; allowed: up to {len(source.train.images)} images")
    described = source.describe()
    method = registry.make_method(config, described)
    phases = schedule.make_phases(config.schedule, config.steps)
    composes = any("f_b" in phase.networks for phase in phases)
    behind = config.background
    plan = step.plan_batch(config.batch_size, 1.0, source.size)
    if composes:
        plan = step.plan_batch(config.batch_size, behind.plain_share, source.size, behind.pictured_share)
    shown = pictures.gather(behind, size=source.size, channels=source.shape[-1]) if plan.pictured else None
    return _Run(
        config,
        source,
        described,
        method,
        state.make_optimizers(config),
        phases,
        plan,
        jax.local_devices()[: plan.devices],
        shown,
        jax.jit(method.paint) if method.paint else None,
    )


def _training_data(run: _Run, phase: schedule.Phase, params: dict) -> step.TrainingData:
    """The training set on the devices, with the masks that composites of this phase take, made once."""
    padded = pad_to(run.data.train.images, run.data.size)
    masks = None
    if "f_b" in phase.networks and "f_m" not in phase.networks:
        method = run.method
        predict = step.make_forward(lambda p, x: method.binarize(method.predict_mask(p, x)), run.devices)
        own = state.split_seeds(params, len(run.config.seeds)) or [params]
        masks = np.stack([predict(one, padded) for one in own])
        for seed_masks in masks:
            mean, contrast = float(seed_masks.mean()), float(np.ptp(seed_masks, axis=(1, 2, 3)).mean())
            _LOG.info("masks of %d images: mean %.3f, contrast %.3f", len(seed_masks), mean, contrast)
            progress.warn_of_collapse(phase.start, {"mask_area": mean, "mask_contrast": contrast})
        if run.config.mask.binarize != "none":
            masks = (255 * masks).astype(np.uint8)
        masks = masks if run.config.seeds else masks[0]
    fill = None
    if "f_m" in phase.networks and run.config.mask.fill != "black":
        fill = backdrop(padded[:_BACKDROP_IMAGES])
    arrays = step.TrainingData(padded, masks, run.data.train.targets, run.pictures, fill)
    return step.replicate(arrays, run.devices)


def _stops(run: _Run, phase: schedule.Phase, start: int) -> Iterator[int]:
    """Where the calls of a phase end: after its first step, which compiles, and where the host or an epoch must."""
    config = run.config
    epoch = len(run.data.train.images) // run.plan.batch_size
    yield start + 1
    for stop in range(start + 2, phase.stop + 1):
        if stop == phase.stop or not (stop % epoch and stop % config.log_every and stop % config.checkpoint_every):
            yield stop


def _take_steps(
    run: _Run, phase: schedule.Phase, train_state: state.TrainState
) -> Iterator[tuple[state.TrainState, dict[str, jax.Array], int]]:
    """Calls of one or more steps, from where `train_state` stands to the end of the phase.

    Yields the state, which is gone once the next is asked for, the mean metrics, and how many steps were taken.
    """
    training = _training_data(run, phase, train_state.params)
    train_step = step.make_train_step(
        run.devices,
        method=run.method,
        optimizers=run.optimizers,
        active=phase.networks,
        plan=run.plan,
        augmentation=run.config.augment.to_dict(),
        align_masks=run.config.mask.aligned,
        several_seeds=bool(run.config.seeds),
    )
    count = len(training.images)
    draw_order = step.make_draw_order(count, several_seeds=bool(run.config.seeds))
    epoch_steps = count // run.plan.batch_size
    order, done = None, int(train_state.step)
    for stop in _stops(run, phase, done):
        if order is None or done % epoch_steps == 0:
            order = draw_order(train_state.key, done // epoch_steps)
        train_state, metrics = train_step(train_state, training, order, np.int32(stop - done))
        yield train_state, metrics, stop - done
        done = stop


def _show_backgrounds(run: _Run, phase: schedule.Phase, train_state: state.TrainState, workdir: Path) -> None:
    """Keeps what f_b, of the first seed, makes of the same noise at every checkpoint: the poster's figure 4."""
    if run.paint is None or "f_b" not in phase.networks:
        return
    params = state.split_seeds(train_state.params, 1)[0] if run.config.seeds else train_state.params
    keys = jax.random.split(jax.random.key(0), progress.BACKGROUNDS_SHOWN)
    progress.write_backgrounds(workdir, int(train_state.step), np.asarray(run.paint(params, keys)))


def _restore_or_init(manager: checkpoints.Manager, run: _Run) -> state.TrainState:
    restored = checkpoints.restore(manager, state.saved_template)
    if restored is None:
        return state.init_seeds(run.config, run.method)
    train_state, meta = restored
    checkpoints.check_same_run(meta, run.config, run.described)
    _LOG.info("continuing after step %d of %s", int(train_state.step), manager.directory)
    return train_state


def train(config: ConfigDict, workdir: str | Path) -> state.TrainState:
    """Trains `config` to its last step, or continues to it, and returns the final state.

    Raises:
      ValueError: for a wrong config, unreadable data, or a workdir of another run or that cannot be written; names the
        field or file.
    """
    written = {"files": ["metrics.jsonl"], "folders": ["checkpoints", "tensorboard", "backgrounds"]}
    workdir = files.check_folder(workdir, field="--workdir", **written)
    run = _prepare(config)
    origin = provenance.describe()
    with checkpoints.open_manager(workdir, kept=config.checkpoints_kept) as manager:
        train_state = step.replicate(_restore_or_init(manager, run), run.devices)
        done = int(train_state.step)
        _LOG.info(
            "%s on %s: %d images to train, %dx%dx%d; %d %s devices",
            config.method,
            run.data.name,
            len(run.data.train.images),
            run.data.size,
            run.data.size,
            run.data.shape[-1],
            run.plan.devices,
            jax.default_backend(),
        )
        with progress.Progress(workdir, config, step=done) as report:
            for phase in run.phases:
                if done >= phase.stop:
                    continue
                if done == phase.start:
                    _show_backgrounds(run, phase, train_state, workdir)
                for latest, metrics, count in _take_steps(run, phase, train_state):
                    train_state, done = latest, done + count
                    report.record(done, phase, metrics, count)
                    if done % config.checkpoint_every == 0 or done == config.steps:
                        checkpoints.save(manager, train_state, config, run.described, origin)
                        _show_backgrounds(run, phase, train_state, workdir)
    return train_state
