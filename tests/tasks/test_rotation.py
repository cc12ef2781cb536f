"""Loss, measures and records of an angle by hand; which way targets turn, on bars that are drawn; predictions told."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax.config import default_config
from bginv_jax.data.angles import turn
from bginv_jax.data.dataset import Description
from bginv_jax.errors import InputError
from bginv_jax.evaluation import scoring
from bginv_jax.images.augment import draw_moves, resample
from bginv_jax.tasks import rotation
from bginv_jax.tasks.contract import join
from bginv_jax.tasks.registry import TASKS

TASK = rotation.rotation()
HALF = np.sqrt(0.5)
SIZE = 32


def bar(row_step, column_step):
    """A bar from the centre of 32x32 pixels towards one side: uint8 (1, 32, 32, 1)."""
    image = np.zeros((1, SIZE, SIZE, 1), np.uint8)
    for i in range(1, 12):
        for pixel in (15, 16):
            row = 15.5 + row_step * i if row_step else pixel
            column = 15.5 + column_step * i if column_step else pixel
            image[0, int(row), int(column)] = 255
    return image


def direction(image, origin=(0.0, 0.0)):
    """Where the centre of gravity lies as seen from the origin, degrees counter-clockwise from up."""
    weights = image[..., 0].astype(float)
    row, column = np.indices(weights.shape) - (SIZE - 1) / 2
    row, column = ((weights * places).sum() / weights.sum() for places in (row - origin[0], column - origin[1]))
    return np.rad2deg(np.arctan2(-column, -row))


def test_the_loss_is_half_the_squared_distance_of_sine_and_cosine_scaled():
    outputs = jnp.array([[0.0, 1.0], [1.0, 0.0], [0.6, 0.0]])
    # Of 90 degrees off sqrt(2) apart; of (0.6, 0) to (1, 0) 0.4.
    np.testing.assert_allclose(TASK.loss(outputs, jnp.array([0.0, 0.0, 90.0])), [0, 25, 0.5 * 25 * 0.16], atol=1e-5)


@pytest.mark.parametrize(
    ("output", "target", "error"),
    [
        ((HALF, HALF), 45.0, 0.0),
        ((HALF, HALF), 30.0, 15.0),
        ((-2 * HALF, 2 * HALF), 30.0, -75.0),  # of any length
        ((0.0, -1.0), -170.0, -10.0),  # 180 is also -180
        ((np.sin(np.deg2rad(-175)), np.cos(np.deg2rad(-175))), 175.0, 10.0),
    ],
)
def test_errors_in_degrees_are_the_shorter_way_round(output, target, error):
    outputs, targets = np.array([output], np.float32), np.array([target], np.float32)
    np.testing.assert_allclose(rotation.errors(outputs, targets), [error], atol=1e-4)
    np.testing.assert_allclose(TASK.measures(outputs, targets)["mean_absolute_error"], [abs(error)], atol=1e-4)


def test_a_record_has_the_mean_error_and_r_squared_by_hand():
    outputs = np.asarray(rotation.directions(np.array([0.0, 10.0, 30.0, 40.0])))
    targets = np.array([0.0, 20.0, 20.0, 40.0], np.float32)  # mean 20, squares 400 + 0 + 0 + 400; errors 0, 10, 10, 0
    measured = [TASK.measure(outputs[part], targets[part]) for part in (slice(3), slice(3, 4))]
    found = scoring.record(TASK, join(measured))
    assert found.pop("mean_absolute_error") == pytest.approx(5, rel=1e-5)
    assert found.pop("r_squared") == pytest.approx(1 - 200 / 800, rel=1e-5)
    beside = [{"measure": "r_squared", "larger_is_better": True}]
    assert found == {
        "count": 4,
        "measure": "mean_absolute_error",
        "unit": "degrees",
        "larger_is_better": False,
        "beside": beside,
    }


def test_who_looks_at_no_image_says_the_mean_angle_and_has_no_r_squared():
    targets = np.array([-40.0, 40.0, -20.0, 20.0], np.float32)
    answer = TASK.trivial.answer(targets)
    measured = TASK.measure(np.tile(answer, (4, 1)), targets)
    assert TASK.record(measured)["mean_absolute_error"] == pytest.approx(30, rel=1e-5)
    assert TASK.record(measured)["r_squared"] == pytest.approx(0, abs=1e-6)


def test_r_squared_of_equal_angles_is_not_a_number():
    measured = TASK.measure(np.array([[0.0, 1.0]] * 2), np.array([5.0, 5.0]))
    assert np.isnan(TASK.record(measured)["r_squared"])


@pytest.mark.parametrize("degrees", [-45.0, -10.0, 30.0])
def test_images_turn_counter_clockwise_by_their_angle(degrees):
    upright, to_the_left = bar(-1, 0), bar(0, -1)
    assert direction(upright[0]) == pytest.approx(0, abs=0.1)
    assert direction(to_the_left[0]) == pytest.approx(90, abs=0.1)
    turned = turn(np.concatenate([upright, to_the_left]), np.array([degrees, degrees], np.float32))
    assert turned.dtype == np.uint8
    assert direction(turned[0]) == pytest.approx(degrees, abs=0.5)
    assert direction(turned[1]) == pytest.approx(90 + degrees, abs=0.5)


@pytest.mark.parametrize("start", [0.0, 20.0])
@pytest.mark.parametrize(
    "options", [{"rotation": 45.0}, {"rotation": 45.0, "shift": 0.05, "zoom": 0.2}, {"rotation": 30.0, "flip": True}]
)
def test_what_augmentation_turns_the_target_turns_with(start, options):
    count = 6
    x = jnp.asarray(turn(np.repeat(bar(-1, 0), count, axis=0), np.full(count, start, np.float32)), jnp.float32)
    moves = draw_moves(jax.random.split(jax.random.key(1), count), SIZE, **options)
    moved = np.asarray(resample(x, moves))
    centres = np.linalg.solve(np.asarray(moves.matrix), -np.asarray(moves.offset)[..., None])[..., 0]
    drawn = [direction(image, centre) for image, centre in zip(moved, centres, strict=True)]
    assert np.ptp(drawn) > 20
    np.testing.assert_allclose(TASK.move(jnp.full(count, start), moves), drawn, atol=0.7)


def test_predictions_are_told_in_degrees_and_drawn_as_a_line():
    outputs = np.asarray(rotation.directions(np.array([30.0, -7.4])))
    assert TASK.describe(outputs) == ["+30°", "-7°"]
    np.testing.assert_allclose(TASK.numbers(outputs), [[30], [-7.4]], rtol=1e-4)
    picture = TASK.draw(np.zeros((SIZE, SIZE, 3), np.uint8), outputs[0])
    assert (picture.shape, picture.dtype) == ((SIZE, SIZE, 3), np.uint8)
    drawn = picture.any(axis=-1, keepdims=True)
    assert direction(drawn) == pytest.approx(30, abs=6)  # the dot is at the upper end


def test_a_rotation_is_asked_only_of_angles():
    labels = Description("toy", (2, 2, 1), 16, ("a", "b"), 4, 4, "")
    degrees = Description("toy", (2, 2, 1), 16, (), 4, 4, "")
    several = Description("toy", (2, 2, 1), 16, (), 4, 4, "", target_shape=(2,))
    config = default_config()
    assert TASKS["rotation"](config, degrees).outputs == 2
    for wrong in (labels, several):
        with pytest.raises(InputError, match=r"data set toy are no angles; allowed: config.data.targets=angle"):
            TASKS["rotation"](config, wrong)
    config.label_smoothing = 0.1
    with pytest.raises(InputError, match=r"config.label_smoothing is 0.1; allowed with config.task rotation: 0.0"):
        TASKS["rotation"](config, degrees)
