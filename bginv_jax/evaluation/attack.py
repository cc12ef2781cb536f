"""The attack on trained workdirs, `bginv_jax.attack`, and on any predictor, images and masks, `curves`."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from matplotlib.figure import Figure

from bginv_jax import files
from bginv_jax.backgrounds import families
from bginv_jax.errors import InputError
from bginv_jax.evaluation import attack_charts, black_box, scoring, search, table1, white_box
from bginv_jax.evaluation.names import in_markdown
from bginv_jax.evaluation.records import title
from bginv_jax.images.masks import dilate
from bginv_jax.images.pixels import as_float
from bginv_jax.jax_settings import own_settings
from bginv_jax.tasks.classification import CLASSIFICATION
from bginv_jax.tasks.contract import Task

_LOG = logging.getLogger(__name__)

FILES = ("attack.jsonl", "attack.md", "attack.png", "worst.png")
BUDGETS = tuple(i / 10 for i in range(11))
_PICTURES = 8


class Options(NamedTuple):
    """How long is searched; without any `restarts`, `random` or `generations` that search is left out.

    steps: of each ascent of the projected gradient.
    restarts: ascents for each budget, of the cross-entropy and of the margin.
    random: how many random backgrounds each image is set on.
    generations: of the evolution.
    seed: of everything that is drawn.
    """

    steps: int = 20
    restarts: int = 3
    random: int = 200
    generations: int = 40
    seed: int = 0


DEFAULTS = Options()


def random_backgrounds(count: int, *, size: int, channels: int = 1, seed: int) -> np.ndarray:
    """Backgrounds of all families in families.REPORT, shuffled: (count, size, size, C) float32."""
    share = -(-count // len(families.REPORT))
    drawn = families.draw(families.REPORT, share, size=size, channels=channels, seed=seed)
    return drawn[np.random.RandomState(seed).permutation(len(drawn))[:count]]


def curves(
    predict: search.Predict,
    x: np.ndarray,
    masks: np.ndarray,
    targets: np.ndarray,
    options: Options = DEFAULTS,
    *,
    budgets: Sequence[float] = BUDGETS,
    task: Task = CLASSIFICATION,
    chunk: int = search.CHUNK,
) -> tuple[list[dict], dict[str, search.Found]]:
    """Searches the worst background of each image by each of the searches.

    Args:
      predict: images (n, S, S, C), float32 in [0, 1], to outputs. The white-box search, projected gradient, needs one
        that JAX can trace; for any other function of NumPy arrays leave it out with restarts=0.
      x: images (N, S, S, C), uint8 or float in [0, 1].
      masks: (N, S, S, 1), 1 where the image stays as it is, 0 where the background may be anything.
      targets: (N, ...), as the task's loss takes them.
      options: how long is searched.
      budgets: of the white-box search: how far a pixel may move from where it is in the image, increasing.
      task: loss, and a measure "accuracy", above 0.5 where an image is right.
      chunk: images at a time; `predict` always gets so many or, where there are fewer, all of them.

    Returns:
      Records as attack_charts takes them, without "row", and what each search found, by its name.

    Raises:
      ValueError: for arrays that do not fit together, an option out of range, or a predictor that JAX cannot trace.
    """
    for name, least in zip(Options._fields, (1, 0, 0, 0, 0), strict=True):
        if getattr(options, name) < least:
            raise InputError(f"{name} is {getattr(options, name)}; expected at least {least}")
    arguments = (predict, x, masks, targets)
    clean = search.clean(*arguments, task=task, chunk=chunk)
    found: dict[str, search.Found] = {}
    records = [{"search": "none", **_counted(clean.right[0])}]

    def take(name: str, field: str, values: Iterable[float], one: search.Found) -> None:
        found[name] = one
        records.extend(
            {"search": name, field: value, **_counted(right)} for value, right in zip(values, one.right, strict=True)
        )
        _LOG.info("%s: accuracy %.1f%%", name, 100 * one.right[-1].mean())

    if options.restarts:
        ascended = white_box.projected_gradient(
            *arguments,
            budgets=budgets,
            steps=options.steps,
            restarts=options.restarts,
            seed=options.seed,
            task=task,
            chunk=chunk,
        )
        take("gradient", "budget", budgets, ascended)
    if options.random:
        size, channels = clean.images.shape[2:]
        drawn = random_backgrounds(options.random, size=size, channels=channels, seed=options.seed)
        take("random", "tried", range(1, len(drawn) + 1), black_box.worst_of(*arguments, drawn, task=task, chunk=chunk))
    if options.generations:
        evolved = black_box.evolve(
            *arguments, generations=options.generations, seed=options.seed, task=task, chunk=chunk
        )
        take("evolution", "generation", range(1, options.generations + 1), evolved)
    if not found:
        raise InputError("restarts, random and generations are all 0; expected at least one search")
    records.append({"search": "any", **_counted(np.all([one.right[-1] for one in found.values()], axis=0))})
    return records, found


def _counted(right: np.ndarray) -> dict:
    correct, count = int(right.sum()), len(right)
    return {"correct": correct, "count": count, "accuracy": 100 * correct / count}


def _names(runs: Sequence[scoring.TrainedRun]) -> list[str]:
    """A name for each row: its method, and whatever else tells it from the others."""
    methods = [title(run.seeds[0].config.method) for run in runs]
    several = len({run.dataset.name for run in runs}) > 1
    names = [f"{name}, {run.dataset.name}" if several else name for name, run in zip(methods, runs, strict=True)]
    if len(set(names)) < len(names):
        names = [f"{name}, {run.workdir}" for name, run in zip(names, runs, strict=True)]
    if len(set(names)) < len(names):
        raise InputError("a --workdir is given twice; expected each once")
    return names


def _attack(
    run: scoring.TrainedRun, count: int, halo: int, options: Options, budgets: Sequence[float]
) -> tuple[list[dict], Figure]:
    """Records of the run's first seed, and the picture of the worst backgrounds."""
    trained, names = run.seeds[0], run.dataset.class_names
    x = np.asarray(as_float(run.dataset.test.images[:count]))
    targets = run.dataset.test.targets[:count]
    objects = run.dataset.test.objects[:count].astype(np.float32)
    masks = np.asarray(dilate(jnp.asarray(objects), jnp.full(len(x), halo), largest=halo))
    predict = Partial(jax.jit(trained.method.predict), trained.networks)
    # Not by trained.method.task, whose loss may be smoothed.
    records, found = curves(predict, x, masks, targets, options, budgets=budgets)
    head = {"dataset": run.dataset.name, "method": trained.config.method, "seed": trained.config.seed}
    shown = slice(min(_PICTURES, len(x)))
    worst = {name: one.images[shown] for name, one in found.items()}
    predictions = {
        name: [names[i] for i in np.asarray(predict(pictures)).argmax(axis=-1)]
        for name, pictures in {"none": x[shown], **worst}.items()
    }
    figure = attack_charts.worst_figure(x[shown], worst, [names[i] for i in targets[shown]], predictions)
    return [{**head, **record} for record in records], figure


