"""The page stands alone, is well formed, escapes what it is given and holds what it should."""

import base64
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from skimage import io

from bginv_jax import config as configs
from bginv_jax.backgrounds.patterns import BACKGROUNDS
from bginv_jax.data.dataset import Dataset, Description, Split
from bginv_jax.evaluation import page, predictors, scoring

_VOID = {"meta", "img"}


class _Reader(HTMLParser):
    """Checks that elements close in order, and collects images, tables and text."""

    def __init__(self):
        super().__init__()
        self.open, self.images, self.cells, self.links, self.text = [], [], [], [], ""

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.links += [value for name, value in attributes.items() if name in ("src", "href", "action", "data")]
        if tag == "img":
            self.images.append(attributes)
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.text += text
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(text)


@pytest.fixture
def page_and_png(tmp_path):
    config = configs.default_config()
    config.method, config.schedule, config.steps, config.data.source = "vanilla", ("f:1",), 100, "idx:<b>&'x'"
    name, shape = "idx:<script>alert(1)</script>", (28, 28, 1)
    description = Description(name, shape, 32, ("a",), train_count=640, test_count=1, sha256="abc123")
    origin = {"command": "train --x='<&>'", "commit": "1234567", "versions": {"jax": "9.9"}, "devices": "3 cpu"}
    seeds = []
    for seed in (3, 5):
        own = config.copy_and_resolve_references()
        own.seed = seed
        seeds.append(predictors.Trained(None, {}, own, description, origin, 100))
    split = Split(np.zeros((1, 32, 32, 1), np.uint8), np.zeros(1, np.int32))
    runs = [scoring.TrainedRun(Path("runs/<i>mine</i>"), seeds, Dataset(name, split, split, ("a",), shape))]
    records = [
        {
            "dataset": name,
            "method": "vanilla",
            "seed": seed,
            "background": background,
            "correct": 7,
            "count": 10,
            "accuracy": 70.0 + seed,
        }
        for seed in (3, 5)
        for background in BACKGROUNDS
    ]
    io.imsave(tmp_path / "figure1.png", np.arange(64, dtype=np.uint8).reshape(8, 8), check_contrast=False)
    (tmp_path / "results.jsonl").write_text("{}")
    pictures = [tmp_path / "figure1.png", tmp_path / "results.jsonl"]
    return page.render(runs, records, pictures), (tmp_path / "figure1.png").read_bytes()


def test_it_is_well_formed_and_needs_nothing_from_elsewhere(page_and_png):
    text, png = page_and_png
    reader = _Reader()
    reader.feed(text)
    assert reader.open == []
    assert [link[:22] for link in reader.links] == ["data:image/png;base64,"]
    assert "url(" not in text
    assert "@import" not in text
    assert base64.b64decode(reader.images[0]["src"][22:]) == png
    assert reader.images[0]["alt"]


def test_it_holds_the_table_config_seeds_versions_commit_and_commands(page_and_png):
    reader = _Reader()
    reader.feed(page_and_png[0])
    assert reader.cells[:8] == ["Accuracy (%)", *(name.capitalize() for name in BACKGROUNDS)]
    assert reader.cells[9:16] == ["74.0±1.4"] * 7
    assert reader.cells[17:24] == ["97.3", "38.0", "24.3", "61.4", "32.9", "19.7", "11.2"]
    for fact in (
        "seeds: 3, 5",
        "jax 9.9",
        "commit: 1234567",
        "command: train --x='<&>'",
        "steps: 100 of 100",
        "rate.f_m: 0.001",
        "method: vanilla",
        "data.source: idx:<b>&'x'",
        "abc123",
        "3 cpu",
    ):
        assert fact in reader.text


def test_what_it_is_given_is_escaped(page_and_png):
    for markup in ("<script", "<b>", "<i>"):
        assert markup not in page_and_png[0]


def test_several_test_sets_have_a_table_of_their_own(page_and_png):
    assert "Test sets, as they are" not in page_and_png[0]  # its records say no mean over classes
    record = {"dataset": "<i>d</i>", "method": "vanilla", "seed": 0, "background": "none", "count": 8}
    records = [
        record | {"accuracy": 50.0, "mean_class_accuracy": 40.0},
        record | {"accuracy": 25.0, "mean_class_accuracy": 20.0, "test": "field"},
    ]
    reader = _Reader()
    reader.feed(page.render([], records, []))
    assert reader.open == []
    assert reader.cells[:4] == ["Test set", "Images", "Accuracy (%)", "Mean over classes (%)"]
    assert reader.cells[4:8] == ["Vanilla CNN, <i>d</i>: test", "8", "50.0", "40.0"]
    assert reader.cells[8:] == ["Vanilla CNN, <i>d</i>: field", "8", "25.0", "20.0"]
