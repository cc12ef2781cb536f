"""What the panels show, read back from their axes and files."""

import jax
import numpy as np
import pytest
from PIL import Image

from bginv_jax.backgrounds import patterns as backgrounds
from bginv_jax.evaluation import panels
from bginv_jax.training import background_strips


def _picture(axes):
    return np.asarray(axes.images[0].get_array())


def test_figure_1_has_an_accuracy_under_each_picture():
    x = np.zeros((1, 32, 32, 1), np.uint8)
    x[0, 14:18, 14:18] = 255
    accuracies = {name: 10.0 + i for i, name in enumerate(backgrounds.BACKGROUNDS)}
    axes = panels.accuracy_figure(x, backgrounds.with_halo(x > 0), accuracies).axes
    assert [one.get_title() for one in axes] == [name.capitalize() for name in backgrounds.BACKGROUNDS]
    assert [one.get_xlabel() for one in axes] == [f"{10 + i}.0" for i in range(7)]
    for one, name in zip(axes, backgrounds.BACKGROUNDS, strict=True):
        np.testing.assert_array_equal(_picture(one), backgrounds.compose_test(x, name)[0, ..., 0])


def test_of_classes_with_words_for_names_the_likeliest_have_a_bar_with_the_name_on_it():
    names = [f"leaf_{i}" for i in range(8)]
    axes = panels.grid(1, 1)[1][0, 0]
    panels.bars(np.array([[0.3, 0.02, 0.1, 0.25, 0.05, 0.2, 0.04, 0.04]]), np.array([3]), names)(axes, 0)
    assert [text.get_text() for text in axes.texts] == [f"leaf_{i}" for i in (4, 2, 5, 3, 0)]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.05, 0.1, 0.2, 0.25, 0.3])
    colours = [bar.get_facecolor() for bar in axes.patches]
    assert [colours.count(colour) for colour in colours] == [4, 4, 4, 1, 4]


def test_figure_2_draws_the_box_and_the_crop():
    x = np.zeros((2, 32, 32, 1), np.float32)
    x[:, 8:16, 8:24] = 1.0
    heat = np.zeros((2, 4, 4), np.float32)
    figure = panels.attention_figure(x, heat, np.array([[8, 8, 16, 24], [0, 0, 32, 32]]))
    axes = np.array(figure.axes).reshape(3, 2)
    box = axes[0, 0].patches[0]
    assert (box.get_x(), box.get_y()) == (7.75, 7.75)
    assert (box.get_width(), box.get_height()) == (15.5, 7.5)
    assert (_picture(axes[2, 0]) == 1).all()
    np.testing.assert_allclose(_picture(axes[2, 1]), x[1, ..., 0], atol=1e-6)


def test_figure_3_composes_and_marks_the_true_class():
    keys = jax.random.split(jax.random.key(0), 2)
    x, b = (np.asarray(jax.random.uniform(key, (2, 16, 16, 3))) for key in keys)
    m = np.zeros((2, 16, 16, 1), np.float32)
    m[:, :8] = 1
    shares = np.array([[0.2, 0.8], [0.6, 0.4]])
    figure = panels.networks_figure(x, m, b, panels.bars(shares, np.array([1, 1]), ("a", "b")))
    axes = np.array(figure.axes).reshape(2, 5)
    composed = _picture(axes[1, 3])
    np.testing.assert_allclose(composed[:8], x[1, :8])
    np.testing.assert_allclose(composed[8:], b[1, 8:])
    assert [bar.get_height() for bar in axes[1, 4].patches] == [0.6, 0.4]
    colours = [bar.get_facecolor() for bar in axes[0, 4].patches]
    assert colours[0] != colours[1]


def test_figure_4_keeps_first_and_last_and_moves_through_all(tmp_path):
    strips = [np.full((8, 16, 16), 20 * i, np.uint8) for i in range(12)]
    for step, strip in enumerate(strips):
        background_strips.write(tmp_path, 100 * step, strip[..., None] / 255)
    read = background_strips.read(tmp_path)
    assert list(read) == [100 * step for step in range(12)]
    np.testing.assert_array_equal(list(read.values()), strips)
    figure = panels.epochs_strip(strips, [float(step) for step in range(12)])
    titles = [one.get_title() for one in figure.axes if one.get_title()]
    assert (titles[0], titles[-1], len(titles)) == ("epoch 0.0", "epoch 11.0", 7)
    np.testing.assert_allclose(_picture(figure.axes[6]), 220 / 255)
    panels.write_animation(strips, range(12), tmp_path / "figure4.gif")
    with Image.open(tmp_path / "figure4.gif") as animation:
        assert animation.n_frames == 12
        assert animation.info["duration"] == 500
