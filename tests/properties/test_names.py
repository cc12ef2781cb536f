"""Names in any script, and hostile ones: in pages, tables, lines, logs, charts and the names of files."""

import csv
import io
import json
import logging
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bginv_jax import command_line, files
from bginv_jax import config as configs
from bginv_jax.backgrounds.patterns import BACKGROUNDS
from bginv_jax.data.dataset import Dataset, Description, Split
from bginv_jax.errors import InputError
from bginv_jax.evaluation import exporting, model_card, page, panels, prediction, scoring, table1, test_sets
from bginv_jax.evaluation.answers import Answers, Outcome
from bginv_jax.evaluation.gallery import Gallery
from bginv_jax.evaluation.names import in_markdown, shown
from bginv_jax.evaluation.predictors import Trained
from bginv_jax.methods.registry import make_method
from tests.properties.cases import COUNTS, attempt, check_message, times
from tests.properties.damage import names

VOID = {"meta", "img", "br", "hr"}
KNOWN = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "table", "tr", "th", "td", "pre", "img"),
    *("details", "summary", "ul", "li", "main", "figure", "figcaption", "b", "span"),
}
IMAGE = np.zeros((12, 12, 1), np.uint8)


class _Page(HTMLParser):
    """Refuses elements and attributes that the project does not write, and whatever loads anything."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attributes):
        assert tag in KNOWN, tag
        for name, value in attributes:
            assert name in {"alt", "src", "class", "lang", "charset", "content", "http-equiv", "name", "loading"}, name
            assert name != "src" or re.fullmatch(r"data:image/(png|jpeg|gif);base64,[A-Za-z0-9+/=]*", value)
        self.open += [] if tag in VOID else [tag]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_comment(self, text):
        raise AssertionError(text)

    def handle_data(self, text):
        assert self.open[-1:] == ["style"] or text.replace("\n", "").isprintable()


def check_page(text):
    """A page is whole, holds no other elements than ours, and forbids a browser to load anything."""
    reader = _Page()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    style = re.search("<style>(.*?)</style>", text, re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in text
    text.encode("utf-8")


def _trained(name, classes, workdir="run"):
    config = configs.default_config()
    config.method, config.schedule, config.data.source = "vanilla", ("f:1",), f"folder:{name}"
    values = Description("x", (12, 12, 1), 16, ("a",), 48, 21, "0").to_json()
    description = Description.from_json({**values, "name": name, "class_names": [*classes, "b", "c"]})
    origin = {"command": f"train {name}", "commit": f"1{name}", "versions": {name: name}, "devices": f"1{name}"}
    return Trained(make_method(config, description), {}, config, description, origin, 9)


def _records(dataset, test):
    head = {"dataset": dataset, "method": "vanilla", "seed": 0, "correct": 1, "count": 2, "accuracy": 50.0}
    table = [{**head, "background": name, "mean_class_accuracy": 50.0} for name in BACKGROUNDS]
    return [*table, {**head, "background": "none", "mean_class_accuracy": 40.0, "test": test}]


@given(names(), names(), names())
@times(1)
@example("<script>", '"><img src=x>', "\0")
def test_pages_hold_nothing_that_a_name_writes(folder, name, label, file):
    def render():
        trained = _trained(name, [label])
        split = Split(np.zeros((1, 16, 16, 1), np.uint8), np.zeros(1, np.int32))
        dataset = Dataset(name, split, split, trained.description.class_names, (12, 12, 1))
        run = scoring.TrainedRun(Path(file or "x"), [trained], dataset)
        check_page(files.as_text(page.render([run], _records(name, label), [])))
        gallery = Gallery(Answers.of(trained), count=3)
        gallery.add(Outcome(file, IMAGE, np.array([0.6, 0.3, 0.1])))
        gallery.add(Outcome(file, error=f"{file}: {label}"))
        gallery.write(folder / "gallery.html", title=f"{name}, {label}")
        check_page((folder / "gallery.html").read_text(encoding="utf-8"))
        return True

    assert attempt("names in pages", render)


def _plain(markdown):
    """What is left of Markdown's text where no letter that is markup stands without a backslash."""
    assert not re.search(r"(?<!\\)(\\\\)*[`*{}\[\]<>#|~$&@]", markdown), markdown
    assert not re.search(r"(?<!\\)(\\\\)*(?<=www)\.|(?<!\\)://", markdown), markdown
    return re.sub(r"\\(.)", r"\1", markdown)


