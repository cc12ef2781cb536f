"""Losses, measures and records of each task against values worked out by hand."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.config import default_config
from bginv_jax.data.dataset import Description
from bginv_jax.errors import InputError
from bginv_jax.tasks.classification import CLASSIFICATION, classification
from bginv_jax.tasks.q_learning import q_learning
from bginv_jax.tasks.registry import TASKS
from bginv_jax.tasks.regression import regression
from tests.methods.toys import SQUARES


def test_classification_loss_and_hits():
    logits, labels = jnp.array([[0.0, jnp.log(3.0)], [2.0, 0.0]]), jnp.array([0, 0])
    np.testing.assert_allclose(CLASSIFICATION.loss(logits, labels), [np.log(4), np.log1p(np.exp(-2))], rtol=1e-6)
    assert CLASSIFICATION.measures(logits, labels)["accuracy"].tolist() == [False, True]
    metrics = CLASSIFICATION.metrics(logits, labels)
    assert metrics["loss"] == pytest.approx((np.log(4) + np.log1p(np.exp(-2))) / 2, rel=1e-6)
    assert metrics["accuracy"] == 0.5


def test_smoothed_labels_by_hand():
    logits = jnp.array([[0.0, jnp.log(3.0), 0.0]])  # probabilities 0.2, 0.6, 0.2
    expected = -(0.9 + 0.1 / 3) * np.log(0.2) - 0.1 / 3 * (np.log(0.6) + np.log(0.2))
    task = classification(smoothing=0.1)
    np.testing.assert_allclose(task.loss(logits, jnp.array([0])), [expected], rtol=1e-6)
    assert task.measures(logits, jnp.array([1]))["accuracy"].tolist() == [True]


def test_a_record_of_hits_counts_them():
    hits = np.array([True, False, True, True])
    assert CLASSIFICATION.record({"accuracy": hits}) == {"correct": 3, "count": 4, "accuracy": 75.0}


def test_an_accuracy_of_any_task_is_recorded_in_percent():
    record = SQUARES.record({"accuracy": np.array([True, False, True, True]), "error": np.array([0, 1, 0, 0])})
    assert record == {"count": 4, "accuracy": 75.0, "error": 0.25}


def test_predicted_classes_are_told_by_name():
    assert classification(("bag", "shoe")).describe(np.array([[1.0, 2.0], [3.0, 0.0]])) == ["shoe", "bag"]


@pytest.mark.parametrize("targets", [[1.0, 2.0], [[1.0], [2.0]]])
def test_regression_of_a_number_by_hand(targets):
    task = regression(np.shape(targets)[1:])
    outputs = jnp.array([[1.5], [-1.0]])
    assert task.outputs == 1
    np.testing.assert_allclose(task.loss(outputs, jnp.array(targets)), [0.125, 4.5])
    measures = task.measures(outputs, jnp.array(targets))
    np.testing.assert_allclose(measures["mean_absolute_error"], [0.5, 3.0])
    assert not task.larger_is_better
    record = task.record({name: np.asarray(values) for name, values in measures.items()})
    assert record == {"count": 2, "mean_absolute_error": 1.75}


def test_regression_of_several_numbers_by_hand():
    task = regression((2, 2))
    outputs, targets = jnp.array([[1.0, 2.0, 3.0, 4.0]]), jnp.array([[[1.0, 0.0], [2.0, 4.0]]])
    assert task.outputs == 4
    np.testing.assert_allclose(task.loss(outputs, targets), [0.5 * (4 + 1)])
    np.testing.assert_allclose(task.measures(outputs, targets)["mean_absolute_error"], [0.75])


def test_tasks_are_made_for_their_data():
    names = Description("toy", (2, 2, 1), 16, ("a", "b", "c"), 4, 4, "")
    numbers = Description("toy", (2, 2, 1), 16, (), 4, 4, "", target_shape=(5,))
    config = default_config()
    assert TASKS["classification"](config, names).outputs == 3
    assert TASKS["regression"](config, numbers).outputs == 5
    assert TASKS["regression"](config, names).outputs == 1  # labels are numbers, too
    with pytest.raises(InputError, match="config.task is 'classification', but data set toy has no classes"):
        TASKS["classification"](config, numbers)
    config.label_smoothing = 0.1
    with pytest.raises(InputError, match="config.label_smoothing is 0.1; allowed with config.task regression: 0.0"):
        TASKS["regression"](config, numbers)


def test_q_learning_by_hand():
    task = q_learning(("left", "right"))
    outputs = jnp.array([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]])
    targets = {"action": jnp.array([1, 0, 0]), "value": jnp.array([1.5, 0.5, 0.0])}
    # Errors 0.5, 0 and 3: half their square up to 1, then straight on, 3 - 0.5; 20 times that.
    np.testing.assert_allclose(task.loss(outputs, targets), [2.5, 0.0, 50.0])
    np.testing.assert_allclose(task.measures(outputs, targets)["value_error"], [0.5, 0.0, 3.0])
    assert task.describe(np.asarray(outputs)) == ["right", "left", "left"]
    assert (task.outputs, task.shown, task.larger_is_better) == (2, "share_of_best", True)


def test_q_learning_is_of_a_world_as_it_is_drawn():
    config = default_config()
    world = Description("world:catch", (32, 32, 1), 32, (), 10, 10, "0")
    assert TASKS["q_learning"](config, world).outputs == 3
    with pytest.raises(InputError, match="config.task is 'q_learning', but data set idx:x is no world:NAME"):
        TASKS["q_learning"](config, dataclasses.replace(world, name="idx:x"))
    with pytest.raises(InputError, match=r"make images of \(32, 32, 3\); .* pictures are of \(32, 32, 1\): 0 and 0"):
        TASKS["q_learning"](config, dataclasses.replace(world, shape=(32, 32, 3)))
    config.augment.flip = True
    with pytest.raises(InputError, match=r"config.augment.flip is True; allowed with config.task q_learning: False"):
        TASKS["q_learning"](config, world)


def test_a_margin_is_what_the_best_wrong_class_is_ahead_by():
    logits = jnp.array([[3.0, 1.0, 2.5], [3.0, 1.0, 2.5], [-1e9, 0.0, -4.0]])
    np.testing.assert_allclose(CLASSIFICATION.margin(logits, jnp.array([0, 1, 1])), [-0.5, 2.0, -4.0])
