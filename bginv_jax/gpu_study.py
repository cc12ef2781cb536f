"""Where the time of a step goes on one GPU: python -m bginv_jax.gpu_study --output=FOLDER

Measures, each part in a process of its own, and writes each figure as a line of FOLDER/gpu_study.jsonl as it comes:

    phases      microseconds a step of each phase, at each batch size
    profile     the kernels of the joint step by time, and how many it launches; profiled, XLA uses no command buffers
    commands_*  the joint step with XLA's command buffers as they are, without them, with and without loops in them, and
                with kernels side by side that do not need each other
    health      the joint step by what each step looks at, whether it is finite: metrics, gradients too, or nothing
    seeds       one seed; several as a batch (vmap), one after the other (lax.map), and each by itself (unrolled)
    precision   the joint step by precision of products, and with convolutions in bfloat16; what it learns in some steps

What a part writes to stderr goes to FOLDER/PART.log. A part that fails or takes too long says so in a line, and the
next goes on. Every figure is the median of blocks of steps, taken as training takes them. The parts share compiled
programs, so "compile_seconds" of a program that an earlier part compiled are those of reading it. Studies and
benchmarks that name the same file as --turns compile side by side, and are timed one at a time.
"""

from absl import flags

from bginv_jax import command_line, files
from bginv_jax import config as configs
from bginv_jax.speed import turns
from bginv_jax.speed.gpu_study import LINES, measure_part, run_parts
from bginv_jax.speed.study import PARTS, Study


def main() -> int | None:
    values = flags.FLAGS
    output = files.check_folder(values.output, field="--output", files=[LINES])
    if values.part is None:
        given = {name: getattr(values, name) for name in ("seconds", "source", "seeds", "profiled", "learned")}
        given |= {"turns": values.turns} if values.turns else {}
        options = [f"--{name}={value}" for name, value in given.items()]
        options += [f"--batch_sizes={size}" for size in values.batch_sizes]
        return int(not run_parts(values.parts, output, options, limit=values.limit))
    turns.share(values.turns)
    config = configs.default_config()
    config.data.source = values.source
    study = Study(config, values.seconds, tuple(values.batch_sizes), values.seeds, values.profiled, values.learned)
    measure_part(values.part, study, output / LINES)
    return None


if __name__ == "__main__":
    usual = Study(configs.default_config())
    command_line.define_path("output", None, "The folder for gpu_study.jsonl and the logs.")
    command_line.define_number("seconds", usual.seconds, "That the blocks of a figure take together.")
    command_line.define_number("limit", 420.0, "Seconds, of all parts together.")
    flags.DEFINE_list("parts", list(PARTS), "What is measured, in this order.")
    flags.register_validator("parts", lambda names: set(names) <= set(PARTS), f"allowed: {', '.join(PARTS)}")
    flags.DEFINE_multi_integer("batch_sizes", usual.batch_sizes, "Of the phases; all else is at the first.")
    flags.DEFINE_integer("seeds", usual.seeds, "That train together.", lower_bound=2)
    flags.DEFINE_integer("profiled", usual.profiled, "Steps that are profiled.", lower_bound=1)
    flags.DEFINE_integer("learned", usual.learned, "Steps after which precision is judged.", lower_bound=1)
    flags.DEFINE_string("source", usual.config.data.source, "config.data.source.")
    command_line.define_path("turns", None, "A file that is shared with others who measure at the same time.")
    flags.DEFINE_enum("part", None, list(PARTS), "What the study calls itself with.")
    command_line.run(main, required=["output"])
