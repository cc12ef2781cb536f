"""A trained workdir as a folder that others use without this package: programs, weights, facts and a model card."""

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from safetensors.numpy import save

from bginv_jax import config as configs
from bginv_jax import files
from bginv_jax.data.dataset import Description
from bginv_jax.errors import InputError, first_line
from bginv_jax.evaluation import model_card, scoring
from bginv_jax.evaluation.predictors import Trained, find_workdir, load_trained
from bginv_jax.evaluation.records import is_score, of_seed
from bginv_jax.images.pixels import crop_to, pad_to
from bginv_jax.jax_settings import own_settings
from bginv_jax.methods.contract import Networks
from bginv_jax.networks.averaging import predicting
from bginv_jax.training import provenance

PREDICT, MASK, WEIGHTS, MODEL, CARD = FILES = (
    "predict.jax_export",
    "mask.jax_export",
    "weights.safetensors",
    "model.json",
    "README.md",
)
PLATFORMS = ("cpu", "cuda")
_FORMAT = "bginv_jax export"

_LOG = logging.getLogger(__name__)


def to_program(apply: Callable, networks: Networks, description: Description, *, cropped: bool = False) -> bytes:
    """A network with its weights as a program of `jax.export`, for any batch of at least one image.

    Args:
      apply: (networks, padded images) -> outputs (N, ...), or with `cropped` (N, S, S, C).
      networks: its variables by name.
      description: of the data of training.
      cropped: whether outputs are images, cut back to the native size.

    Returns:
      What `jax.export.deserialize` takes: images (N, H, W, C), float32 in [0, 1], native size -> outputs, float32.
    """

    def program(images: jax.Array) -> jax.Array:
        outputs = apply(networks, pad_to(images, description.size)).astype(jnp.float32)
        return crop_to(outputs, description.shape[:2]) if cropped else outputs

    (batch,) = export.symbolic_shape("batch")
    images = jax.ShapeDtypeStruct((batch, *description.shape), jnp.float32)
    return bytes(export.export(jax.jit(program), platforms=PLATFORMS)(images).serialize())


def _check_own(output: Path) -> None:
    """Refuses a folder where files of these names are somebody else's, such as the README.md of a project."""
    model, there = output / MODEL, [name for name in FILES if (output / name).exists()]
    ours = model.is_file() and f'"format": "{_FORMAT}' in model.read_text(encoding="utf-8", errors="replace")
    if there and not ours:
        raise InputError(
            f"output is {str(output)!r}, whose {' and '.join(there)} no export wrote; expected another folder"
        )


def _programs(trained: Trained, networks: Networks) -> dict[str, bytes]:
    """The programs by the names of their files.

    Raises:
      InputError: if a network of the user's own must know how many images there are.
    """
    method, description, own = trained.method, trained.description, ":" in trained.config.classifier
    try:
        programs = {PREDICT: to_program(method.predict, networks, description, cropped=method.task.on_pixels)}
    except (TypeError, ValueError) as error:  # of shapes: JAX's own are of these kinds
        if not own:
            raise
        raise InputError(
            f"network {trained.config.classifier} cannot be exported for any number of images ({first_line(error)}); "
            "expected one that does not ask for it: x.reshape(x.shape[0], -1), not x.reshape(len(x), -1)"
        ) from error
    if method.predict_mask is not None:
        programs[MASK] = to_program(method.predict_mask, networks, description, cropped=True)
    return programs


def by_path(tree: Mapping[str, Any], prefix: str = "") -> dict[str, np.ndarray]:
    """Nested variables as arrays by their path: "f/params/Dense_0/kernel"."""
    flat: dict[str, np.ndarray] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= by_path(value, f"{prefix}{name}/")
        else:
            flat[prefix + name] = np.asarray(value, order="C")
    return flat


