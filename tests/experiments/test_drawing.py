"""Pictures: what they are drawn of, that all kinds are drawn, that names can be read."""

import dataclasses
import itertools

import pytest

from experiments import drawing
from experiments.design import Picture, Run
from made_comparison import COMPARISON, curve_points, rows


def test_a_curve_is_the_mean_over_the_seeds():
    data = drawing.Data(COMPARISON, "small", rows(), curve_points())
    x, y = data.curve(COMPARISON.run("a"), "train_loss")
    assert x.tolist() == [10, 20]
    assert y.tolist() == [3, 1.5]


def test_a_series_named_like_a_run_has_its_title_and_a_new_title_is_a_new_picture():
    runs = (dataclasses.replace(COMPARISON.run("b"), label="beta"), *COMPARISON.runs[:1])
    data = drawing.Data(dataclasses.replace(COMPARISON, runs=runs), "small", rows(), curve_points())
    assert (data.label("b"), data.label("train_loss")) == ("beta", "train_loss")
    picture = Picture("lines", "title", ("b",), rows=("a",))
    assert data.digest(picture) != drawing.Data(COMPARISON, "small", rows(), curve_points()).digest(picture)


@pytest.mark.parametrize("kind", sorted(drawing.KINDS))
def test_every_kind_of_picture_is_drawn_and_small(kind, tmp_path):
    runs = tuple(dataclasses.replace(run, group=run.name) for run in COMPARISON.runs[:2])
    comparison = dataclasses.replace(COMPARISON, runs=runs)
    more = {"steps": "20", "epochs": "2", "multiply_adds": "4000000", "best_validation": "0.5"}
    mine = [{**row, **more} for row in rows(comparison)]
    series = ("top1",) if kind in ("points", "grid", "bubbles") else ("train_loss",)
    file = tmp_path / "folder/picture.png"
    picture = Picture(kind, "title", series, rows=("a",) if kind == "lines" else ())
    data = drawing.Data(comparison, "small", mine, curve_points())
    drawing.draw(data, picture, file)
    assert file.read_bytes().startswith(b"\x89PNG")
    assert file.stat().st_size < 100_000
    shown = drawn(data, picture)
    wanted = {
        "lines": {(10, 3), (20, 1.5)},  # the mean over two seeds
        "errors": {(1, -200), (2, -50)},  # 20 steps are 2 epochs; 100 (1 - 3) and 100 (1 - 1.5)
        "points": {(50, 0), (60, 0), (25, 1), (75, 1)},
        "grid": {(0, 55), (0, 50)},
        "bubbles": {(4, 55), (4, 50)},  # millions of multiply-adds
    }
    assert wanted.get(kind, wanted["lines"]) <= shown


def drawn(data: drawing.Data, picture: Picture) -> set[tuple[float, float]]:
    """The points of a picture's lines and bubbles."""
    figure, axes = drawing.plt.subplots()
    drawing.KINDS[picture.kind](data, picture, axes)
    found = {(float(x), round(float(y), 6)) for line in axes.lines for x, y in zip(*line.get_data(), strict=True)}
    for bubbles in axes.collections:
        found |= {(float(x), round(float(y), 6)) for x, y in bubbles.get_offsets()}
    drawing.plt.close(figure)
    return found


@pytest.mark.parametrize("kind", ["errors", "curves", "best"])
def test_a_run_of_which_all_seeds_diverged_at_once_is_not_drawn(kind, tmp_path):
    runs = tuple(dataclasses.replace(run, group=run.name) for run in COMPARISON.runs[:2])
    comparison = dataclasses.replace(COMPARISON, runs=runs)
    gone = {"outcome": "diverged", "top1": "", "steps": "", "epochs": "", "best_validation": ""}
    mine = [{**row, **({"steps": "20", "epochs": "2"} if row["run"] == "a" else gone)} for row in rows(comparison)]
    mine[0]["best_validation"] = "0.5"
    picture = Picture(kind, "title", ("train_loss",), x="minutes")
    only = [point for point in curve_points() if point["run"] == "a"]
    data = drawing.Data(comparison, "small", mine, only)
    drawing.draw(data, picture, tmp_path / "picture.png")
    figure, axes = drawing.plt.subplots()
    drawing.KINDS[kind](data, picture, axes)
    names = {text.get_text() for text in axes.get_legend().get_texts()}
    assert "the first" in names
    assert "b" not in names
    drawing.plt.close(figure)


@pytest.mark.parametrize(
    ("series", "label", "drawn"),
    [
        ("test_top1", "test top-1, %, mean over the seeds", [300, 150]),
        ("train_loss", "training loss, mean over the seeds", [3, 1.5]),
    ],
)
def test_accuracies_are_drawn_in_per_cent(series, label, drawn):
    points = [point | {"series": series} for point in curve_points()]
    figure, axes = drawing.plt.subplots()
    drawing.curves(drawing.Data(COMPARISON, "small", rows(), points), Picture("curves", "", (series,)), axes)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", label)
    assert axes.lines[0].get_ydata().tolist() == drawn
    drawing.plt.close(figure)


def test_lines_of_a_grid_have_the_colour_of_their_row_and_the_dashes_of_their_column():
    runs = [Run(f"{row}{column}", row=row, column=column) for row in "ab" for column in "xy"]
    ax, ay, bx, by = drawing.styles(runs)
    assert ax["color"] == ay["color"] != bx["color"] == by["color"]
    assert ax["ls"] == bx["ls"] != ay["ls"] == by["ls"]
    others = drawing.styles([*runs, Run("c")])
    assert len({one["color"] for one in others}) == 5
    assert {one["ls"] for one in others} == {"-"}


def test_the_legend_of_errors_names_only_what_is_drawn():
    points = [point | {"series": "train_top1", "y": "0.5"} for point in curve_points()]
    more = {"steps": "20", "epochs": "2"}
    figure, axes = drawing.plt.subplots()
    drawing.errors(
        drawing.Data(COMPARISON, "small", [{**row, **more} for row in rows()], points), Picture("errors", ""), axes
    )
    named = [text.get_text() for text in axes.get_legend().get_texts()]
    assert named[-1] == "thin: training"
    assert not any("validation" in name for name in named)
    drawing.plt.close(figure)


def test_names_of_bubbles_stay_apart():
    """Three networks in about the same place, one of them large, and one far away."""
    figure, axes = drawing.plt.subplots(figsize=(8, 4.6), layout="constrained")
    axes.set(xlim=(1, 100), ylim=(0, 100))
    named = [("one", 10, 50, 3), ("two", 10.1, 50.2, 20), ("three", 9.9, 49.9, 3), ("four", 80, 10, 5)]
    drawing.name_apart(axes, named)
    assert [text.get_text() for text in axes.texts] == ["one", "two", "three", "four"]
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(one.overlaps(two) for place, one in enumerate(boxes) for two in boxes[:place])
    for box, (_, x, y, radius) in itertools.product(boxes, named):
        across, up = axes.transData.transform((x, y))
        right, above = max(box.x0 - across, across - box.x1), max(box.y0 - up, up - box.y1)
        assert max(right, above) > radius * figure.dpi / 72 - 1e-6  # off the square around the bubble
    assert axes.texts[3].xyann == (drawing.BESIDE[0][0] + 5, drawing.BESIDE[0][1])
    drawing.plt.close(figure)
