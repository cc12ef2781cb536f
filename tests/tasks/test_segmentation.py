"""Classes of pixels by hand: the loss, IoU and boundary F of masks that are drawn, how targets move and what shows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bginv_jax import config as configs
from bginv_jax.data.dataset import Description
from bginv_jax.errors import InputError
from bginv_jax.evaluation import scoring
from bginv_jax.images.augment import Moves, draw_moves, resample, turns
from bginv_jax.methods.registry import make_method
from bginv_jax.tasks import segmentation
from bginv_jax.tasks.contract import join
from bginv_jax.tasks.registry import TASKS

NAMES = ("background", "a", "b", "c")
TASK = segmentation.segmentation(NAMES)
SIZE = 16


def logits(classes, count=4):
    """Outputs that say these classes."""
    return np.eye(count, dtype=np.float32)[classes]


def square(label, row, column, side=4, size=SIZE):
    """Targets of one square of a class: int (size, size)."""
    targets = np.zeros((size, size), int)
    targets[row : row + side, column : column + side] = label
    return targets


def score(found, targets):
    """A record of classes (N, S, S) that were said, measured image by image as parts of a set are."""
    parts = [TASK.measure(logits(one)[None], target[None]) for one, target in zip(found, targets, strict=True)]
    return scoring.record(TASK, join(parts))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
@pytest.mark.parametrize("shape", [(2, 1, 2), (2, 1, 2, 1)])
def test_the_loss_is_the_mean_cross_entropy_of_the_pixels(dtype, shape):
    targets = np.array([[0, 3], [1, 1]], dtype).reshape(shape)
    outputs = np.zeros((2, 1, 2, 4), np.float32)
    outputs[0, 0, 0] = [np.log(5), 0, 0, 0]  # 5/8 right, and 1/4; then 1/4 and 1/4
    expected = [(np.log(8 / 5) + np.log(4)) / 2, np.log(4)]
    np.testing.assert_allclose(TASK.loss(jnp.array(outputs), targets), expected, rtol=1e-6)
    np.testing.assert_allclose(TASK.measures(jnp.array(outputs), targets)["pixel_accuracy"], [0.5, 0])


def test_smoothed_targets_are_spread_over_all_classes():
    smoothed = segmentation.segmentation(NAMES, smoothing=0.4)
    outputs = np.array([[[[np.log(5), 0, 0, 0]]]], np.float32)
    expected = 0.7 * np.log(8 / 5) + 0.3 * np.log(8)
    np.testing.assert_allclose(smoothed.loss(jnp.array(outputs), np.zeros((1, 1, 1), int)), [expected], rtol=1e-6)


def test_iou_is_of_the_whole_set_by_class():
    targets = np.stack([square(1, 0, 0, 2), square(2, 4, 4, 4)])
    found = np.stack([square(1, 0, 0, 4), square(2, 4, 6, 4)])
    found[1, 0, :4] = 1
    # a: 4 of 16 + 4; b: 8 of 24; c is nowhere. Background: of 512 pixels all but the unions.
    wrong = 12 + 16 + 4
    background = (512 - 4 - 16 - (wrong - 8)) / (512 - 4 - 16 + 8)
    shares = [background, 4 / 20, 8 / 24]
    record = score(found, targets)
    assert record["mean_IoU"] == pytest.approx(100 * np.mean(shares))
    assert record["mean_IoU_of_objects"] == pytest.approx(100 * np.mean(shares[1:]))
    assert record["pixel_accuracy"] == pytest.approx(100 * (1 - wrong / 512))
    assert record["count"] == 2
    assert (record["measure"], record["unit"], record["larger_is_better"]) == ("mean_IoU", "%", True)
    assert [one["measure"] for one in record["beside"]] == ["mean_IoU_of_objects", "boundary_F"]


def test_what_is_right_everywhere_is_100_and_targets_may_have_an_axis_more():
    targets = np.stack([square(1, 0, 0), square(3, 5, 9)])
    record = score(targets, targets[..., None].astype(np.uint8))
    assert [record[name] for name in ("mean_IoU", "mean_IoU_of_objects", "boundary_F", "pixel_accuracy")] == [100] * 4


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (square(1, 4, 4, 5), 100),
        (square(1, 5, 5, 5), 100),  # a pixel off along both axes
        (square(2, 4, 4, 5), 0),  # of another class
        (np.zeros((SIZE, SIZE), int), 0),
        (square(1, 4, 7, 5), 100 * 9 / 16),  # three columns off: of 16 pixels all of one side, two of two others
    ],
)
def test_boundaries_count_within_a_pixel(found, expected):
    record = score(found[None], square(1, 4, 4, 5)[None])
    assert record["boundary_F"] == pytest.approx(expected)


def test_a_boundary_is_two_numbers_for_each_side():
    found, true = square(1, 0, 0, 3), square(1, 0, 0, 4)  # at the edge: what lies beyond is background
    found[10, 10] = 1
    counts = segmentation.boundaries(found[None], true[None], 4)
    assert counts.shape == (1, 4, 3)
    np.testing.assert_array_equal(counts[0, :, 0], [9, 8, 12, 12])
    assert not counts[0, :, 1:].any()
    precision, recall = 8 / 9, 1
    assert segmentation.boundary_f(counts[0]) == pytest.approx(2 * precision * recall / (precision + recall))


def test_who_looks_at_no_image_says_background():
    targets = np.stack([square(1, 0, 0), square(2, 4, 4)])
    answer = TASK.trivial.answer(targets)
    assert TASK.trivial.title == "All background"
    record = scoring.record(TASK, TASK.measure(np.tile(answer, (2, 1, 1, 1)), targets))
    share = 1 - 32 / 512
    assert record["mean_IoU"] == pytest.approx(100 * share / 3)
    assert record["mean_IoU_of_objects"] == 0
    assert record["boundary_F"] == 0
    assert TASK.describe(answer[None]) == ["background"]


@pytest.mark.parametrize("shape", [(3, SIZE, SIZE), (3, SIZE, SIZE, 1)])
def test_targets_move_as_their_images_do(shape):
    targets = np.stack([square(i + 1, 4, 6) for i in range(3)]).astype(np.uint8)
    degrees = jnp.array([90.0, -90.0, 180.0])
    moved = TASK.move(jnp.array(targets.reshape(shape)), turns(degrees, SIZE))
    assert (moved.shape, moved.dtype) == (shape, jnp.uint8)
    expected = [np.rot90(target, k) for target, k in zip(targets, (1, -1, 2), strict=True)]
    np.testing.assert_array_equal(moved.reshape(targets.shape), expected)


def test_moved_targets_hold_no_class_between_two():
    targets = np.tile(square(3, 3, 3, 10), (8, 1, 1)).astype(np.uint8)
    moves = draw_moves(jax.random.split(jax.random.key(0), 8), SIZE, rotation=40.0, zoom=0.3, elastic=0.02)
    moved = np.asarray(TASK.move(jnp.array(targets), moves))
    assert set(np.unique(moved)) == {0, 3}
    ink = np.asarray(resample(jnp.array(targets[..., None] == 3, jnp.float32), moves))[..., 0]
    assert ((moved == 3)[ink > 0.8]).all()
    assert not (moved == 3)[ink < 0.2].any()


def test_beyond_the_edge_all_is_background():
    targets = np.ones((1, SIZE, SIZE), np.uint8)  # an image's edge goes on; an object does not
    pixels = np.indices((SIZE, SIZE)).reshape(1, 2, -1).astype(np.float32)
    offset = jnp.array([[0.0, 5.0]])
    moves = Moves(jnp.eye(2)[None], offset, jnp.array(pixels) + offset[..., None])
    moved = np.asarray(TASK.move(jnp.array(targets), moves))
    assert moved[0, :, : SIZE - 5].all()
    assert not moved[0, :, SIZE - 5 :].any()


@pytest.mark.parametrize("shape", [(1, SIZE, SIZE), (1, SIZE, SIZE, 1)])
def test_what_a_mask_hides_is_background(shape):
    targets = square(2, 4, 4).astype(np.uint8)
    mask = np.zeros((1, SIZE, SIZE, 1), np.float32)
    mask[:, :6] = 1
    shown = np.asarray(TASK.visible(jnp.array(targets.reshape(shape)), jnp.array(mask)))
    assert (shown.shape, shown.dtype) == (shape, np.uint8)
    expected = np.where(np.arange(SIZE)[:, None] < 6, targets, 0)
    np.testing.assert_array_equal(shown.reshape(SIZE, SIZE), expected)


def test_predictions_are_told_by_shares_and_drawn_in_colour():
    found = np.stack([square(1, 0, 0, 8) + square(3, 8, 8, 4), square(2, 0, 0, 1)])
    outputs = logits(found)
    np.testing.assert_allclose(TASK.numbers(outputs)[0], [1 - 80 / 256, 64 / 256, 0, 16 / 256])
    assert TASK.columns == ("share_background", "share_a", "share_b", "share_c")
    assert TASK.describe(outputs) == ["a c", "background"]  # one pixel is not told
    picture = np.full((3 * SIZE, 3 * SIZE, 3), 20, np.uint8)
    drawn = TASK.draw(picture, outputs[0])
    assert (drawn.dtype, drawn.shape) == (np.uint8, picture.shape)
    large = np.kron(found[0], np.ones((3, 3), int))
    assert (drawn[large == 0] == 20).all()
    colours = [np.unique(drawn[large == label], axis=0) for label in (1, 3)]
    assert [len(one) for one in colours] == [1, 1]
    assert (colours[0] != colours[1]).any()


def test_eleven_classes_have_ten_colours():
    picture = np.zeros((10, 10, 3), np.uint8)
    found = np.tile(np.arange(1, 11), (10, 1))
    drawn = TASK.draw(picture, logits(found, 11))
    assert len(np.unique(drawn[0], axis=0)) == 10


def _description(**fields):
    return Description("toy", (16, 16, 1), 16, (), 4, 4, "", **fields)


def _config(**fields):
    config = configs.default_config()
    config.task, config.classifier = "segmentation", "unet"
    config.update(fields)
    return config


CANVAS = _description(target_shape=(16, 16), pixel_classes=NAMES)


def test_a_segmentation_is_asked_only_of_classes_of_pixels():
    assert TASKS["segmentation"](_config(), CANVAS).outputs == 4
    for wrong in (_description(), _description(target_shape=(16, 16))):
        with pytest.raises(InputError, match="toy are no classes of pixels; allowed: config.data.targets=canvas"):
            TASKS["segmentation"](_config(), wrong)
    for other in ("classification", "rotation", "regression"):
        with pytest.raises(InputError, match=f"config.task is '{other}'"):
            TASKS[other](_config(), CANVAS)


@pytest.mark.parametrize("method", ["vanilla", "proposal"])
def test_f_must_have_outputs_on_pixels(method):
    config = _config(method=method, classifier="cnn")
    with pytest.raises(InputError, match="config.classifier is 'cnn'; allowed for a task of pixels: unet, or your own"):
        make_method(config, CANVAS)
    config.classifier, config.task = "unet", "classification"
    labels = Description("toy", (16, 16, 1), 16, ("a", "b"), 4, 4, "")
    with pytest.raises(InputError, match="config.classifier is 'unet'; allowed for a task of images: cnn, vgg, .*own"):
        make_method(config, labels)


@pytest.mark.parametrize("name", ["copies", "training_images"])
def test_composites_show_no_objects_that_targets_do_not_know(name):
    config = _config()
    config.background[name] = 2
    with pytest.raises(InputError, match=f"config.background.{name} is 2; allowed with config.task segmentation"):
        make_method(config, CANVAS)


@pytest.mark.parametrize("method", ["vanilla", "proposal"])
def test_outputs_lie_on_the_pixels(method):
    made = make_method(_config(method=method, **{"mask": {"width": 4}}), CANVAS)
    networks = jax.eval_shape(made.init, jax.random.key(0))
    outputs = jax.eval_shape(made.predict, networks, jax.ShapeDtypeStruct((2, 16, 16, 1), jnp.float32))
    assert outputs.shape == (2, 16, 16, 4)
