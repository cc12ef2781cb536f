"""Times the steps of each phase, alone or side by side with a PyTorch peer, and prints a table.

python -m bginv_jax.benchmark [--config=FILE] [--phases=vanilla,mask] [--batch_size=64 ...] [--peer=torch]
"""

import json
import os

import jax
from absl import flags
from ml_collections import ConfigDict

from bginv_jax import command_line, files
from bginv_jax import config as configs
from bginv_jax.speed import memory, timing, turns
from bginv_jax.speed.benchmark import FEWEST_PAIRS, benchmark, text


def get_config() -> ConfigDict:
    """The config without --config."""
    return configs.default_config()


def main() -> None:
    values = flags.FLAGS
    # The two sides share a GPU's memory, and a peak is only seen where memory is taken as it is needed.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if values.measure_memory_of:
        values.config.batch_size = values.batch_size[0]
        active = timing.PHASES[values.phases[0]]
        print(json.dumps(memory.memory_of_this_process(values.config, active, values.measure_memory_of)))
        return
    output = files.check_file(values.output, field="--output") if values.output else None
    turns.share(values.turns)
    jax.config.update("jax_enable_compilation_cache", False)  # or compiling would be reading
    result = benchmark(
        values.config,
        phases=values.phases,
        batch_sizes=values.batch_size,
        peer=values.peer == "torch",
        pairs=values.pairs,
        seconds=values.seconds,
        with_memory=values.memory,
        output=output,
    )
    print(text(result))


if __name__ == "__main__":
    command_line.define_config(__file__, "The experiment; by default every field's default.")
    flags.DEFINE_list("phases", list(timing.PHASES), "What is timed: " + ", ".join(timing.PHASES) + ".")
    flags.DEFINE_multi_integer("batch_size", [64], "Images per step; repeat it to time several.")
    flags.DEFINE_enum("peer", None, ["torch"], "Time the same steps in PyTorch too, by turns.")
    flags.DEFINE_integer("pairs", FEWEST_PAIRS, "Timings of each phase and batch size; at least 7 with --peer.")
    command_line.define_number("seconds", 2.0, "That each side is timed, for each phase and batch size.")
    flags.DEFINE_bool("memory", True, "Measure peaks of memory, too, each in processes that are started for it.")
    command_line.define_path("output", None, "A JSON file for the records and the machine.")
    command_line.define_path("turns", None, "Who names the same file compiles side by side, and is timed in turn.")
    flags.DEFINE_enum("measure_memory_of", None, memory.SIDES, "What the benchmark calls itself with: a peak in MB.")
    command_line.run(main, required=[])
