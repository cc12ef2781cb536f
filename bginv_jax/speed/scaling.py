"""How fast the adversarial step is as the work grows: the points and the chart of `bginv_jax.scaling`."""

import logging
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from skimage.transform import resize

from bginv_jax import config as configs
from bginv_jax import files
from bginv_jax.data import sources
from bginv_jax.data.dataset import Dataset, Split
from bginv_jax.jax_settings import own_settings
from bginv_jax.speed import timing
from bginv_jax.training import devices as hardware

_LOG = logging.getLogger(__name__)

# What grows, from the first value of each, which is what the others stand at; and its name in the figure.
AXES = {
    "batch_size": ((64, 8, 16, 32, 128, 256, 1024, 4096), "batch size, images"),
    "size": ((32, 64, 128), "side of an image, pixels"),
    "seeds": ((1, 2, 4, 8), "seeds trained together"),
    "images": ((15000, 4000, 60000), "training images"),
}
FILES = ("scaling.jsonl", "scaling.png")
_USUAL = {name: values[0] for name, (values, _) in AXES.items()}
_SECONDS, _REPEATS = 1.0, 5


def _dataset(size: int, count: int) -> Dataset:
    digits = sources.load(configs.default_config().data)
    images = digits.train.images
    if size > 32:
        images = resize(images[:1000], (1000, size, size, 1), order=1, preserve_range=True).astype(np.uint8)
    places = np.arange(count)
    train = Split(images[places % len(images)], digits.train.targets[places % len(images)])
    return Dataset(f"mnist_5k at {size}", train, train, digits.class_names, train.images.shape[1:])


@own_settings()
def measure(*, batch_size: int, size: int, seeds: int, images: int) -> dict:
    """The record of one point: images/s over all seeds, the median of five blocks of a second."""
    config = configs.default_config()
    config.batch_size, config.seeds = batch_size, tuple(range(seeds)) if seeds > 1 else ()
    runner = timing.make_runner(config, _dataset(size, images), ("f", "f_b"))
    _, usual = timing.warm_up(runner.run)
    steps = max(1, round(_SECONDS / usual))
    times = [timing.seconds_per_step(runner.run, steps) for _ in range(_REPEATS)]
    return {
        "batch_size": batch_size,
        "size": size,
        "seeds": seeds,
        "images": images,
        "images_per_second": batch_size * seeds / float(np.median(times)),
        "gflop_per_second": runner.flop and runner.flop / float(np.median(times)) / 1e9,
    }


def picture(records: list[dict], path: Path) -> None:
    """Draws the records, one panel for what grows: images/s, and 32x32 pixels/s where the images grow."""
    figure = Figure(figsize=(11, 2.9), dpi=150, layout="constrained")
    highest = 0.0
    panels = figure.subplots(1, len(AXES), sharey=True)
    for axes, (name, (values, title)) in zip(panels, AXES.items(), strict=True):
        chosen = [r for r in records if all(r[other] == _USUAL[other] for other in AXES if other != name)]
        chosen.sort(key=lambda record: record[name])
        places = [record[name] for record in chosen]
        rates = [record["images_per_second"] for record in chosen]
        if name == "size":
            rates = [rate * (place / 32) ** 2 for rate, place in zip(rates, places, strict=True)]
        highest = max([highest, *rates])
        axes.plot(places, rates, "o-", color="black", linewidth=1, markersize=4)
        axes.set_xscale("log", base=2)
        axes.set_xticks(sorted(values), [str(value) for value in sorted(values)], fontsize=7, rotation=45)
        axes.minorticks_off()
        axes.set_xlabel(title)
        axes.grid(color="0.9")
    panels[0].set_ylabel("images of 32x32 pixels/s")
    panels[0].set_ylim(0, 1.1 * highest)
    with files.replacing(path) as whole:
        figure.savefig(whole)


def write(output: Path) -> None:
    """Measures every point and writes scaling.jsonl and scaling.png to the folder `output`."""
    output = files.check_folder(output, field="output", files=FILES)
    points = [_USUAL] + [_USUAL | {name: value} for name, (values, _) in AXES.items() for value in values[1:]]
    records = []
    for point in points:
        records.append(measure(**point) | {"backend": hardware.local()[0].platform, "devices": len(hardware.local())})
        files.write_json_lines(output / "scaling.jsonl", records)  # what was measured stays, if it is interrupted
        _LOG.info("%s: %.0f images/s", point, records[-1]["images_per_second"])
    picture(records, output / "scaling.png")
    print(f"written: {output / 'scaling.jsonl'}, {output / 'scaling.png'}")
