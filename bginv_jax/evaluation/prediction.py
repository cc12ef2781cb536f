"""A trained workdir on picture files, any number of them in bounded memory: lines, overlays and a page."""

import collections
import concurrent.futures
import contextlib
import itertools
import logging
import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
import tqdm
from PIL import Image

from bginv_jax import files
from bginv_jax.errors import InputError
from bginv_jax.evaluation import overlay
from bginv_jax.evaluation.answers import Answers, Outcome
from bginv_jax.evaluation.gallery import Gallery
from bginv_jax.evaluation.listing import Listed, list_files
from bginv_jax.evaluation.names import shown
from bginv_jax.evaluation.predictors import Predictor, Trained, load_trained
from bginv_jax.images.fitting import fit_picture
from bginv_jax.images.reading import keeping_stderr, printable, read_picture
from bginv_jax.jax_settings import own_settings
from bginv_jax.training import devices as hardware

FORMATS = ("csv", "jsonl")
SOME_FAILED = 3  # the exit status where files could not be read, and all others were done

_READERS = 4  # threads; each may hold one large picture
_PER_DEVICE = 64  # pictures, as the predictor's own batches
_STEM_BYTES = 150  # of a file's name in the name of its overlay
_LOG = logging.getLogger(__name__)


def fit_to(picture: np.ndarray, shape: tuple[int, int, int], fit: str) -> np.ndarray:
    """A picture as the network takes it, as the images of training were made.

    Args:
      picture: uint8 (H, W, 3).
      shape: native height, width and channels of the data set.
      fit: as config.data.fit; a data set whose images are not square stretches pictures to their shape.
    """
    height, width, channels = shape
    if height != width and picture.shape[:2] != (height, width):
        picture = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))
    return fit_picture(picture, size=height if height == width else 0, fit=fit, channels=channels)


def _ahead(read: Callable, items: Iterable[Listed], *, most: int) -> Generator[tuple[Listed, np.ndarray | str]]:
    """What `read` gives of each item, or the reason that it gives nothing, in order; at most so many are waiting."""

    def one(listed: Listed) -> np.ndarray | str:
        if listed.error:
            return listed.error
        try:
            return read(listed.name)
        except InputError as error:
            return str(error)
        except MemoryError:
            return f"{printable(listed.name)}: there is not enough memory for it"

    pool = concurrent.futures.ThreadPoolExecutor(_READERS)
    try:
        left = iter(items)
        waiting = collections.deque((listed, pool.submit(one, listed)) for listed in itertools.islice(left, most))
        while waiting:
            listed, future = waiting.popleft()
            following = next(left, None)
            if following:
                waiting.append((following, pool.submit(one, following)))
            yield listed, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def outcomes(listed: Iterable[Listed], trained: Trained, *, masks: bool = False) -> Iterator[Outcome]:
    """What a trained network says of each file, in order; a file that cannot be read does not stop the rest.

    The files are read by threads, a few batches ahead, and the network compiles once.

    Args:
      listed: of `listing.list_files`.
      trained: of `predictors.load_trained`.
      masks: whether masks are made, too; a method without any has none.
    """
    answers, shape = Answers.of(trained), trained.description.shape
    fit = trained.config.data.fit
    predict = Predictor(trained)
    find = Predictor(trained, masks=True) if masks and trained.method.predict_mask else None
    batch = _PER_DEVICE * len(hardware.local())
    read = _ahead(lambda name: fit_to(read_picture(name), shape, fit), listed, most=2 * batch)
    with contextlib.closing(read):
        while some := list(itertools.islice(read, batch)):
            images = [image for _, image in some if not isinstance(image, str)]
            array = np.stack(images) if images else np.zeros((0, *shape), np.uint8)
            values = iter(answers.values(predict(array)) if images else ())
            found = iter(find(array) if find and images else ())
            for one, image in some:
                if isinstance(image, str):
                    yield Outcome(one.name, error=image)
                else:
                    yield Outcome(one.name, image, next(values), next(found, None))