@given(names(), names())
@times(1)
def test_tables_and_cards_in_markdown_keep_their_form(name, label):
    def render():
        assert _plain(in_markdown(name)) == shown(" ".join(name.split()))
        records = _records(shown(name), label)
        for cells in (table1.table(records), test_sets.table(records)):
            lines = table1.as_markdown(cells).splitlines()
            assert len(lines) == len(cells) + 1
            heads = {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in lines}
            assert heads == {len(cells[0]) + 1}
            assert len(table1.as_text(cells).splitlines()) == len(cells)
        trained = _trained(name, [label])
        model = exporting.facts(trained) | {"files": {}}
        card = files.as_text(model_card.render(trained, model, _records(name, label), label))
        sound = model_card.render(_trained("x", ["a"]), model, _records("x", "y"), "z")
        for pattern in ("^#", "^```", "^-", r"^\|", "^    "):
            found, expected = (len(re.findall(pattern, text, re.MULTILINE)) for text in (card, sound))
            assert found == expected, pattern
        text = re.sub("(?m)^    .*|^```[^`]*^```", "", card)  # where everything stands as it is
        assert not re.search(r"(?<!\\)(\\\\)*<", text)
        return True

    assert attempt("names in Markdown", render)


@given(names(), names())
@times(1)
def test_lines_of_csv_and_json_hold_any_name(name, label):
    def read():
        answers = Answers.of(_trained("x", [label]))
        outcome = Outcome(name, IMAGE, np.array([0.6, 0.3, 0.1]))
        lines = answers.csv_head() + answers.csv_line(outcome)
        head, line = csv.reader(io.StringIO(lines, newline=""))
        assert (line[0], line[1], len(line)) == (files.as_text(name), head[2], len(head))
        for one in (outcome, Outcome(name, error=f"{name}: {label}")):
            (text,) = answers.json_line(one).splitlines()
            assert json.loads(text)["file"] == files.as_text(name)
        return True

    assert attempt("names in lines", read)


@given(names(), st.integers(0, 9))
@times(1)
def test_a_picture_is_written_nowhere_else(folder, name, number):
    place = folder / "outer" / "overlays"
    place.mkdir(parents=True, exist_ok=True)

    def write():
        answers = Answers.of(_trained("x", [name]))
        outcome = Outcome(f"in/{name}.png", IMAGE, np.array([0.6, 0.3, 0.1]))
        prediction._write_overlay(outcome, place, f"{number}", answers)
        (written,) = place.iterdir()
        assert written.name.isprintable()
        assert len(written.name.encode()) < 200
        written.unlink()
        return True

    assert attempt("names of files", write)
    assert [path.name for path in (folder / "outer").iterdir()] == ["overlays"]
    assert {path.name for path in folder.iterdir()} <= {"outer", "gallery.html", "chart.png"}


@given(names(), names())
@times(0.1)
def test_charts_draw_any_name(folder, name, label):
    def draw():
        table1.picture(_records(shown(name), label), folder / "chart.png")
        drawn, axes = panels.grid(1, 2)
        panels.bars(np.full((1, 6), 0.2), np.zeros(1, int), [label, name, *"abcd"])(axes[0, 0], 0)
        panels.texts([name])(axes[0, 1], 0)
        drawn.savefig(folder / "chart.png")
        return True

    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks
        assert attempt("names in charts", draw)


@given(names(), names())
@times(1)
def test_messages_and_logs_are_lines(name, label):
    COUNTS["names in messages"].cases += 1
    check_message(str(InputError(f"{name}: {label}\n{name}")))
    record = logging.LogRecord("bginv_jax", logging.INFO, "", 0, "%s: %s", (name, label), None)
    assert command_line._OneLine("%(message)s").format(record).isprintable()
    assert shown(name).isprintable()


@pytest.mark.parametrize("name", ["\ud800", "a\udcffb", "x\ud83dy"])
def test_text_with_any_surrogates_is_written(tmp_path, name):
    files.write_text(tmp_path / "a.txt", name)
    assert (tmp_path / "a.txt").read_text(encoding="utf-8").isascii()
