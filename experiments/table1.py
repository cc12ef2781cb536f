"""Trains all rows and seeds of Table 1 and ends with the table: python experiments/table1.py [--recipe=NAME]

A recipe is its configs experiments/RECIPE_METHOD.py, of as many methods as it has: mnist, mnist_5k, fashion, poster; of
other tasks rotation, catch, breakout; and studio. Started again, it continues where it was stopped. Full MNIST with
three seeds takes an hour and a half on two CPU cores.
"""

from pathlib import Path

from absl import flags
from ml_collections import ConfigDict

from bginv_jax import command_line, config_files, files
from bginv_jax.config import validate
from bginv_jax.errors import InputError
from bginv_jax.evaluation import results as evaluate
from bginv_jax.evaluation import scoring
from bginv_jax.evaluation import table1 as report
from bginv_jax.methods import registry
from bginv_jax.training import loop as train

HERE = Path(__file__).parent


def make_configs(recipe: str, seeds: list[int], folder: str | None, share: float) -> dict[str, ConfigDict]:
    """The configs of a recipe's rows, by method, in the table's order.

    Args:
      recipe: the first part of the file names.
      seeds: each row has all of them.
      folder: config.data.dir; None leaves it.
      share: of each config's steps that is trained.

    Raises:
      ValueError: if there is no such recipe, or one of its configs cannot be trained so.
    """
    paths = {method: HERE / f"{recipe}_{method}.py" for method in registry.METHODS}
    if not any(path.is_file() for path in paths.values()):
        known = sorted(path.stem.removesuffix("_vanilla") for path in HERE.glob("*_vanilla.py"))
        raise InputError(f"--recipe is {recipe!r}; allowed: {', '.join(known)}")
    configs = {}
    for method, path in paths.items():
        if not path.is_file():
            continue
        config = config_files.load(str(path))
        config.seed, config.seeds = seeds[0], tuple(seeds) if len(seeds) > 1 else ()
        config.steps = round(share * config.steps)
        config.data.dir = config.data.dir if folder is None else folder
        try:
            validate(config)
        except InputError as error:
            raise InputError(f"{path.name}{f' with --share={share:g}' if share < 1 else ''}: {error}") from error
        configs[method] = config
    return configs


def main() -> None:
    values = flags.FLAGS
    output = files.check_folder(values.output or f"runs/{values.recipe}", field="--output", files=evaluate.FILES)
    files.check_file(output / "table1.html", field="--output")
    configs = make_configs(values.recipe, values.seeds, values.dir, values.share)
    for method, config in configs.items():
        train.train(config, output / method, signals=True)
    runs = scoring.load(output / method for method in configs)
    records = evaluate.write(runs, output, html=output / "table1.html")
    if values.recipe == "poster":
        print(report.reproduced(records))


if __name__ == "__main__":
    flags.DEFINE_string("recipe", "mnist", "Which configs: experiments/RECIPE_METHOD.py.")
    flags.DEFINE_multi_integer("seeds", [0, 1, 2], "The seeds of every row; repeat it for more.", lower_bound=0)
    command_line.define_path("output", None, "Where workdirs, records, table and figures go; by default runs/RECIPE.")
    command_line.define_path("dir", None, "data_dir of TensorFlow Datasets.")
    command_line.define_number("share", 1.0, "Train this share of each config's steps.", most=1.0)
    command_line.run(main, required=[], resumes=True)