@own_settings()
def write(
    runs: Sequence[scoring.TrainedRun],
    output: Path,
    *,
    count: int,
    halo: int,
    options: Options,
    budgets: Sequence[float] = BUDGETS,
) -> list[dict]:
    """Attacks the first seed of each run, writes everything to the folder `output`, prints the table; the records.

    Args:
      runs: of `scoring.load`.
      output: made where it is missing.
      count: of the data set's test images, from the first.
      halo: pixels around the object that stay as they are.
      options: how long is searched.
      budgets: as `curves` takes them.

    Raises:
      ValueError: for a number out of range, a run that stands twice, or a folder that cannot be written.
    """
    for name, value, least in (("count", count, 1), ("halo", halo, 0)):
        if value < least:
            raise InputError(f"{name} is {value}; expected at least {least}")
    for run in runs:
        if halo > run.dataset.size:
            raise InputError(f"halo is {halo}; expected at most {run.dataset.size}, the side of the images")
        task = run.seeds[0].config.task
        if task != "classification":
            raise InputError(f"workdir {run.workdir} was trained with config.task {task}; allowed: classification")
    names, records = _names(runs), []
    output = files.check_folder(output, field="output", files=FILES)
    for i, (name, run) in enumerate(zip(names, runs, strict=True)):
        _LOG.info("%s", name)
        own, figure = _attack(run, count, halo, options, budgets)
        records += [{"row": name, **record} for record in own]
        if i == 0:
            with files.replacing(output / "worst.png") as whole:
                figure.savefig(whole)
    files.write_json_lines(output / "attack.jsonl", records)
    cells = attack_charts.table(records)
    lines = [f"the first {records[0]['count']} test images, {halo} pixels around the object left as they are"]
    lines.append(", ".join(f"{name} {value}" for name, value in options._asdict().items()))
    lines += [table1.run_line(run.workdir, run.seeds[:1]) for run in runs]
    notes = "".join(f"- {in_markdown(line)}\n" for line in lines)
    files.write_text(output / "attack.md", f"{table1.as_markdown(cells)}\n{notes}")
    attack_charts.picture(records, output / "attack.png")
    print("\n".join([table1.as_text(cells), *lines]))
    print(f"written to {output}: {', '.join(FILES)}")
    return records
