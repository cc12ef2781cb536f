"""The table is drawn from records alone, and looks as it should to the letter."""

from pathlib import Path

import numpy as np
import pytest
from skimage import io

from bginv_jax.backgrounds.patterns import BACKGROUNDS
from bginv_jax.config import default_config
from bginv_jax.data.dataset import Description
from bginv_jax.evaluation import predictors
from bginv_jax.evaluation import table1 as report


def _records(method, seed, accuracies, dataset="mnist_5k", count=1000):
    return [
        {
            "dataset": dataset,
            "method": method,
            "seed": seed,
            "background": name,
            "correct": round(10 * accuracy),
            "count": count,
            "accuracy": accuracy,
        }
        for name, accuracy in zip(BACKGROUNDS, accuracies, strict=True)
    ]


VANILLA = _records("vanilla", 0, (98.1, 40.0, 25.5, 60.2, 33.3, 20.1, 10.0))
PROPOSAL = _records("proposal", 0, (98.5,) * 7)

TEXT = """\
Accuracy (%)                                 None  Stripes  Board  Border  Circles  Clock  Random
Vanilla CNN, mnist_5k (1000 images, 1 seed)  98.1     40.0   25.5    60.2     33.3   20.1    10.0
Vanilla CNN, poster (MNIST)                  97.3     38.0   24.3    61.4     32.9   19.7    11.2
Proposal, mnist_5k (1000 images, 1 seed)     98.5     98.5   98.5    98.5     98.5   98.5    98.5
Proposal, poster (MNIST)                     94.9     92.3   76.8    93.1     93.7   70.8    86.2"""

MARKDOWN = """\
| Accuracy (%) | None | Stripes | Board | Border | Circles | Clock | Random |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| Proposal, mnist_5k (1000 images, 2 seeds) | 98.0±0.7 | 97.0±1.4 | 9.0±0.0 | 9.0±0.0 | 9.0±0.0 | 9.0±0.0 | 9.0±0.0 |
| Proposal, poster (MNIST) | 94.9 | 92.3 | 76.8 | 93.1 | 93.7 | 70.8 | 86.2 |
"""


def test_text_to_the_letter_whatever_the_order_of_the_records():
    assert report.as_text(report.table(VANILLA + PROPOSAL)) == TEXT
    assert report.as_text(report.table((PROPOSAL + VANILLA)[::-1])) == TEXT


def test_markdown_of_two_seeds_to_the_letter():
    records = _records("proposal", 0, (97.5, 96.0, *(9.0,) * 5)) + _records("proposal", 1, (98.5, 98.0, *(9.0,) * 5))
    assert report.as_markdown(report.table(records)) == MARKDOWN
    row = report.rows(records)[0]
    assert row.means[:2] == (98.0, 97.0)
    assert row.deviations[0] == pytest.approx(np.sqrt(0.5))


def test_data_sets_stand_apart():
    rows = report.rows(
        PROPOSAL + _records("vanilla", 3, (90.0,) * 7, dataset="tfds:fashion_mnist", count=10_000) + VANILLA
    )
    assert [(row.dataset, row.method, row.count) for row in rows] == [
        ("mnist_5k", "vanilla", 1000),
        ("mnist_5k", "proposal", 1000),
        ("tfds:fashion_mnist", "vanilla", 10_000),
    ]


def test_missing_and_doubled_records_are_refused():
    with pytest.raises(ValueError, match="no records of mnist_5k, vanilla, seed 0 on clock, random"):
        report.as_text(report.table(VANILLA[:5]))
    with pytest.raises(ValueError, match="two records of mnist_5k, vanilla, seed 0"):
        report.as_text(report.table(VANILLA + VANILLA[:1]))


def test_picture_shows_the_seven_backgrounds(tmp_path):
    report.picture(VANILLA + PROPOSAL, tmp_path / "table1.png")
    picture = io.imread(tmp_path / "table1.png")[..., :3].mean(axis=-1) / 255
    height, width = picture.shape
    strip = picture[: int(0.4 * height), int(0.36 * width) :]
    means = [part.mean() for part in np.array_split(strip, 7, axis=1)]
    assert means[0] < min(means[1:])  # the plain digit is the darkest
    assert picture[int(0.6 * height) :].min() < 0.2  # and there is text below


def test_the_drawn_digit_leaves_room_for_a_background():
    digit = report.draw_digit()
    assert digit.shape == (32, 32)
    assert digit.dtype == np.float32
    assert digit.max() == 1
    assert 0.05 < digit.mean() < 0.15


def test_a_line_says_what_was_trained():
    config = default_config()
    config.schedule, config.steps, config.batch_size = ("f:100", "f_m:50", "f+f_b:50"), 200, 32
    seeds, description = [], Description("c", (28, 28, 1), 32, ("a",), train_count=1600, test_count=1, sha256="")
    for seed in (0, 7):
        config.seed = seed
        own = config.copy_and_resolve_references()
        seeds.append(predictors.Trained(None, {}, own, description, {}, 175))
    line = "c: proposal, seeds 0, 7; batch 32; epochs of 1600 images: f 2.00, f_m 1.00, f+f_b 0.50"
    assert report.run_line(Path("a/b/c"), seeds) == line
    assert report.overlaps([81.25, 70.0]) == "; IoU of masks and objects 81.2, 70.0 %"
    assert report.overlaps([]) == ""


def test_what_is_reproduced_is_said_of_each_figure():
    records = _records("vanilla", 0, (97.3, 41.0, 27.4, 61.4, 29.9, 19.7, 0.0))
    assert report.reproduced(records) == (
        "Vanilla CNN, ours less the poster's: within 3 points None +0.0, Stripes +3.0, Border +0.0, Circles -3.0, "
        "Clock +0.0; beyond Board +3.1, Random -11.2"
    )


def test_variants_have_the_mean_and_the_worst_of_the_six():
    cells = report.variants({"ours": PROPOSAL, "halo=0": _records("proposal", 0, (99.0, 90.0, 80.0, *(70.0,) * 4))})
    assert cells[0][-2:] == ["Mean of six", "Worst"]
    assert cells[1] == ["ours", *["98.5"] * 9]
    assert cells[2] == ["halo=0", "99.0", "90.0", "80.0", *["70.0"] * 4, "75.0", "70.0"]
    assert report.as_markdown([["a", "b"], ["1", "2"]]) == "| a | b |\n| --- | ---: |\n| 1 | 2 |\n"


def test_rate_curves_are_means_over_seeds(tmp_path, monkeypatch):
    records = [
        {"dataset": "mnist_5k", "method": method, "seed": seed, "rate": rate, "accuracy": 90 - 50 * rate + seed}
        for method in ("vanilla", "proposal")
        for seed in (0, 2)
        for rate in (1.0, 0.0, 0.5)
    ]
    drawn = []
    save = report.Figure.savefig
    monkeypatch.setattr(report.Figure, "savefig", lambda figure, path: drawn.append(figure) or save(figure, path))
    report.rate_picture(records, tmp_path / "rates.png")
    assert io.imread(tmp_path / "rates.png").std() > 10
    lines = drawn[0].axes[0].lines
    assert [line.get_label() for line in lines] == ["Vanilla CNN", "Proposal"]
    for line in lines:
        np.testing.assert_allclose(line.get_xydata(), [(0.0, 91.0), (0.5, 66.0), (1.0, 41.0)])
    assert lines[0].get_color() != lines[1].get_color()
    assert lines[0].get_marker() != lines[1].get_marker()
