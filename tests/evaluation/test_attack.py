"""The searches against answers worked out by hand, and the command on a tiny workdir."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import io

from bginv_jax.backgrounds import families
from bginv_jax.evaluation import attack, scoring, search
from bginv_jax.evaluation import attack_charts as attack_report
from bginv_jax.tasks.classification import CLASSIFICATION
from tests.conftest import call_door, changed, write_workdir

COUNT, SIZE = 7, 8
WEIGHTS = np.random.RandomState(1).randn(SIZE, SIZE, 1).astype(np.float32)
BUDGETS = (0, 0.02, 0.05, 0.1, 0.3, 1.0)
LOSS_ALONE = dataclasses.replace(CLASSIFICATION, margin=None)


@pytest.fixture
def x():
    return np.random.RandomState(0).rand(COUNT, SIZE, SIZE, 1).astype(np.float32)


@pytest.fixture
def masks():
    """The middle, and a corner that differs between the images."""
    masks = np.zeros((COUNT, SIZE, SIZE, 1), np.float32)
    masks[:, 2:6, 2:6] = 1
    for i in range(COUNT):
        masks[i, 0, : i + 1] = 1
    return masks


def linear(x):
    """Logits (N, 2): 0 and the weighted sum of the pixels."""
    total = (x * WEIGHTS).sum(axis=(1, 2, 3))
    return jnp.stack([jnp.zeros_like(total), total], axis=1)


def bent(x):
    """Three classes that no background is the worst of by pixels alone."""
    parts = [jnp.tanh((x * jnp.roll(WEIGHTS, i, axis=0)).sum(axis=(1, 2, 3))) for i in range(3)]
    return 3 * jnp.stack([parts[0] * parts[1], parts[1] - parts[2], parts[2]], axis=1)


def only_numpy(x):
    x = np.frombuffer(x.tobytes(), np.float32).reshape(len(x), -1)
    return np.stack([np.zeros(len(x), np.float32), x @ WEIGHTS.ravel()], axis=1)


def labels_of(predict, x):
    return np.asarray(predict(x)).argmax(axis=1)


def worst_linear(x, masks, targets, budget):
    """Every pixel of the background moves against its weight, or with it, as far as it may."""
    against = np.where(targets == 1, -1, 1)[:, None, None, None] * np.sign(WEIGHTS)
    return np.where(masks > 0, x, np.clip(x + budget * against, 0, 1))


@pytest.mark.parametrize("budget", BUDGETS[1:])
def test_the_worst_background_of_a_linear_predictor_is_found(x, masks, budget):
    targets = labels_of(linear, x)
    expected = worst_linear(x, masks, targets, budget)
    found = search.projected_gradient(linear, x, masks, targets, budgets=(budget,), steps=10, restarts=1)
    np.testing.assert_allclose(found.images, expected, atol=1e-6)
    np.testing.assert_array_equal(found.right[0], labels_of(linear, expected) == targets)
    margin = np.asarray(linear(expected))[:, 1] * np.where(targets == 1, 1, -1)
    np.testing.assert_allclose(found.loss[0], np.log1p(np.exp(-margin)), rtol=1e-4)


def test_accuracy_over_the_budget_is_that_of_the_closed_form(x, masks):
    targets = labels_of(linear, x)
    targets[0] = 1 - targets[0]  # mistaken as it is
    found = search.projected_gradient(linear, x, masks, targets, budgets=BUDGETS, steps=10)
    expected = [labels_of(linear, worst_linear(x, masks, targets, budget)) == targets for budget in BUDGETS]
    np.testing.assert_array_equal(found.right, expected)
    assert found.right[0].tolist() == [False] + [True] * 6
    assert found.right.sum(axis=1)[-1] < 3
    np.testing.assert_array_equal(found.images[0], x[0])
    first = found.right.argmin(axis=0)  # the smallest budget that was enough
    for i in np.flatnonzero(~found.right[-1]):
        assert np.abs(found.images[i] - x[i]).max() == pytest.approx(BUDGETS[first[i]], abs=1e-6) or first[i] == 5


def test_projected_gradient_stays_within_budget_range_and_mask_and_never_gets_better(x, masks):
    targets = labels_of(bent, x)
    for budget in (0.1, 0.4):
        found = search.projected_gradient(bent, x, masks, targets, budgets=(budget,), steps=5)
        assert 0 <= found.images.min() <= found.images.max() <= 1
        assert 0.9 * budget < np.abs(found.images - x).max() <= budget + 1e-6
        kept = np.broadcast_to(masks > 0, x.shape)
        np.testing.assert_array_equal(found.images[kept], x[kept])
    found = search.projected_gradient(bent, x, masks, targets, budgets=BUDGETS, steps=5)
    assert (np.diff(found.right.astype(int), axis=0) <= 0).all()
    still = found.right[1:]
    assert (found.loss[1:] >= found.loss[:-1])[still].all()
    assert found.right[0].all()
    assert not found.right[-1].all()
    np.testing.assert_array_equal(labels_of(bent, found.images) == targets, found.right[-1])


def test_margins_are_climbed_where_the_loss_is_flat(x, masks):
    """Logits so far apart that the cross-entropy is 0 in float32, and so is its gradient, until they have swapped."""

    def sure(x):
        return 1e4 * linear(x)

    targets = labels_of(sure, x)
    expected = worst_linear(x, masks, targets, 0.3)
    options = {"budgets": (0.3,), "steps": 10, "restarts": 1}
    blind = search.projected_gradient(sure, x, masks, targets, task=LOSS_ALONE, **options)
    assert blind.right[0].all()
    found = search.projected_gradient(sure, x, masks, targets, **options)
    np.testing.assert_array_equal(found.right[0], labels_of(sure, expected) == targets)
    assert not found.right[0].all()


def test_restarts_only_add(x, masks):
    targets = labels_of(bent, x)
    options = {"budgets": (0.02,), "steps": 2, "task": LOSS_ALONE}
    one, three = (search.projected_gradient(bent, x, masks, targets, restarts=n, **options) for n in (1, 3))
    assert (three.right <= one.right).all()
    assert (three.loss >= one.loss)[three.right].all()
    assert (three.loss > one.loss)[three.right].any()


@pytest.mark.parametrize("name", ["gradient", "random", "evolution"])
def test_what_is_found_follows_from_the_seed_and_not_from_the_chunk(x, masks, name):
    targets = labels_of(bent, x)
    backgrounds = np.random.RandomState(2).rand(4, SIZE, SIZE, 1).astype(np.float32)

    def run(x, masks, targets, seed, chunk):
        if name == "gradient":
            return search.projected_gradient(
                bent, x, masks, targets, budgets=(0.02,), steps=2, restarts=3, seed=seed, task=LOSS_ALONE, chunk=chunk
            )
        if name == "random":
            return search.worst_of(bent, x, masks, targets, backgrounds, chunk=chunk)
        return search.evolve(bent, x, masks, targets, generations=3, children=2, seed=seed, chunk=chunk)

    whole = run(x, masks, targets, 0, 100)
    for other, count in ((run(x, masks, targets, 0, 4), COUNT), (run(x[:4], masks[:4], targets[:4], 0, 100), 4)):
        np.testing.assert_array_equal(other.right, whole.right[:, :count])
        np.testing.assert_allclose(other.loss, whole.loss[:, :count], rtol=1e-4)
        np.testing.assert_allclose(other.images, whole.images[:count], atol=1e-5)
    again, seeded = run(x, masks, targets, 0, 100), run(x, masks, targets, 1, 100)
    np.testing.assert_array_equal(again.images, whole.images)
    assert (seeded.images != whole.images).any() == (name != "random")


def test_every_call_of_the_predictor_has_one_shape(x, masks):
    shapes = set()

    def noted(x):
        shapes.add(x.shape)
        return only_numpy(x)

    attack.curves(noted, x, masks, labels_of(linear, x), attack.Options(1, 0, 0, 2), chunk=3)
    assert shapes == {(3, SIZE, SIZE, 1)}


def test_worst_of_is_brute_force(x, masks):
    targets = labels_of(bent, x)
    backgrounds = np.random.RandomState(3).rand(9, SIZE, SIZE, 1).astype(np.float32) ** 3
    found = search.worst_of(bent, x, masks, targets, backgrounds, chunk=4)
    composed = np.stack([np.where(masks > 0, x, background) for background in backgrounds])
    logits = np.stack([np.asarray(bent(one)) for one in composed])
    loss = np.log(np.exp(logits).sum(axis=-1)) - logits[:, np.arange(COUNT), targets]
    right = logits.argmax(axis=-1) == targets
    assert 0 < right.sum() < right.size
    np.testing.assert_array_equal(found.right, np.logical_and.accumulate(right))
    rank = np.where(right, loss, 100 + loss)  # what is mistaken is worse than what is not
    np.testing.assert_array_equal(found.images, composed[rank.argmax(axis=0), np.arange(COUNT)])
    for k in range(9):
        best = rank[: k + 1].argmax(axis=0)
        np.testing.assert_allclose(found.loss[k], loss[best, np.arange(COUNT)], rtol=1e-4)


def test_a_mistake_is_worse_than_a_higher_loss_that_is_none():
    def predict(x):  # by the grey of the background: class 0 of 0.4, 0.3, 0.3, or class 1 of 0.45, 0.55, 0
        shares = np.where(x[:, 0, 0] < 0.5, [[0.4, 0.3, 0.3]], [[0.45, 0.55, 1e-6]])
        return np.log(shares).astype(np.float32)

    x, masks = np.full((1, 8, 8, 1), 0.5, np.float32), np.zeros((1, 8, 8, 1))
    greys = [np.full((8, 8, 1), grey, np.float32) for grey in (0.2, 0.8, 0.3)]
    found = search.worst_of(predict, x, masks, np.zeros(1, int), greys)
    assert found.right[:, 0].tolist() == [True, False, False]
    np.testing.assert_allclose(found.loss[:, 0], -np.log([0.4, 0.45, 0.45]), rtol=1e-4)
    np.testing.assert_allclose(found.images, 0.8)


@pytest.mark.parametrize("channels", [1, 3])
def test_evolution_gets_worse_within_the_background(channels):
    x = np.random.RandomState(0).rand(5, 16, 16, channels).astype(np.float32)
    masks = np.zeros((5, 16, 16, 1), bool)
    masks[:, 4:10, 4:10] = True
    weights = np.random.RandomState(1).randn(16, 16, channels).astype(np.float32)

    def predict(x):
        total = np.asarray(x * weights).sum(axis=(1, 2, 3))
        return np.stack([np.zeros(len(x), np.float32), total], axis=1)

    targets = labels_of(predict, x)
    found = search.evolve(predict, x, masks, targets, generations=8, children=4)
    assert found.right.shape == found.loss.shape == (8, 5)
    assert (np.diff(found.loss, axis=0) >= 0).all()  # of two classes, a mistake always has the higher loss
    assert (found.loss[-1] > found.loss[0]).all()
    assert (np.diff(found.right.astype(int), axis=0) <= 0).all()
    kept = np.broadcast_to(masks, x.shape)
    np.testing.assert_array_equal(found.images[kept], x[kept])
    assert 0 <= found.images.min() <= found.images.max() <= 1
    assert (found.images[:, 0].std(axis=-1).max() > 0.01) == (channels == 3)
    clean = search.clean(predict, found.images, masks, targets)
    np.testing.assert_array_equal(clean.right[0], found.right[-1])
    np.testing.assert_allclose(clean.loss[0], found.loss[-1], rtol=1e-5)


@pytest.fixture
def two_families(monkeypatch):
    """Compiling all of them takes longer than everything else here."""
    monkeypatch.setattr(families, "REPORT", ("plain", "ramp"))


def test_a_predictor_that_ignores_the_background_cannot_be_fooled(x, masks, two_families):
    def predict(x):
        return linear(jnp.pad(x[:, 2:6, 2:6], ((0, 0), (2, 2), (2, 2), (0, 0))))

    targets = labels_of(predict, x)
    targets[:2] = 1 - targets[:2]
    records, found = attack.curves(predict, x, masks, targets, attack.Options(3, 2, 5, 2))
    assert [(record["correct"], record["count"]) for record in records] == [(5, 7)] * (1 + 11 + 5 + 2 + 1)
    for one in found.values():
        np.testing.assert_allclose(one.loss, np.broadcast_to(one.loss[0], one.loss.shape), rtol=1e-4)


def test_curves_count_what_was_found(x, masks, two_families):
    targets = labels_of(linear, x)
    records, found = attack.curves(linear, x, masks, targets, attack.Options(10, 1, 5, 3), budgets=BUDGETS)
    assert list(found) == ["gradient", "random", "evolution"]
    assert records[0] == {"search": "none", "correct": 7, "count": 7, "accuracy": 100}
    assert [record["budget"] for record in records if record["search"] == "gradient"] == list(BUDGETS)
    assert [record["tried"] for record in records if record["search"] == "random"] == [1, 2, 3, 4, 5]
    assert [record["generation"] for record in records if record["search"] == "evolution"] == [1, 2, 3]
    for name, one in found.items():
        assert [r["correct"] for r in records if r["search"] == name] == one.right.sum(axis=1).tolist()
    assert records[1]["correct"] == 7  # no budget
    every = np.logical_and.reduce([one.right[-1] for one in found.values()])
    assert records[-1] == {
        "search": "any",
        "correct": every.sum(),
        "count": 7,
        "accuracy": pytest.approx(100 * every.mean()),
    }


def test_random_backgrounds_are_of_all_families_by_turns(two_families):
    drawn = attack.random_backgrounds(5, size=8, channels=3, seed=0)
    assert drawn.shape == (5, 8, 8, 3)
    every = families.draw(("plain", "ramp"), 3, size=8, channels=3, seed=0)
    order = [int(np.flatnonzero((every == one).all(axis=(1, 2, 3)))[0]) for one in drawn]
    assert len(set(order)) == 5
    assert order != sorted(order)


def test_a_numpy_predictor_is_searched_as_a_black_box_alone(x, masks):
    targets = labels_of(linear, x)
    records, found = attack.curves(only_numpy, x, masks, targets, attack.Options(restarts=0, random=0, generations=2))
    assert list(found) == ["evolution"]
    traced, _ = attack.curves(linear, x, masks, targets, attack.Options(restarts=0, random=0, generations=2))
    assert records == traced
    with pytest.raises(ValueError, match="projected gradient needs a predict that JAX can differentiate"):
        attack.curves(only_numpy, x, masks, targets, attack.Options(restarts=1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((7, 8, 8))}, r"images are \(7, 8, 8\); expected \(N, S, S, C\)"),
        ({"x": np.full((7, 8, 8, 1), 255.0)}, r"images from 255.0 to 255.0; expected uint8, or floats in \[0, 1\]"),
        ({"masks": np.zeros((7, 8, 8))}, r"masks are \(7, 8, 8\); expected \(7, 8, 8, 1\), of 0 and 1 alone"),
        ({"masks": np.full((7, 8, 8, 1), 0.5)}, "of 0 and 1 alone"),
        ({"targets": np.zeros(6, int)}, "targets for 6 images; expected 7"),
        ({"options": attack.Options(steps=0)}, "steps is 0; expected at least 1"),
        ({"options": attack.Options(random=-1)}, "random is -1; expected at least 0"),
        ({"options": attack.Options(10, 0, 0, 0)}, "restarts, random and generations are all 0"),
        ({"budgets": (0.2, 0.1)}, r"budgets are \(0.2, 0.1\); expected increasing numbers from 0 to 1"),
        ({"budgets": (0, 2)}, r"budgets are \(0, 2\)"),
    ],
)
def test_what_does_not_fit_is_refused(x, masks, change, message):
    own = {"x": x, "masks": masks, "targets": np.zeros(7, int), **change}
    with pytest.raises(ValueError, match=message):
        attack.curves(linear, **own)


def test_the_table_has_the_last_of_each_search():
    def record(search, accuracy, **how_far):
        return {"row": "ours", "search": search, "correct": 0, "count": 1, "accuracy": accuracy, **how_far}

    records = [
        record("none", 99.0),
        record("gradient", 99.0, budget=0),
        record("gradient", 50.0, budget=0.3),
        record("gradient", 20.0, budget=0.4),
        record("random", 90.0, tried=1),
        record("random", 80.0, tried=2),
        record("random", 70.04, tried=3),
        record("any", 0.0),
    ]
    assert attack_report.table(records) == [
        ["Accuracy (%)", "As they are", "Within 0.3", "Within 0.4", "Worst of 1", "Worst of 3", "Any search"],
        ["ours", "99.0", "50.0", "20.0", "90.0", "70.0", "0.0"],
    ]


def test_the_picture_of_the_worst_says_what_is_mistaken(x):
    figure = attack_report.worst_figure(
        x[:2], {"random": x[2:4]}, ["a", "b"], {"none": ["a", "b"], "random": ["a", "a"]}
    )
    axes = np.array(figure.axes).reshape(2, 2)
    assert [one.get_xlabel() for one in axes.flat] == ["a", "b", "a", "a"]
    colours = [one.xaxis.label.get_color() for one in axes.flat]
    assert colours[0] == colours[1] == colours[2] != colours[3]
    np.testing.assert_array_equal(np.asarray(axes[1, 0].images[0].get_array()), x[2, ..., 0])


@pytest.mark.parametrize("name", ["projected_gradient", "evolve"])
def test_a_program_with_x64_finds_the_same(x, masks, name):
    targets = labels_of(bent, x)
    options = {"projected_gradient": {"budgets": (0.1,), "steps": 2, "restarts": 2}, "evolve": {"generations": 2}}
    search_for = getattr(search, name)
    expected = search_for(bent, x, masks, targets, **options[name])
    with jax.enable_x64(True):
        found = search_for(bent, x.astype(np.float64), masks, targets, **options[name])
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def workdir(module_config, tmp_path_factory):
    """A vanilla workdir that smoothed its labels."""
    config = changed(module_config, method="vanilla", schedule=("f:1",), label_smoothing=0.9)
    return write_workdir(config, tmp_path_factory.mktemp("run") / "vanilla")


def test_smoothed_labels_are_for_training_alone(workdir, tmp_path, monkeypatch, two_families):
    losses, measure = [], search._measure

    def spy(predict, x, targets, task):
        logits = jnp.array([[0.0, 9.0]])
        losses.append(float(task.loss(logits, jnp.array([1]))[0]))
        return measure(predict, x, targets, task)

    monkeypatch.setattr(search, "_measure", spy)
    options = attack.Options(steps=1, restarts=1, random=1, generations=1)
    attack.write(scoring.load([workdir]), tmp_path, count=1, halo=0, options=options)
    assert losses == pytest.approx(len(losses) * [np.log1p(np.exp(-9))], abs=1e-5)  # a sure answer costs nothing
    assert losses


def test_a_workdir_is_attacked_from_the_command_line(workdir, tmp_path):
    flags = ("--random=0", "--generations=2", "--steps=1", "--restarts=1", "--count=100", "--halo=1")
    flags += ("--budgets=1", "--budgets=0", "--budgets=0.1")
    result = call_door("bginv_jax.attack", f"--workdir={workdir}", f"--output={tmp_path}", *flags)
    assert result.returncode == 0, result.stderr
    records = [json.loads(line) for line in (tmp_path / "attack.jsonl").read_text().splitlines()]
    assert [record["search"] for record in records] == ["none", *3 * ["gradient"], *2 * ["evolution"], "any"]
    assert [record["budget"] for record in records[1:4]] == [0, 0.1, 1]
    assert {record["count"] for record in records} == {21}
    assert {(record["row"], record["method"], record["seed"]) for record in records} == {("Vanilla CNN", "vanilla", 0)}
    runs = scoring.load([workdir])
    trained, test = runs[0].seeds[0], runs[0].dataset.test
    logits = trained.method.predict(trained.networks, test.images / np.float32(255))
    assert records[0]["correct"] == records[1]["correct"] == (logits.argmax(axis=1) == test.targets).sum()
    assert (tmp_path / "attack.md").read_text().startswith("| Accuracy (%) | As they are | Within 0.1 |")
    assert "the first 21 test images, 1 pixels around the object left as they are" in result.stdout
    for name in ("attack.png", "worst.png"):
        assert io.imread(tmp_path / name).std() > 10
    options = attack.Options(generations=1)
    with pytest.raises(ValueError, match="a --workdir is given twice; expected each once"):
        attack.write(runs * 2, tmp_path / "out", count=1, halo=0, options=options)
    for name in ("count", "halo"):
        with pytest.raises(ValueError, match=f"{name} is -1; expected at least"):
            attack.write(runs, tmp_path / "out", **{"count": 1, "halo": 0, name: -1}, options=options)
    assert not (tmp_path / "out").exists()
