"""How bad can a background be? python -m bginv_jax.attack --workdir=DIR [--workdir=DIR2 ...]

Searches the worst backgrounds of a workdir's first seed, behind the first test images: by projected gradient within
growing budgets, among random backgrounds of the families that are kept for reports, and by evolution. Writes
attack.jsonl (a record for each row and search, and how far it had come), attack.md, attack.png (the curves) and
worst.png (what was found against the first row). `curves` does the same to any predictor, images and masks.
"""

from absl import flags

from bginv_jax import command_line
from bginv_jax.evaluation import scoring
from bginv_jax.evaluation.attack import BUDGETS, DEFAULTS, FILES, Options, curves, write

__all__ = ["Options", "curves"]


def main() -> None:
    values = flags.FLAGS
    output = command_line.check_output(names=FILES)
    runs = scoring.load(values.workdir, source=values.source, folder=values.dir, masks=values.masks)
    scoring.check_marked(runs)
    options = Options._make(values[name].value for name in Options._fields)
    write(runs, output, count=values.count, halo=values.halo, options=options, budgets=sorted({*values.budgets}))


if __name__ == "__main__":
    command_line.define_path("workdir", None, "A folder that train wrote; repeat it for more rows.", several=True)
    command_line.define_path("output", None, "Where everything goes; by default the first --workdir.")
    flags.DEFINE_integer("count", 200, "How many test images, from the first.")
    flags.DEFINE_integer("halo", 2, "Pixels around the object that stay as they are.")
    flags.DEFINE_integer("steps", DEFAULTS.steps, "Steps of each ascent of projected gradient.")
    flags.DEFINE_integer("restarts", DEFAULTS.restarts, "Ascents for each budget; 0 leaves projected gradient out.")
    flags.DEFINE_integer("random", DEFAULTS.random, "How many random backgrounds are tried; 0 leaves them out.")
    flags.DEFINE_integer("generations", DEFAULTS.generations, "Generations of evolution; 0 leaves it out.")
    budgets = "How far projected gradient may move a pixel; repeat it for more."
    command_line.define_number("budgets", BUDGETS, budgets, most=1.0, several=True)
    flags.DEFINE_integer("seed", DEFAULTS.seed, "Of everything that is drawn.", lower_bound=0, upper_bound=2**31 - 1)
    flags.DEFINE_string("source", None, "Attack on another data set than that of training: as config.data.source.")
    command_line.define_path("dir", None, "data_dir of that data set, or of the same one where it has moved.")
    command_line.define_path("masks", None, "True masks of the test set, as config.data.masks.", several=True)
    command_line.run(main, required=["workdir"])
