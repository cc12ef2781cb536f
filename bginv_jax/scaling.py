"""How fast a step is as the work grows: python -m bginv_jax.scaling --output=FOLDER

Times the adversarial step over batch sizes, image sizes, seeds trained together and data set sizes, one at a time from
the defaults, and writes scaling.jsonl and scaling.png. The images are the digits of mnist_5k, enlarged and repeated.
"""

from absl import flags

from bginv_jax import command_line, files
from bginv_jax.speed.scaling import FILES, write


def main() -> None:
    write(files.check_folder(flags.FLAGS.output, field="--output", files=FILES))


if __name__ == "__main__":
    command_line.define_path("output", None, "The folder that scaling.jsonl and scaling.png go to.")
    command_line.run(main, required=["output"])
