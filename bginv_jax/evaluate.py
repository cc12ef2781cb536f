"""Scores trained workdirs on the poster's seven backgrounds and prints Table 1.

python -m bginv_jax.evaluate --workdir=DIR [--workdir=DIR2 ...] [--output=DIR] [--html=FILE]

Writes results.jsonl (a record for each data set, method, seed and background), table1.md and table1.png; rates.jsonl
and rates.png (the Random background at every rate); the poster's figures; and with --html all of it as one page.
"""

from pathlib import Path

from absl import flags

from bginv_jax import command_line
from bginv_jax.errors import InputError
from bginv_jax.evaluation import scoring
from bginv_jax.evaluation.results import write


def main() -> None:
    values = flags.FLAGS
    runs = scoring.load(values.workdir, source=values.source, folder=values.dir)
    output = Path(values.output or values.workdir[0]).expanduser()
    html = Path(values.html).expanduser() if values.html else None
    if html and html.is_dir():
        raise InputError(f"--html is {values.html!r}, a folder; expected a file")
    write(runs, output, html=html)


if __name__ == "__main__":
    flags.DEFINE_multi_string("workdir", None, "A folder that train wrote; repeat it for more rows or seeds.")
    flags.DEFINE_string("output", None, "Where the records and the table go; by default the first --workdir.")
    flags.DEFINE_string("html", None, "Also write everything as one self-contained page to this file.")
    flags.DEFINE_string("source", None, "Score another data set than that of training: as config.data.source.")
    flags.DEFINE_string("dir", None, "data_dir of that data set, or of the same one where it has moved.")
    command_line.run(main, required=["workdir"])
