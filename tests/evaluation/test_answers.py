"""Predictions as CSV, JSON and captions."""

import csv
import io
import json

import numpy as np
import pytest

from bginv_jax import config as configs
from bginv_jax.data.dataset import Description
from bginv_jax.evaluation.answers import Answers, Outcome
from bginv_jax.evaluation.predictors import Trained
from bginv_jax.methods.registry import make_method

NAMES = ('a "b", c', "ß\n日本", "=1")
CLASSES = Answers(NAMES, True, lambda values: [])
NUMBERS = Answers(("output_0", "output_1"), False, lambda values: [f"about {one.sum():.0f}" for one in values])
IMAGE = np.zeros((4, 4, 1), np.uint8)


def test_probabilities_are_the_softmax_of_logits_and_other_outputs_stay():
    logits = np.log([[0.5, 0.25, 0.25], [1e-30, 1, 1]])
    np.testing.assert_allclose(CLASSES.values(logits), [[0.5, 0.25, 0.25], [0, 0.5, 0.5]], atol=1e-6)
    np.testing.assert_array_equal(NUMBERS.values(np.array([[3, -4]])), [[3, -4]])
    assert NUMBERS.values(np.array([3.0, 4.0])).shape == (2, 1)  # of a task with one number


@pytest.mark.parametrize("file", ["plain.png", 'a,"b".png', "line\nbreak.png", "return\r.png", "日本/é.png"])
def test_a_csv_reader_gets_back_what_was_written(file):
    text = CLASSES.csv_head() + CLASSES.csv_line(Outcome(file, IMAGE, np.float32([0.125, 0.75, 0.125])))
    head, row = csv.reader(io.StringIO(text, newline=""))
    assert head == ["file", "class", *NAMES]
    assert row == [file, NAMES[1], "0.125", "0.75", "0.125"]
    assert "\r\n" not in text
    assert json.loads(CLASSES.json_line(Outcome(file, IMAGE, np.float32([0.125, 0.75, 0.125])))) == {
        "file": file,
        "class": NAMES[1],
        "probabilities": dict(zip(NAMES, [0.125, 0.75, 0.125], strict=True)),
    }


def test_a_class_that_is_called_as_a_column_has_one_of_its_own():
    answers = Answers(("class", "file", "p(x)"), True, lambda values: [])
    text = answers.csv_head() + answers.csv_line(Outcome("a.png", IMAGE, np.float32([0.125, 0.75, 0.125])))
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row == {"file": "a.png", "class": "file", "p(class)": "0.125", "p(file)": "0.75", "p(x)": "0.125"}


def test_a_name_that_is_no_text_is_escaped():
    name = b"\xff.png".decode("utf-8", "surrogateescape")
    line = CLASSES.csv_line(Outcome(name, IMAGE, np.float32([1, 0, 0])))
    assert line.startswith("\\xff.png,")
    line.encode("utf-8")
    assert json.loads(CLASSES.json_line(Outcome(name, error="x")))["file"] == "\\xff.png"


def test_what_could_not_be_read_has_no_line_in_csv_and_its_error_in_json():
    failed = Outcome("a.png", error="a.png: it is empty")
    assert CLASSES.csv_line(failed) == ""
    assert json.loads(CLASSES.json_line(failed)) == {"file": "a.png", "error": "a.png: it is empty"}


def test_outputs_of_another_task_have_numbers_and_no_class():
    outcome = Outcome("a.png", IMAGE, np.float32([1.5, np.inf]))
    assert NUMBERS.csv_head() + NUMBERS.csv_line(outcome) == "file,output_0,output_1\na.png,1.5,inf\n"
    assert json.loads(NUMBERS.json_line(outcome)) == {"file": "a.png", "outputs": {"output_0": 1.5, "output_1": None}}
    assert NUMBERS.captions(np.array([1.0, 2.0])) == ["about 3"]


@pytest.mark.parametrize(("shape", "names"), [((), ("output",)), ((2,), ("output_0", "output_1"))])
def test_a_task_says_what_its_outputs_are(shape, names):
    config = configs.default_config()
    config.task = "regression"
    description = Description("x", (12, 12, 1), 16, (), 1, 1, "", target_shape=shape)
    method = make_method(config, description)
    answers = Answers.of(Trained(method, {}, config, description, {}, 1))
    assert (answers.names, answers.classes) == (names, False)
    assert answers.captions(np.array([0.25, 2.0])[: len(names)])[0].startswith("[0.25")
    config.task = "classification"
    description = Description("x", (12, 12, 1), 16, NAMES, 1, 1, "")
    answers = Answers.of(Trained(make_method(config, description), {}, config, description, {}, 1))
    assert (answers.names, answers.classes) == (NAMES, True)


def test_captions_name_the_likeliest_first():
    answers = Answers(("a", "b", "c", "d"), True, lambda values: [])
    values = np.array([0.1, 0.6, 0.1, 0.2])
    assert answers.captions(values) == ["b 60.0 %", "d 20.0 %", "a 10.0 %"]
    assert answers.certainty(values) == 0.6
