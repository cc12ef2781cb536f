"""The poster's figures, from trained workdirs: python -m bginv_jax.figures --workdir=DIR [--workdir=DIR2 ...]

figure1.png of a vanilla workdir, figure2.png of an attention one, figure3.png, figure4.png and figure4.gif of a
proposal's; all of the first seed, on the data set's first test image of each class. validation.png is of runs with
config.evaluate_every.
"""

from absl import flags

from bginv_jax import command_line, files
from bginv_jax.errors import InputError
from bginv_jax.evaluation import scoring
from bginv_jax.evaluation.figures import FILES, write
from bginv_jax.evaluation.predictors import find_workdir


def main() -> None:
    values = flags.FLAGS
    outputs = [values.output] * len(values.workdir) if values.output else list(map(find_workdir, values.workdir))
    field = "--output" if values.output else "--output, by default each --workdir,"
    outputs = [files.check_folder(output, field=field, files=FILES) for output in outputs]
    runs = scoring.load(values.workdir, source=values.source, folder=values.dir)
    methods = [run.seeds[0].config.method for run in runs]
    if values.output and len(set(methods)) < len(methods):
        raise InputError(f"--workdir is {', '.join(values.workdir)}, of one method; expected another --output for each")
    drawn: list[str] = []  # in one folder, where the next has some of the same names
    for run, output in zip(runs, outputs, strict=True):
        records = scoring.score(run) if not run.seeds[0].method.paint and not run.seeds[0].method.attend else []
        written = write(run, records, output, without=drawn if values.output else ())
        drawn += written
        print(f"written to {output}: {', '.join(written) or 'nothing'}")


if __name__ == "__main__":
    command_line.define_path(
        "workdir", None, "A folder that train wrote; repeat it for the figures of more methods.", several=True
    )
    command_line.define_path("output", None, "Where the figures go; by default each workdir.")
    flags.DEFINE_string("source", None, "Draw another data set than that of training: as config.data.source.")
    command_line.define_path("dir", None, "data_dir of that data set, or of the same one where it has moved.")
    command_line.run(main, required=["workdir"])
