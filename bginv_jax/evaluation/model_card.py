"""The model card of an export: what it was trained on, how it scores, what it is for and how it is loaded."""

from collections.abc import Sequence
from typing import Any

from bginv_jax.evaluation.names import in_code, in_markdown
from bginv_jax.evaluation.predictors import Trained
from bginv_jax.evaluation.records import heading, larger_is_better, measure_of, number, title, unit_of, value

_NAMED = 100  # classes; the rest are in model.json

_LOADING = '''```python
import json
from pathlib import Path

import jax.export
import numpy as np
from PIL import Image, ImageOps

folder = Path(".")  # where this file is
model = json.loads((folder / "model.json").read_text(encoding="utf-8"))
height, width, channels = model["input"]["shape"]


def load(program):
    """A function of images (N, height, width, channels), float32 in [0, 1], N of at least 1."""
    return jax.export.deserialize(bytearray((folder / program).read_bytes())).call


def read(path):
    """A picture file as one image, fitted as in training: upright, white behind what is transparent."""
    picture = Image.open(path)
    if picture.format != "MPO" and getattr(picture, "n_frames", 1) > 1:
        raise ValueError(f"{path} has several frames or pages; save one of them")
    picture = ImageOps.exif_transpose(picture)
    if picture.mode[0] in "IF":
        raise ValueError(f"{path} has more than eight bits a channel; save it with eight")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    picture = picture.convert("L" if channels == 1 else "RGB")
{fitting}
    return np.asarray(picture, np.float32).reshape(1, height, width, channels) / 255


predict = load("predict.jax_export")
outputs = np.asarray(predict(np.zeros((2, height, width, channels), np.float32)))
```'''

# By config.data.fit, as `images.fitting.fit_picture`.
_FITTING = {
    "stretch": "    picture = picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)",
    "crop": """    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    picture = picture.crop((left, top, left + side, top + side))
    picture = picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)""",
    "pad": """    pixels = np.asarray(picture).reshape(picture.height, picture.width, channels)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    colour = tuple(int(one) for one in np.median(border, axis=0))
    colour = colour if channels == 3 else colour[0]
    scale = height / max(picture.size)
    inside = tuple(max(1, round(scale * side)) for side in picture.size)
    inner = picture.resize(inside, Image.Resampling.BILINEAR, reducing_gap=3.0)
    picture = Image.new(picture.mode, (width, height), colour)
    picture.paste(inner, ((width - inner.width) // 2, (height - inner.height) // 2))""",
}

_WEIGHTS = """```python
from safetensors.numpy import load_file

weights = load_file(folder / "weights.safetensors")
shapes = {name: array.shape for name, array in weights.items()}
```"""


def worst_first(records: Sequence[dict]) -> list[dict]:
    """Records by what they show, the worst first."""
    return sorted(records, key=value, reverse=not larger_is_better(records))


def _name(record: dict) -> str:
    return in_markdown(f"test set {record['test']}, as it is" if "test" in record else record["background"])


def _scores(records: Sequence[dict], scored: str) -> list[str]:
    if not records:
        return [f"Not scored: {in_markdown(scored)}. `python -m bginv_jax.export` scores where the data can be read."]
    measure, unit, ordered = measure_of(records), unit_of(records), worst_first(records)
    shown = in_markdown(heading(records))
    rows = [
        f"| {_name(one)} | {number(value(one), measure, unit)} | {in_markdown(one.get('count', ''))} |"
        for one in ordered
    ]
    worst, best = ordered[0], ordered[-1]
    table = "\n".join([f"| Background | {shown} | Images |", "| --- | ---: | ---: |", *rows])
    if all(one["background"] == "none" for one in records):
        return [
            f"Test images as they are, the worst first; {in_markdown(scored)}. They were set before no other "
            "background: what one would change was not measured.",
            table,
        ]
    return [
        f"Test images before each background, the worst first; {in_markdown(scored)}.",
        table,
        f"Between the worst ({_name(worst)}) and the best ({_name(best)}) lie "
        f"{number(abs(value(best) - value(worst)), measure, unit)}{' points' if measure == 'accuracy' else ''}.",
    ]


def _origin(origin: dict) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in origin.get("versions", {}).items())
    known = {"command": origin.get("command"), "commit": origin.get("commit"), "devices": origin.get("devices")}
    lines = {name: text for name, text in (known | {"versions": versions}).items() if text}
    return "\n".join(in_code(f"{name}: {text}") for name, text in lines.items()) or in_code("not recorded")


