import random

import reports
from common.report import curves, record


def test_thinning_keeps_the_ends_the_extremes_and_measured_points_alone():
    draw = random.Random(1)
    steps, values = list(range(0, 50_000, 5)), [draw.random() for _ in range(10_000)]
    values[4321], values[7777] = 9.0, -9.0
    kept = dict(zip(*curves.thinned(steps, values, 100), strict=True))
    assert len(kept) <= 100
    assert {0, steps[-1], steps[4321], steps[7777]} <= kept.keys()
    assert all(values[step // 5] == value for step, value in kept.items())
    assert list(kept) == sorted(kept)
    assert curves.thinned([1, 2], [3.0, 4.0], 100) == ([1, 2], [3.0, 4.0])


def test_charts_hold_the_rows_of_metrics_csv(tmp_path):
    found = record.read(reports.run(tmp_path / "run"))
    charts = {chart["id"]: chart for chart in curves.charts(found)}
    loss = {one["name"]: one for one in charts["loss"]["series"]}
    assert loss.keys() == {"training", "first steps", "validation", "training, without weight decay"}
    assert (loss["training"]["x"], loss["training"]["y"][0]) == ([*range(10, 121, 10)], 2 / 10 + 0.26)
    assert loss["validation"] == {"name": "validation", "x": [40, 80, 120], "color": 1, "dots": True} | {
        "y": [2 / 40 + 0.35, 2 / 80 + 0.35, 2 / 120 + 0.35]
    }
    assert loss["training, without weight decay"]["y"][1] == 2 / 20 + 0.01
    rates = charts["learning-rate"]
    assert rates["log"] is False  # a factor of ten does not need it
    assert set(zip(rates["series"][0]["x"], rates["series"][0]["y"], strict=True)) >= {(80, 0.02), (90, 0.002)}
    assert charts.keys() == {"loss", "top1", "learning-rate"}  # of the speed nothing is known


def test_a_run_that_was_never_trained_has_no_chart(tmp_path):
    found = record.read(tmp_path)
    assert (found.config, found.rows, found.results, found.best) == ({}, (), {}, None)
    assert curves.charts(found) == []


def test_the_table_of_validations_has_the_best_and_the_last(tmp_path):
    rows = tuple(
        {"step": step, "split": "validation", "top1": 0.9 if step == 77 else 0.5, "loss": 1.0}
        for step in range(1, 1001)
    )
    shown = curves.validations(record.Record(tmp_path, {}, rows, {}), most=10)
    assert [row["step"] for row in shown] == [1, 77, 101, 201, 301, 401, 501, 601, 701, 801, 901, 1000]
    assert curves.validations(record.Record(tmp_path, {}, rows[:3], {})) == list(rows[:3])


def test_runs_over_one_another_differ_in_colour(tmp_path):
    both = [(name, record.read(reports.run(tmp_path / name))) for name in ("a", "b")]
    loss = next(chart for chart in curves.together(both) if chart["id"] == "loss")
    assert [(one["name"], one["color"]) for one in loss["series"]] == [
        ("a, validation", 0),
        ("a, training", 0),
        ("b, validation", 1),
        ("b, training", 1),
    ]
