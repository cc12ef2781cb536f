"""Scores trained workdirs on the poster's seven backgrounds and prints Table 1.

python -m bginv_jax.evaluate --workdir=DIR [--workdir=DIR2 ...] [--output=DIR] [--html=FILE]

Writes results.jsonl (a record for each data set, method, seed and background, and further test set), table1.md and
table1.png; rates.jsonl and rates.png (the Random background at every rate); the poster's figures, of another task than
classification also predictions.png, and of worlds that were played curve.png, the returns in training; and with --html
all of it as one page.
"""

from absl import flags

from bginv_jax import command_line, files
from bginv_jax.evaluation import scoring
from bginv_jax.evaluation.results import FILES, write


def main() -> None:
    values = flags.FLAGS
    output = command_line.check_output(names=FILES)
    html = files.check_file(values.html, field="--html") if values.html else None
    where = {"source": values.source, "folder": values.dir, "tests": values.test, "masks": values.masks}
    runs = scoring.load(values.workdir, **where)
    write(runs, output, html=html)


if __name__ == "__main__":
    command_line.define_path(
        "workdir", None, "A folder that train wrote; repeat it for more rows or seeds.", several=True
    )
    command_line.define_path("output", None, "Where the records and the table go; by default the first --workdir.")
    command_line.define_path("html", None, "Also write everything as one self-contained page to this file.")
    flags.DEFINE_string("source", None, "Score another data set than that of training: as config.data.source.")
    command_line.define_path("dir", None, "data_dir of that data set, or of the same one where it has moved.")
    flags.DEFINE_multi_string("test", None, "A further test set, as in config.data.tests; replaces those of training.")
    command_line.define_path("masks", None, "True masks of the test set, as config.data.masks.", several=True)
    command_line.run(main, required=["workdir"])
