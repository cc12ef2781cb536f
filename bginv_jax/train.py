"""Trains one config: python -m bginv_jax.train --config=experiments/NAME.py --workdir=DIR [--config.FIELD=VALUE ...]

Started again on the same workdir it continues where the newest checkpoint ends.
"""

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict, config_flags

from bginv_jax import checkpoints, command_line, data, images, methods, predictors, progress, schedule, state, step
from bginv_jax import config as configs

_LOG = logging.getLogger("bginv_jax.train")  # run with -m, __name__ is __main__


@dataclasses.dataclass(frozen=True)
class _Run:
    """What stays the same from the first step to the last."""

    config: ConfigDict
    data: data.Dataset
    described: dict
    method: methods.Method
    optimizers: state.Optimizers
    phases: tuple[schedule.Phase, ...]
    plan: step.BatchPlan
    devices: list[jax.Device]


def _prepare(config: ConfigDict) -> _Run:
    """Checks the config, reads the data and plans the run; nothing has compiled when it complains."""
    configs.validate(config)
    source = data.load(config.data)
    if config.batch_size > len(source.train.images):
        raise ValueError(f"config.batch_size is {config.batch_size}; allowed: up to {len(source.train.images)} images")
    described = source.describe()
    phases = schedule.make_phases(config.schedule, config.steps)
    composes = any("f_b" in phase.networks for phase in phases)
    plan = step.plan_batch(config.batch_size, config.background.plain_share if composes else 1.0)
    return _Run(
        config, source, described, methods.make_method(config, described), state.make_optimizers(config), phases, plan,
        jax.local_devices()[: plan.devices],
    )  # fmt: skip


def _training_data(run: _Run, phase: schedule.Phase, params: dict) -> step.TrainingData:
    """The training set on the devices, with the masks that composites of this phase take, made once."""
    padded = images.pad_to(run.data.train.images, run.data.size)
    masks = None
    if "f_b" in phase.networks and "f_m" not in phase.networks:
        method = run.method
        masks = step.make_forward(lambda p, x: method.binarize(method.predict_mask(p, x)), run.devices)(params, padded)
        mean, contrast = float(masks.mean()), float(np.ptp(masks, axis=(1, 2, 3)).mean())
        _LOG.info("masks of %d images: mean %.3f, contrast %.3f", len(masks), mean, contrast)
        progress.warn_of_collapse(phase.start, {"mask_area": mean, "mask_contrast": contrast})
        if run.config.mask.binarize != "none":
            masks = (255 * masks).astype(np.uint8)
    return step.replicate(step.TrainingData(padded, masks, run.data.train.targets), run.devices)


def _take_steps(
    run: _Run, phase: schedule.Phase, train_state: state.TrainState
) -> Iterator[tuple[state.TrainState, dict[str, jax.Array]]]:
    """The states and metrics of a phase, from where `train_state` stands; each state is gone once the next is asked."""
    training = _training_data(run, phase, train_state.params)
    train_step = step.make_train_step(
        run.devices, method=run.method, optimizers=run.optimizers, active=phase.networks, plan=run.plan,
        augmentation=run.config.augment.to_dict(),
    )  # fmt: skip
    draw_order = jax.jit(step.draw_order, static_argnames="count")
    count = len(training.images)
    epoch_steps = count // run.plan.batch_size
    order = None
    for done in range(int(train_state.step), phase.stop):
        if order is None or done % epoch_steps == 0:
            order = draw_order(train_state.key, done // epoch_steps, count=count)
        train_state, metrics = train_step(train_state, training, order)
        yield train_state, metrics


def _restore_or_init(manager: checkpoints.Manager, run: _Run) -> state.TrainState:
    restored = checkpoints.restore(manager, predictors.saved_template)
    if restored is None:
        return state.init_state(run.config.seed, run.method.init, run.optimizers)
    train_state, meta = restored
    checkpoints.check_same_run(meta, run.config, run.described)
    _LOG.info("continuing after step %d of %s", int(train_state.step), manager.directory)
    return train_state


def train(config: ConfigDict, workdir: str | Path) -> state.TrainState:
    """Trains `config` to its last step, or continues to it, and returns the final state.

    Raises:
      ValueError: for a wrong config, unreadable data, or a workdir of another run; names the field or file.
    """
    run = _prepare(config)
    workdir = Path(workdir).expanduser()
    with checkpoints.open_manager(workdir, kept=config.checkpoints_kept) as manager:
        train_state = step.replicate(_restore_or_init(manager, run), run.devices)
        done = int(train_state.step)
        _LOG.info(
            "%s on %s: %d images to train, %dx%dx%d; %d %s devices", config.method, run.data.name,
            len(run.data.train.images), run.data.size, run.data.size, run.data.shape[-1], run.plan.devices,
            jax.default_backend(),
        )  # fmt: skip
        with progress.Progress(workdir, config, step=done) as report:
            for phase in run.phases:
                if done >= phase.stop:
                    continue
                for latest, metrics in _take_steps(run, phase, train_state):
                    train_state, done = latest, done + 1
                    report.record(done, phase, metrics)
                    if done % config.checkpoint_every == 0 or done == config.steps:
                        checkpoints.save(manager, train_state, config, run.described)
    return train_state


def main() -> None:
    try:
        config = flags.FLAGS.config
        _ = config.method  # a missing or broken file is only noticed here
    except (AttributeError, OSError, SyntaxError) as error:
        raise ValueError(f"--config cannot be read: {error}") from error
    train(config, flags.FLAGS.workdir)
    print(f"trained: {flags.FLAGS.workdir}")


if __name__ == "__main__":
    __doc__ += "\n" + configs.describe()
    config_flags.DEFINE_config_file("config", None, "The experiment: a Python file with get_config().")
    flags.DEFINE_string("workdir", None, "Folder for checkpoints, metrics.jsonl and TensorBoard events.")
    command_line.run(main, required=["config", "workdir"])
