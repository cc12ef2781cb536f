"""Trains one config: python -m bginv_jax.train --config=experiments/NAME.py --workdir=DIR [--config.FIELD=VALUE ...]

Started again on the same workdir it continues where the newest checkpoint ends.
"""

import logging
from pathlib import Path

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict, config_flags

from bginv_jax import checkpoints, command_line, data, images, methods, predictors, progress, schedule, state, step
from bginv_jax import config as configs

_LOG = logging.getLogger("bginv_jax.train")  # run with -m, __name__ is __main__


def _training_data(method, train_state, split, size, phase, devices) -> step.TrainingData:
    """The training set on the devices, with the masks that composites of this phase take, made once."""
    padded = images.pad_to(split.images, size)
    masks = None
    if "f_b" in phase.networks and "f_m" not in phase.networks:
        forward = step.make_forward(lambda p, x: method.binarize(method.predict_mask(p, x)), devices)
        masks = forward(train_state.params, padded)
        _LOG.info("masks of %d images: mean %.3f", len(masks), masks.mean())
        if ((masks == 0) | (masks == 1)).all():
            masks = (255 * masks).astype(np.uint8)
    return step.replicate(step.TrainingData(padded, masks, split.targets), devices)


def _restore_or_init(manager, config: ConfigDict, method, optimizers, dataset: dict) -> state.TrainState:
    restored = checkpoints.restore(manager, predictors.saved_template)
    if restored is None:
        return state.init_state(config.seed, method.init, optimizers)
    train_state, meta = restored
    checkpoints.check_same_run(meta, config, dataset)
    _LOG.info("continuing after step %d of %s", int(train_state.step), manager.directory)
    return train_state


def train(config: ConfigDict, workdir: str | Path) -> state.TrainState:
    """Trains `config` to its last step, or continues to it, and returns the final state.

    Raises:
      ValueError: for a wrong config, unreadable data, or a workdir of another run; names the field or file.
    """
    configs.validate(config)
    workdir = Path(workdir).expanduser()
    source = data.load(config.data)
    if config.batch_size > len(source.train.images):
        raise ValueError(f"config.batch_size is {config.batch_size}; allowed: up to {len(source.train.images)} images")
    dataset = source.describe()
    method = methods.make_method(config, dataset)
    optimizers = state.make_optimizers(config)
    phases = schedule.make_phases(config.schedule, config.steps)
    composes = any("f_b" in phase.networks for phase in phases)
    plan = step.plan_batch(config.batch_size, config.background.plain_share if composes else 1.0)
    devices = jax.local_devices()[: plan.devices]
    _LOG.info(
        "%s on %s: %d images to train, %s; %d of %d %s devices", config.method, dataset["name"], dataset["train_count"],
        f"{dataset['size']}x{dataset['size']}x{dataset['shape'][-1]}", plan.devices, jax.local_device_count(),
        jax.default_backend(),
    )  # fmt: skip
    draw_order = jax.jit(step.draw_order, static_argnames="count")
    epoch_steps = dataset["train_count"] // config.batch_size
    with checkpoints.open_manager(workdir, kept=config.checkpoints_kept) as manager:
        train_state = step.replicate(_restore_or_init(manager, config, method, optimizers, dataset), devices)
        done = int(train_state.step)
        with progress.Progress(workdir, step=done, steps=config.steps, batch_size=config.batch_size) as report:
            for phase in phases:
                if done >= phase.stop:
                    continue
                training = _training_data(method, train_state, source.train, dataset["size"], phase, devices)
                train_step = step.make_train_step(
                    devices, method=method, optimizers=optimizers, active=phase.networks, plan=plan,
                    augmentation=config.augment.to_dict(),
                )  # fmt: skip
                order, metrics, compiled = None, [], False
                while done < phase.stop:
                    if order is None or done % epoch_steps == 0:
                        order = draw_order(train_state.key, done // epoch_steps, count=dataset["train_count"])
                    train_state, latest = train_step(train_state, training, order)
                    metrics.append(latest)
                    done += 1
                    if not compiled:
                        compiled = bool(jax.block_until_ready(latest))
                        report.restart_clock(done)
                    report.advance(phase.name)
                    if done % config.log_every == 0 or done == phase.stop:
                        report.report(done, phase.name, _mean(metrics))
                        metrics = []
                    if done % config.checkpoint_every == 0 or done == config.steps:
                        checkpoints.save(manager, train_state, config, dataset)
    return train_state


def _mean(metrics: list[dict]) -> dict[str, float]:
    return {name: float(np.mean([float(entry[name]) for entry in metrics])) for name in metrics[0]}


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