def _training(trained: Trained) -> list[str]:
    data, config = trained.description, trained.config
    height, width, channels = data.shape
    lines = [
        f"- data: {in_markdown(data.name)}, {data.train_count} images to train and {data.test_count} to test, SHA-256 "
        f"`{data.sha256}`",
        f"- images: {height}x{width}x{channels} (height, width, channels), padded to {data.size}x{data.size}",
        f"- method: {title(config.method)} (`{config.method}`), network `{config.classifier}`, seed {config.seed}, "
        f"{trained.steps} of {config.steps} steps, batches of {config.batch_size}",
    ]
    if trained.method.paint is not None:
        pictured = ", ".join(config.background.families) or ("photographs" if data.photographs else "")
        beside = f", and for {100 * config.background.pictured_share:g} % of each batch: {pictured}" if pictured else ""
        lines.append(f"- backgrounds in training: {config.background.kind}{beside}")
    if classes := data.class_names or data.pixel_classes:
        names = ", ".join(map(in_markdown, classes[:_NAMED]))
        more = f" and {len(classes) - _NAMED} more" if len(classes) > _NAMED else ""
        lines.append(f"- {len(classes)} classes{' of pixels' if data.pixel_classes else ''}: {names}{more}")
    return lines


def _limits(trained: Trained) -> list[str]:
    lines = [
        "- The scores are of the backgrounds in the table and of test images like those of training. Other objects, "
        "cameras, lighting and damage were not measured.",
        "- An image of something that is none of the classes gets one of them all the same; the probabilities were not "
        "calibrated."
        if trained.description.class_names
        else "- Outputs far from the targets of training were not measured.",
        "- It was not made for decisions about people, nor for any where a mistake does harm.",
    ]
    if trained.method.predict_mask is not None and trained.config.mask.kind == "learned":
        lines.append("- Masks were learned without any that is true; they are what helps the classifier.")
    return lines


def render(trained: Trained, model: dict[str, Any], records: Sequence[dict], scored: str) -> str:
    """The card as Markdown.

    Args:
      trained: what is exported.
      model: as `exporting.facts`, with "files".
      records: of scores, on any backgrounds.
      scored: where they come from, or why there are none.
    """
    data = trained.description
    masks = "mask.jax_export" in model["files"]
    task = trained.method.task
    places = "N, height, width" if task.on_pixels else "N"
    gives = f"{'logits' if data.class_names or data.pixel_classes else 'outputs'} ({places}, {task.outputs})"
    meaning = [f"Of the outputs: {in_markdown(task.meaning)}."] if task.meaning else []
    parts = [
        f"# {title(trained.config.method)} on {in_markdown(data.name)}",
        f"A network for {in_markdown(trained.config.task)} that was trained with bginv_jax: *Background Invariance by "
        "Adversarial Learning* (Cruz et al., ICPR 2020).",
        "## Scores",
        *_scores(records, scored),
        "## Training",
        "\n".join(_training(trained)),
        "## Intended use",
        "Images of the kind that it was trained on, whatever stands behind the object; research, comparisons, and "
        "programs whose users see and correct what it says.",
        "## Limits",
        "\n".join(_limits(trained)),
        "## How to load",
        f"`predict.jax_export` gives {gives}{', `mask.jax_export` masks (N, height, width, 1)' if masks else ''}, from "
        f"images of {data.shape[0]}x{data.shape[1]} pixels. They hold their weights, and run on "
        f"{' and '.join(model['platforms'])} with JAX {model['exported']['versions']['jax']} or one of the half year "
        f"after it. config.data.fit was `{model['input']['fit']}`.",
        *meaning,
        _LOADING.replace("{fitting}", _FITTING[model["input"]["fit"]]),
        "`weights.safetensors` holds the variables of every network by their path, for programs without JAX; images "
        "are padded first, as `padding` in `model.json` says.",
        _WEIGHTS,
        "`model.json` has classes, sizes, normalisation, the whole config, where all of it comes from, and the SHA-256 "
        "of each file.",
        "## Origin",
        "Trained by",
        _origin(trained.origin),
        "Exported by",
        _origin(model["exported"]),
    ]
    return "\n\n".join(parts) + "\n"
