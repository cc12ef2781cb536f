"""Trains one config: python -m bginv_jax.train --config=experiments/NAME.py --workdir=DIR [--config.FIELD=VALUE ...]

Started again on the same workdir it continues where the newest checkpoint ends.
"""

from absl import flags
from ml_collections import config_flags

from bginv_jax import command_line
from bginv_jax import config as configs
from bginv_jax.errors import InputError
from bginv_jax.training.loop import train


def main() -> None:
    try:
        config = flags.FLAGS.config
        _ = config.method  # a missing or broken file is only noticed here
    except (AttributeError, OSError, SyntaxError) as error:
        raise InputError(f"--config cannot be read: {error}") from error
    train(config, flags.FLAGS.workdir)
    print(f"trained: {flags.FLAGS.workdir}")


if __name__ == "__main__":
    __doc__ += "\n" + configs.describe()
    config_flags.DEFINE_config_file("config", None, "The experiment: a Python file with get_config().")
    flags.DEFINE_string("workdir", None, "Folder for checkpoints, metrics.jsonl and TensorBoard events.")
    command_line.run(main, required=["config", "workdir"])
