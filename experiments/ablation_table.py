"""Trains every variant of experiments/ablation.py and prints their table: python experiments/ablation_table.py

Started again, it continues where it was stopped. Writes ablation.jsonl and ablation.md. 25 minutes on two CPU cores.
The variant with photographs is left out unless --photographs names a folder of them.
"""

import runpy
from pathlib import Path

from absl import flags

from bginv_jax import command_line, files
from bginv_jax.evaluation import scoring
from bginv_jax.evaluation import table1 as report
from bginv_jax.training import loop as train

_FILES = ("ablation.jsonl", "ablation.md")
_ABLATION = runpy.run_path(str(Path(__file__).with_name("ablation.py")))


def main() -> None:
    values = flags.FLAGS
    output = files.check_folder(values.output, field="--output", files=_FILES)
    found = {}
    for variant in _ABLATION["VARIANTS"]:
        config = _ABLATION["get_config"](variant)
        if config.background.pictured_share:
            if not values.photographs:
                print(f"{variant} is left out; --photographs names a folder for it")
                continue
            config.background.photographs = values.photographs
        config.seed = values.seed
        train.train(config, output / variant, signals=True)
        found[variant] = scoring.score(*scoring.load([output / variant]))
    table = report.variants(found)
    records = ({"variant": variant, **record} for variant, own in found.items() for record in own)
    files.write_json_lines(output / "ablation.jsonl", records)
    files.write_text(output / "ablation.md", report.as_markdown(table))
    print(report.as_text(table))


if __name__ == "__main__":
    command_line.define_path("output", "runs/ablation", "Where workdirs, records and table go.")
    flags.DEFINE_integer("seed", 0, "Of every variant.", lower_bound=0)
    command_line.define_path("photographs", None, "Folder of pictures for the variant that is trained on them.")
    command_line.run(main, required=[], resumes=True)