def facts(trained: Trained) -> dict[str, Any]:
    """What others have to know of a model, as JSON values."""
    description, config = trained.description, trained.config
    height, width, channels = description.shape
    top, left = (description.size - height) // 2, (description.size - width) // 2
    return {
        "format": f"{_FORMAT}, version 1",
        "method": config.method,
        "task": config.task,
        "classes": list(description.class_names or description.pixel_classes),
        "outputs": {"count": trained.method.task.outputs, "meaning": trained.method.task.meaning},
        "input": {
            "shape": [height, width, channels],
            "dtype": "float32",
            "layout": "NHWC",
            "range": [0.0, 1.0],
            "normalisation": "pixels of 0 to 255 are divided by 255; nothing is subtracted",
            "fit": config.data.fit,
        },
        "padding": {
            "size": description.size,
            "top": top,
            "left": left,
            "bottom": description.size - height - top,
            "right": description.size - width - left,
            "value": 0.0,
            "by": f"{PREDICT} and {MASK} themselves; whoever applies {WEIGHTS} pads first",
        },
        "seed": config.seed,
        "steps": trained.steps,
        "data": description.to_json(),
        "config": {name: value for name, value in configs.flatten(config).items() if name != "seeds"},
        "origin": trained.origin,
        "exported": provenance.describe(),
        "platforms": list(PLATFORMS),
    }


def find_scores(
    workdir: Path,
    trained: Trained,
    *,
    source: str | None = None,
    folder: str | None = None,
    masks: Sequence[str] | None = None,
    score: bool = True,
) -> tuple[list[dict], str]:
    """The records of a workdir's seed, and in words where they come from, or why there are none.

    Scored now, where the data can be read; else those that `evaluate` wrote to the workdir.

    Raises:
      InputError: if `source`, `folder` or `masks` are given and cannot be read.
    """
    reason = "scoring was not asked for"
    if score:
        try:
            (run,) = scoring.load([workdir], source=source, folder=folder, masks=masks)
            run = run._replace(seeds=[trained])
            records = scoring.score(run) + scoring.score_tests(run)
            same = run.dataset.description.sha256 == trained.description.sha256
            changed = "" if same else ", which are not the data of training"
            return records, f"scored by the export on the test images of {run.dataset.name}{changed}"
        except InputError as error:
            if source is not None or folder is not None or masks is not None:
                raise
            reason = str(error)
            _LOG.warning("not scored: %s", reason)
    path = workdir / "results.jsonl"
    fields = {"dataset": str, "method": str, "seed": int, "background": str}
    records = files.read_json_lines(path, fields=fields) if path.is_file() else []
    own = of_seed(records, trained.description.name, trained.config.method, trained.config.seed)
    records = [one for one in own if is_score(one) and one.get("steps", trained.steps) == trained.steps]
    if len(records) < len(own):
        passed = len(own) - len(records)
        _LOG.warning("%s: %d records are no scores of step %d, and passed over", path, passed, trained.steps)
    return records, "as evaluate wrote them to the workdir's results.jsonl" if records else reason


@own_settings()
def write(
    workdir: str | os.PathLike[str],
    output: Path,
    *,
    seed: int | None = None,
    source: str | None = None,
    folder: str | None = None,
    masks: Sequence[str] | None = None,
    score: bool = True,
) -> list[str]:
    """Writes the folder `output` and returns the names of its files.

    Args:
      workdir, seed: as `predictors.load_predictor`.
      output: made where it is missing; files of an earlier export are replaced.
      source, folder: as config.data.source and config.data.dir, to score on other data, or where they have moved.
      masks: as config.data.masks.
      score: whether to score.

    Raises:
      InputError: for a wrong workdir, seed or data set, and for an output that holds files of these names which no
        export wrote.
    """
    output = files.check_folder(output, field="output", files=FILES)
    _check_own(output)
    trained = load_trained(workdir, seed=seed)
    networks = {name: predicting(variables) for name, variables in trained.networks.items()}
    contents = _programs(trained, networks)  # known before minutes of scoring
    records, scored = find_scores(
        find_workdir(workdir), trained, source=source, folder=folder, masks=masks, score=score
    )
    contents[WEIGHTS] = save(by_path(networks), metadata={"format": "bginv_jax", "method": trained.config.method})
    model = facts(trained) | {
        "files": {name: {"sha256": hashlib.sha256(content).hexdigest()} for name, content in contents.items()},
        "scores": {"how": scored, "records": records},
    }
    contents[MODEL] = (files.as_text(files.to_json(model, indent=2)) + "\n").encode()
    contents[CARD] = files.as_text(model_card.render(trained, model, records, scored)).encode()
    with files.naming(output):
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output, prefix=".") as folder_of_all:
            for name, content in contents.items():
                Path(folder_of_all, name).write_bytes(content)
            for name in (MODEL, *(name for name in contents if name != MODEL)):  # first what says that it is an export
                os.replace(Path(folder_of_all, name), output / name)
    for name in FILES:
        if name not in contents:  # of an earlier export of another method
            (output / name).unlink(missing_ok=True)
    return list(contents)
