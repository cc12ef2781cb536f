"""What `bginv_jax.evaluate` scores, writes and prints."""

from collections.abc import Sequence
from pathlib import Path

from bginv_jax import files
from bginv_jax.evaluation import curves, figures, page, playing, predictions, scoring, table1, test_sets
from bginv_jax.evaluation.names import in_markdown
from bginv_jax.evaluation.records import by_measure, rows
from bginv_jax.jax_settings import own_settings

_OF_BACKGROUNDS = ("table1.png", "rates.jsonl", "rates.png")
_FILES = ("results.jsonl", "table1.md", *_OF_BACKGROUNDS)
FILES = (*_FILES, *figures.FILES, predictions.FILE, curves.FILE)  # what may be written


def _trivial(run: scoring.TrainedRun) -> str:
    """What a player without eyes reaches, '' of images that nobody acts on."""
    if run.world is None:
        return ""
    share = playing.play_at_random(run.world, episodes=scoring.EPISODES)["share_of_best"].mean()
    return f"{run.dataset.name}: random actions reach a share of best of {share:.3g}"


@own_settings()
def write(runs: Sequence[scoring.TrainedRun], output: Path, *, html: Path | None = None) -> list[dict]:
    """Scores `runs`, writes records, table and figures to the folder `output`, prints the table; the table's records.

    Raises:
      ValueError: if two runs are the same method and seed on the same data set, or a file could not be written.
    """
    scoring.check_distinct(runs)  # known before minutes of scoring
    output = files.check_folder(output, field="output", files=FILES)
    if html is not None:
        html = files.check_file(html, field="html")
        files.check_apart({"html": html} | {f"{name} of the output": output / name for name in FILES}, folders={})
    records = [record for run in runs for record in scoring.score(run)]
    trivial = {run.dataset.name: scoring.score_trivial(run) for run in runs}
    records = [*records, *(record for of_dataset in trivial.values() for record in of_dataset)]
    of_tests = [record for run in runs for record in scoring.score_tests(run)]
    on_backgrounds = bool(rows(records))
    tables = [table1.table(shown) for shown in by_measure(records)] if on_backgrounds else []
    by_test = test_sets.table([*records, *of_tests])
    tables += [by_test] if by_test else []
    rates = [record for run in runs for record in scoring.sweep(run)]
    files.write_json_lines(output / "results.jsonl", [*records, *of_tests])
    if rates:
        files.write_json_lines(output / "rates.jsonl", rates)
        table1.rate_picture(rates, output / "rates.png")
    lines = [table1.run_line(run.workdir, run.seeds) + table1.overlaps(scoring.mask_overlaps(run)) for run in runs]
    lines += list(dict.fromkeys(line for run in runs if (line := _trivial(run))))
    text = [*map(table1.as_markdown, tables), "".join(f"- {in_markdown(line)}\n" for line in lines)]
    files.write_text(output / "table1.md", "\n".join(text))
    written = [name for name in _FILES if on_backgrounds or name not in _OF_BACKGROUNDS]
    if on_backgrounds:
        table1.picture(records, output / "table1.png")
    drawn: set[str] = set()
    for run in runs:
        if run.seeds[0].config.method not in drawn:  # one run shows what its method does
            written += figures.write(run, records, output, without=written)
        drawn.add(run.seeds[0].config.method)
    played = [run for run in runs if run.world is not None]
    if played:
        curves.picture(played, output / curves.FILE)
        written.append(curves.FILE)
    elif on_backgrounds:
        written += predictions.write(runs, records, output)
    if html is not None:
        files.write_text(html, page.render(runs, [*records, *of_tests], [output / name for name in written]))
    print("\n".join(["\n\n".join(map(table1.as_text, tables)), *lines]))
    print(f"written to {output}: {', '.join(written)}" + (f"; and {html}" if html else ""))
    return records