def _write_overlay(outcome: Outcome, folder: Path, number: str, answers: Answers) -> None:
    """Writes FOLDER/NUMBER STEM.png; the number makes the name a new one, whatever the file is called."""
    assert outcome.image is not None
    assert outcome.values is not None
    stem = files.as_text(Path(outcome.file).stem).encode()[:_STEM_BYTES].decode(errors="ignore")
    stem = "".join(letter if letter.isprintable() and letter not in '\\/:*?"<>|' else "_" for letter in stem)
    stem = stem.encode(sys.getfilesystemencoding(), "replace").decode(sys.getfilesystemencoding()).replace("?", "_")
    picture = overlay.draw(
        outcome.image, outcome.mask, answers.captions(outcome.values)[0], answers.drawn(outcome.values)
    )
    with files.naming(folder):
        picture.save(folder / f"{number} {stem}.png")


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


@contextlib.contextmanager
def _lines_to(path: Path | None) -> Iterator[TextIO]:
    """Where lines go, as UTF-8: standard output, or a file that is there once it is whole."""
    if path is None and sys.stdout is None:  # it was closed before the start
        path = Path(os.devnull)
    if path is None:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(encoding="utf-8")
        yield sys.stdout
        return
    with files.replacing(path) as whole, whole.open("w", encoding="utf-8", newline="\n") as text:
        yield text


@own_settings()
def write(
    arguments: Sequence[str],
    workdir: str | os.PathLike[str],
    *,
    seed: int | None = None,
    output: Path | None = None,
    form: str = "csv",
    overlays: Path | None = None,
    html: Path | None = None,
    html_count: int = 1000,
) -> int:
    """Predicts the files that `arguments` name, and writes a line for each; how many could not be read.

    Args:
      arguments: as `listing.list_files`.
      workdir, seed: as `predictors.load_predictor`.
      output: the file of the lines; by default they are printed.
      form: one of FORMATS. CSV has no line for a file that could not be read, JSON lines have one with its error.
      overlays: the folder of a picture for each file, with its mask and class.
      html: the file of a page with the `html_count` least certain pictures.

    Raises:
      InputError: for a wrong workdir, seed or argument.
    """
    listed, failed = list_files(arguments, without=[place for place in (output, overlays, html) if place]), 0
    trained = load_trained(workdir, seed=seed)
    answers, drawn = Answers.of(trained), overlays is not None or html is not None
    gallery = Gallery(answers, count=html_count) if html is not None else None
    if drawn and trained.method.predict_mask is None:
        _LOG.info("method %s has no masks: pictures show the prediction alone", trained.config.method)
    if overlays is not None:
        overlays.mkdir(parents=True, exist_ok=True)
        if any(overlays.iterdir()):
            _LOG.warning("%s is not empty: what is there stays beside the new pictures", overlays)
    hidden = not _is_terminal(sys.stderr) or (output is None and _is_terminal(sys.stdout))
    digits = len(str(len(listed)))
    with _lines_to(output) as text, tqdm.tqdm(total=len(listed), unit="file", disable=hidden) as bar:
        text.write(answers.csv_head() if form == "csv" else "")
        for number, outcome in enumerate(outcomes(listed, trained, masks=drawn), start=1):
            text.write(answers.csv_line(outcome) if form == "csv" else answers.json_line(outcome))
            if outcome.error:
                failed += 1
                with keeping_stderr():
                    bar.write(shown(f"error: {outcome.error}"), file=sys.stderr)
            elif overlays is not None:
                _write_overlay(outcome, overlays, f"{number:0{digits}}", answers)
            if gallery is not None:
                gallery.add(outcome)
            bar.update()
            bar.set_postfix(failed=failed, refresh=False)
    if gallery is not None and html is not None:
        gallery.write(html, title=f"{workdir}, method {trained.config.method}, seed {trained.config.seed}")
    _LOG.info("%d of %d files predicted, %d could not be read", len(listed) - failed, len(listed), failed)
    return failed
