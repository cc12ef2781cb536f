"""Predicts picture files: python -m bginv_jax.predict --workdir=DIR [--overlay=DIR] [--html=FILE] PATH...

Each PATH is a file, a folder that is searched, or a quoted pattern such as 'pictures/**/*.jpg'. Printed, or written to
--output=FILE, is a line for each file, as CSV (file, class, the probability of each class) or with --format=jsonl as
JSON; for another task than classification its outputs. Pictures are fitted as those of training were.

Exit status: 0; 3 where files could not be read, each named on standard error, and all others were done; 2 for wrong
flags or a wrong workdir, with nothing done; 1 where the system refuses, such as a full disk.
"""

from absl import flags

from bginv_jax import command_line, files
from bginv_jax.errors import InputError
from bginv_jax.evaluation import prediction
from bginv_jax.evaluation.listing import EXPECTED
from bginv_jax.images.reading import is_called_picture


def main(*arguments: str) -> int:
    values = flags.FLAGS
    checked = {
        name: files.check_file(value, field=f"--{name}") if value else None
        for name, value in (("output", values.output), ("html", values.html))
    }
    overlays = files.check_folder(values.overlay, field="--overlay") if values.overlay else None
    written = {f"--{name}": path for name, path in checked.items() if path}
    for field, path in written.items():
        if is_called_picture(path):  # after a flag without its "=", the next of the user's pictures
            raise InputError(f"{field} is {str(path)!r}, the name of a picture; expected {field}=FILE with another one")
    files.check_apart(written, folders={"--overlay": overlays} if overlays else {})
    failed = prediction.write(
        arguments,
        values.workdir,
        seed=values.seed,
        form=values.format,
        overlays=overlays,
        html_count=values.html_count,
        **checked,
    )
    return prediction.SOME_FAILED if failed else 0


if __name__ == "__main__":
    command_line.define_path("workdir", None, "The folder that train wrote.")
    command_line.define_path("output", None, "The file that the lines go to; by default they are printed.")
    flags.DEFINE_enum("format", "csv", prediction.FORMATS, "Of the lines; JSON lines also name what could not be read.")
    command_line.define_path("overlay", None, "A folder for a PNG of each file: mask, class and probability.")
    command_line.define_path("html", None, "A file for one page to look through, the least certain pictures first.")
    flags.DEFINE_integer("html_count", 1000, "The most pictures on that page, some 4 kB each.", lower_bound=1)
    flags.DEFINE_integer("seed", None, "Which seed of a workdir that has several; by default the first.")
    command_line.run(main, required=["workdir"], arguments=EXPECTED)
