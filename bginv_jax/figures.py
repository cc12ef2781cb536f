"""The poster's figures, from trained workdirs: python -m bginv_jax.figures --workdir=DIR [--workdir=DIR2 ...]

figure1.png of a vanilla workdir, figure2.png of an attention one, figure3.png, figure4.png and figure4.gif of a
proposal's; all of the first seed, on the data set's first test image of each class.
"""

from pathlib import Path

from absl import flags

from bginv_jax import command_line
from bginv_jax.evaluation import scoring
from bginv_jax.evaluation.figures import write


def main() -> None:
    runs = scoring.load(flags.FLAGS.workdir, source=flags.FLAGS.source, folder=flags.FLAGS.dir)
    for run in runs:
        output = Path(flags.FLAGS.output or run.workdir).expanduser()
        output.mkdir(parents=True, exist_ok=True)
        records = scoring.score(run) if not run.seeds[0].method.paint and not run.seeds[0].method.attend else []
        print(f"written to {output}: {', '.join(write(run, records, output)) or 'nothing'}")


if __name__ == "__main__":
    flags.DEFINE_multi_string("workdir", None, "A folder that train wrote; repeat it for the figures of more methods.")
    flags.DEFINE_string("output", None, "Where the figures go; by default each workdir.")
    flags.DEFINE_string("source", None, "Draw another data set than that of training: as config.data.source.")
    flags.DEFINE_string("dir", None, "data_dir of that data set, or of the same one where it has moved.")
    command_line.run(main, required=["workdir"])
