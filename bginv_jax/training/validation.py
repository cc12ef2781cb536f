"""What a training makes of the images that are held out of it: as they are, and before development backgrounds.

The test set and its backgrounds have no part in it, so that what is chosen by it is not chosen on them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from bginv_jax.backgrounds import families
from bginv_jax.backgrounds.settings import CONTRASTS, HALOS, Setting, set_before
from bginv_jax.data.dataset import Split
from bginv_jax.methods.contract import Networks
from bginv_jax.methods.schedule import Phase
from bginv_jax.tasks.contract import join
from bginv_jax.training import devices as hardware
from bginv_jax.training.metrics_file import VALIDATION
from bginv_jax.training.progress import Report
from bginv_jax.training.state import TrainState
from bginv_jax.training.stopping import Stop
from bginv_jax.training.wiring import Run

PLAIN, DEVELOPMENT = VALIDATION, f"{VALIDATION}development_"  # what stands before the measure's name

_SEED = 0  # of the backgrounds, which are the same at every step and in every run


def _settings(size: int, channels: int) -> list[Setting]:
    """A background of each development family, with the halos and contrasts of `unseen` in turns."""
    drawn = families.draw(families.DEVELOPMENT, 1, size=size, channels=channels, seed=_SEED)
    return [
        Setting(name, background, HALOS[i % len(HALOS)], CONTRASTS[i % len(CONTRASTS)])
        for i, (name, background) in enumerate(zip(families.DEVELOPMENT, drawn, strict=True))
    ]


class Validation:
    """Scores networks on the images that a run's data set holds out.

    The objects are the true masks, or what is above 0, as `unseen` takes them; of photographs without masks they are
    those of f_m once it has trained, and until then the images are scored as they are alone.
    """

    def __init__(self, run: Run):
        self._run = run
        self._forward = hardware.make_forward(run.method.predict, run.devices)
        self._masks = hardware.make_forward(run.method.ready_masks, run.devices)
        assert run.dataset.validation is not None, "a config that is valid holds images out where it scores them"
        self._split = run.dataset.validation
        self._marked = not run.dataset.by_class or self._split.masks is not None
        self._learns_masks = any("f_m" in phase.networks for phase in run.phases)
        self._settings = _settings(run.dataset.size, run.dataset.shape[-1])

    def _objects(self, part: Split, networks: Networks, phase: Phase) -> np.ndarray | None:
        if self._marked:
            return part.objects
        if not any("f_m" in one.networks and one.start <= phase.start for one in self._run.phases):
            return None
        return self._masks(networks, part.images)

    def _images(self, part: Split, networks: Networks, phase: Phase) -> Iterator[tuple[str, np.ndarray]]:
        """What is scored of some images: (PLAIN or DEVELOPMENT, images)."""
        yield PLAIN, part.images
        objects = self._objects(part, networks, phase)
        if objects is not None:
            yield from ((DEVELOPMENT, images) for images in set_before(part.images, objects, self._settings))

    def _score_one(
        self, networks: Networks, phase: Phase, ends: Callable[[], bool]
    ) -> dict[str, dict[str, np.ndarray]] | None:
        measured: dict[str, list[dict[str, np.ndarray]]] = {}
        for part in self._split.parts():
            for kind, images in self._images(part, networks, phase):
                if ends():
                    return None
                found = self._run.method.task.measure(self._forward(networks, images), part.targets)
                measured.setdefault(kind, []).append(found)
        return {kind: join(found) for kind, found in measured.items()}

    def score(
        self, of_seeds: Sequence[Networks], phase: Phase, *, ends: Callable[[], bool] = lambda: False
    ) -> dict[str, list[float]] | None:
        """The measure that the task shows of each seed, by name: plain, and before backgrounds on average.

        Args:
          of_seeds: the networks of each seed.
          phase: that they train in.
          ends: asked before each background; where it says so there is no score.
        """
        task = self._run.method.task
        scores: dict[str, list[float]] = {}
        for networks in of_seeds:
            measured = self._score_one(networks, phase, ends)
            if measured is None:
                return None
            for kind, measures in measured.items():
                scores.setdefault(f"{kind}{task.shown}", []).append(float(task.record(measures)[task.shown]))
        return scores

    def how_good(self, scores: Mapping[str, Sequence[float]]) -> float | None:
        """What the best checkpoint is chosen by, larger is better: the score before backgrounds, if there ever is one.

        The mean over the seeds; None where such a score is still to come.
        """
        task = self._run.method.task
        name = f"{DEVELOPMENT if self._marked or self._learns_masks else PLAIN}{task.shown}"
        if name not in scores:
            return None
        value = float(np.mean(scores[name]))
        return value if task.larger_is_better else -value


class Validator:
    """Scores the images that are held out, every `config.evaluate_every` steps."""

    def __init__(self, run: Run, report: Report, stop: Stop):
        self._run, self._report, self._stop = run, report, stop
        self._validation = Validation(run) if run.config.evaluate_every else None

    def measure(self, phase: Phase, train_state: TrainState) -> float | None:
        """What the best checkpoint is chosen by, where this step is scored and no signal is waiting."""
        step = int(train_state.step)
        if self._validation is None or step % self._run.config.evaluate_every or self._report.validated(step):
            return None
        with self._report.paused():
            networks = self._run.of_each_seed(train_state.networks())
            scores = self._validation.score(networks, phase, ends=self._stop.asked)
        if scores is None:  # the run that continues begins with it
            return None
        self._report.validate(step, phase, scores)
        return self._validation.how_good(scores)
