"""Trains one config: python -m bginv_jax.train --config=experiments/NAME.py --workdir=DIR [--config.FIELD=VALUE ...]

Started again on the same workdir it continues where the newest checkpoint ends. SIGINT (Ctrl-C), SIGTERM and SIGHUP end
it after a checkpoint, with exit status 130, 143 and 129; a second one ends it at once. With --distributed, as each of
several processes, it trains one run on all their devices: docs/clusters.md.
"""

from absl import flags

from bginv_jax import command_line
from bginv_jax import config as configs
from bginv_jax.training import distributed
from bginv_jax.training.loop import train


def main() -> None:
    command_line.join_processes()
    train(flags.FLAGS.config, flags.FLAGS.workdir, signals=True)
    if distributed.is_first():
        print(f"trained: {flags.FLAGS.workdir}")


if __name__ == "__main__":
    __doc__ += "\n" + configs.describe()
    command_line.define_config(None, "The experiment: a Python file with get_config().")
    command_line.define_path("workdir", None, "Folder for checkpoints, metrics.jsonl and TensorBoard events.")
    command_line.define_processes()
    command_line.run(main, required=["config", "workdir"], resumes=True)
