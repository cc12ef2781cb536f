"""What is timed as the work grows, without the timing."""

import json

import numpy as np

from bginv_jax.speed import scaling


def test_the_digits_are_enlarged_and_repeated():
    small, large = scaling._dataset(32, 9000), scaling._dataset(64, 1500)
    assert small.size == 32
    assert small.train.images.shape == (9000, 32, 32, 1)
    np.testing.assert_array_equal(small.train.images[4000:8000], small.train.images[:4000])
    assert large.size == 64
    assert large.train.images.shape == (1500, 64, 64, 1)
    np.testing.assert_array_equal(large.train.targets[:1000], small.train.targets[:1000])
    shares = [images[:1000].mean() for images in (small.train.images, large.train.images)]
    assert abs(shares[0] - shares[1]) < 1  # of 255: the same digits


def test_one_thing_grows_at_a_time_and_all_points_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(
        scaling, "measure", lambda **point: point | {"images_per_second": 1000 * (32 / point["size"]) ** 2}
    )
    drawn, save = [], scaling.Figure.savefig

    def note(figure, path, **options):
        drawn.append(figure)
        save(figure, path, **options)

    monkeypatch.setattr(scaling.Figure, "savefig", note)
    scaling.write(tmp_path)
    records = [json.loads(line) for line in (tmp_path / "scaling.jsonl").read_text().splitlines()]
    usual = {name: values[0] for name, (values, _) in scaling.AXES.items()}
    changed = [[name for name in usual if record[name] != usual[name]] for record in records]
    assert changed[0] == []
    assert all(len(names) == 1 for names in changed[1:])
    assert len(records) == 1 + sum(len(values) - 1 for values, _ in scaling.AXES.values())
    (figure,) = drawn
    assert (tmp_path / "scaling.png").stat().st_size > 1000
    for axes, (values, _) in zip(figure.axes, scaling.AXES.values(), strict=True):
        (line,) = axes.lines
        np.testing.assert_array_equal(line.get_xdata(), sorted(values))
        np.testing.assert_allclose(line.get_ydata(), 1000)  # larger images count by their pixels
