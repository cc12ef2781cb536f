"""Exports a trained workdir for others: python -m bginv_jax.export --workdir=DIR --output=DIR

Writes predict.jax_export and, where there is f_m, mask.jax_export (programs of jax.export with their weights, for any
batch, on CPU and CUDA), weights.safetensors, model.json (classes, sizes, normalisation, config, origin) and README.md,
a model card with every background's score, the worst first. None of them needs this package.

ONNX is not offered: its converter jax2onnx (0.17.1) wants orbax-checkpoint below 0.11.37, and checkpoints are written
with a newer one.
"""

from absl import flags

from bginv_jax import command_line, files
from bginv_jax.evaluation import exporting


def main() -> None:
    values = flags.FLAGS
    output = files.check_folder(values.output, field="--output", files=exporting.FILES)
    options = {"seed": values.seed, "score": values.score}
    options |= {"source": values.source, "folder": values.dir, "masks": values.masks}
    print(f"written to {output}: {', '.join(exporting.write(values.workdir, output, **options))}")


if __name__ == "__main__":
    command_line.define_path("workdir", None, "The folder that train wrote.")
    command_line.define_path("output", None, "The folder that is written.")
    flags.DEFINE_integer("seed", None, "Which seed of a workdir that has several; by default the first.")
    flags.DEFINE_bool("score", True, "Score on every background; else, or without the data, use results.jsonl.")
    flags.DEFINE_string("source", None, "Score another data set than that of training: as config.data.source.")
    command_line.define_path("dir", None, "data_dir of that data set, or of the same one where it has moved.")
    command_line.define_path("masks", None, "True masks of the test set, as config.data.masks.", several=True)
    command_line.run(main, required=["workdir", "output"])
