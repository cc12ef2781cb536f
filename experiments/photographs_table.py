"""How much the background tells classifiers of photographs: python experiments/photographs_table.py --workdir=DIR

Scores workdirs that were trained on a folder of studio photographs, repeated --workdir for rows and seeds: on its
tests, on the test's objects before other photographs (--photographs), the poster's patterns and studio backdrops of
the same and of another class, whose difference is the BG-gap, and on backdrop and border alone. Where the objects are,
--masks tells (config.data.masks); else they are cut out by their colour, which plain walls allow. Writes
photographs.jsonl and photographs.md. About a minute a seed on two CPU cores.
"""

from collections.abc import Sequence

from absl import flags

from bginv_jax import command_line, files
from bginv_jax.backgrounds import photographs as pictures
from bginv_jax.evaluation import background_gap, scoring, table1
from bginv_jax.evaluation.names import in_markdown

_FILES = ("photographs.jsonl", "photographs.md")


def main() -> None:
    values = flags.FLAGS
    output = command_line.check_output(names=_FILES)
    photographs: Sequence = ()
    if values.photographs:
        photographs = pictures.read_photographs(values.photographs, field="--photographs")
    where = {"source": values.source, "folder": values.dir, "tests": values.test, "masks": values.masks}
    runs = scoring.load(values.workdir, **where)
    scoring.check_distinct(runs)
    records = [record for run in runs for record in background_gap.score(run, photographs, seed=values.seed)]
    files.write_json_lines(output / "photographs.jsonl", records)
    cells, notes = background_gap.table(records), background_gap.notes(records)
    lines = "\n".join(map(in_markdown, notes.splitlines()))
    files.write_text(output / "photographs.md", f"{table1.as_markdown(cells)}\n{lines}\n")
    print(f"{table1.as_text(cells)}\n{notes}\nwritten to {output}: {', '.join(_FILES)}")


if __name__ == "__main__":
    command_line.define_path("workdir", None, "A folder that train wrote; repeat it for rows and seeds.", several=True)
    command_line.define_path("output", None, "Where the records and the table go; by default the first --workdir.")
    command_line.define_path("photographs", None, "Folder of pictures to set the test's objects before.")
    flags.DEFINE_integer("seed", 0, "Of crops of photographs, and of whose backdrop is whose.", lower_bound=0)
    flags.DEFINE_string("source", None, "Score another data set than that of training: as config.data.source.")
    command_line.define_path("dir", None, "data_dir of that data set, or of the same one where it has moved.")
    flags.DEFINE_multi_string("test", None, "A further test set, as in config.data.tests; replaces those of training.")
    command_line.define_path("masks", None, "True masks of the test set, as config.data.masks.", several=True)
    command_line.run(main, required=["workdir"])
