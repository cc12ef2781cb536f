"""Scores trained workdirs on backgrounds that no network was trained on, and counts what is right on every one.

python -m bginv_jax.unseen --workdir=DIR [--workdir=DIR2 ...] [--families=development] [--photographs=DIR]

Writes unseen.jsonl (a record for each method, seed and background) and unseen.md (its table).
"""

from absl import flags

from bginv_jax import command_line
from bginv_jax.evaluation import scoring
from bginv_jax.evaluation.unseen import FILES, GROUPS, write


def main() -> None:
    values = flags.FLAGS
    output = command_line.check_output(names=FILES)
    runs = scoring.load(values.workdir, source=values.source, folder=values.dir, masks=values.masks)
    scoring.check_marked(runs)
    write(
        runs,
        output,
        families=GROUPS[values.families],
        count=values.count,
        photographs=values.photographs,
        seed=values.seed,
        seeds=values.seeds,
    )


if __name__ == "__main__":
    command_line.define_path("workdir", None, "A folder that train wrote; repeat it for more columns.", several=True)
    command_line.define_path("output", None, "Where records and table go; by default the first --workdir.")
    flags.DEFINE_enum(
        "families",
        "report",
        list(GROUPS),
        "Which families: those that no recipe is trained or chosen on, those that may be, or one fold of them.",
    )
    flags.DEFINE_integer("count", 20, "Backgrounds of each family.", lower_bound=1)
    flags.DEFINE_multi_integer("seeds", None, "Score only this one of a workdir's seeds; repeat it for more.")
    command_line.define_path("photographs", None, "Also as many crops from the pictures of this folder.")
    flags.DEFINE_integer("seed", 1, "Of the backgrounds.", lower_bound=0, upper_bound=2**31 - 1)
    flags.DEFINE_string("source", None, "Score another data set than that of training: as config.data.source.")
    command_line.define_path("dir", None, "data_dir of that data set, or of the same one where it has moved.")
    command_line.define_path("masks", None, "True masks of the test set, as config.data.masks.", several=True)
    command_line.run(main, required=["workdir"])
