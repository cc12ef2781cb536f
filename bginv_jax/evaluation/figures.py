"""Which figures a trained workdir has, and what of it they show, for `bginv_jax.figures`; `panels` draws them."""

import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure

from bginv_jax import files
from bginv_jax.backgrounds import patterns
from bginv_jax.data.dataset import Dataset, Split
from bginv_jax.evaluation import panels, predictors, scoring
from bginv_jax.evaluation.records import of_seed, value
from bginv_jax.images.compose import compose
from bginv_jax.images.pixels import as_float
from bginv_jax.jax_settings import own_settings
from bginv_jax.methods import schedule
from bginv_jax.training import background_strips, metrics_file

_VALIDATION = "validation.png"
FILES = ("figure1.png", "figure2.png", "figure3.png", "figure4.png", "figure4.gif", _VALIDATION)  # what may be written


def examples(dataset: Dataset, count: int) -> Split:
    """`count` test images, where there are classes the first of each by turns; their masks are what stays of them.

    Of photographs whose objects nobody marked, all of them stays.
    """
    test = dataset.test
    if not dataset.class_names:
        part = Split(test.images[:count], jax.tree.map(lambda leaf: leaf[:count], test.targets))
        return dataclasses.replace(part, masks=dataset.kept(part))
    places = [np.flatnonzero(dataset.test.targets == label) for label in range(len(dataset.class_names))]
    rounds = (place[i] for i in range(len(dataset.test.targets)) for place in places if i < len(place))
    chosen = [place for _, place in zip(range(count), rounds, strict=False)]
    part = Split(test.images[chosen], test.targets[chosen], None if test.masks is None else test.masks[chosen])
    kept = dataset.kept(part) if dataset.marked else np.ones((*part.images.shape[:3], 1), bool)
    return dataclasses.replace(part, masks=kept)


def _epochs(steps: Sequence[int], trained: predictors.Trained) -> list[float]:
    """How many epochs f_b had trained at each of `steps`."""
    phases = schedule.make_phases(trained.config.schedule, trained.config.steps)
    spans = [(phase.start, phase.stop) for phase in phases if "f_b" in phase.networks]
    images_seen = [sum(max(0, min(step, b) - a) for a, b in spans) * trained.config.batch_size for step in steps]
    return [count / trained.description.train_count for count in images_seen]


def _attention_on_backgrounds(trained: predictors.Trained, dataset: Dataset) -> Figure:
    assert trained.method.attend is not None, "drawn only of a method with attention"
    shown = examples(dataset, len(patterns.BACKGROUNDS))
    on_each = zip(shown.images, shown.objects, patterns.BACKGROUNDS, strict=True)
    x = np.concatenate([patterns.compose_test(image[None], name, kept=kept[None]) for image, kept, name in on_each])
    return panels.attention_figure(x, *map(np.asarray, jax.jit(trained.method.attend)(trained.networks, x)))


def _three_networks(trained: predictors.Trained, dataset: Dataset) -> Figure:
    method, networks = trained.method, trained.networks
    shown = examples(dataset, 5)

    def through(x, keys):
        m, b = method.ready_masks(networks, x), method.paint(networks, keys)
        return m, b, method.predict(networks, compose(x, m, b))

    x, targets = np.asarray(as_float(shown.images)), shown.targets
    m, b, outputs = map(np.asarray, jax.jit(through)(x, jax.random.split(jax.random.key(0), len(x))))
    task = method.task
    if task.classes:
        return panels.networks_figure(x, m, b, panels.bars(np.asarray(jax.nn.softmax(outputs)), targets, task.classes))
    if task.draw is None:
        return panels.networks_figure(x, m, b, panels.texts(task.describe(outputs)))
    return panels.networks_figure(x, m, b, panels.drawings(compose(x, m, b), outputs, task))


@own_settings()
def write(
    run: scoring.TrainedRun, records: Sequence[dict], output: Path, *, without: Collection[str] = ()
) -> list[str]:
    """Writes the figures that a workdir has to the folder `output` and returns their names.

    Args:
      run: of `scoring.load`.
      records: of `scoring.score`, its own among them.
      output: made where it is missing.
      without: the names of figures that another run has drawn.
    """
    trained = run.seeds[0]
    method, seed = trained.config.method, trained.config.seed
    if not (trained.method.attend or trained.method.paint):
        own = of_seed(records, run.dataset.name, method, seed)
        shown, accuracies = examples(run.dataset, 5), {record["background"]: value(record) for record in own}
        figure = panels.accuracy_figure(
            shown.images[-1:], shown.objects[-1:], accuracies, trained.method.task.shown, trained.method.task.unit
        )
        drawn = {"figure1.png": figure}
    elif trained.method.attend:
        drawn = {"figure2.png": _attention_on_backgrounds(trained, run.dataset)}
    else:
        drawn = {"figure3.png": _three_networks(trained, run.dataset)}
    taken = {} if "figure4.png" in without else background_strips.read(run.workdir)
    if taken:
        strips, epochs = list(taken.values()), _epochs(list(taken), trained)
        drawn["figure4.png"] = panels.epochs_strip(strips, epochs)
        panels.write_animation(strips, epochs, output / "figure4.gif")
    validated = metrics_file.read_validation(run.workdir)
    if validated:
        drawn[_VALIDATION] = panels.validation_figure(validated, trained.method.task.shown)
    written = [name for name in drawn if name not in without]
    for name in written:
        with files.replacing(output / name) as whole:
            drawn[name].savefig(whole)
    return [*written, "figure4.gif"] if taken else written
