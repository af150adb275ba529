"""The page's text, read back: every figure is that of its file, every name is shown and none is executed."""

import base64
import hashlib
import json
import re

import pytest

import reports
from common.report import analysis, page, record, run_page

NETWORK = run_page.Network(
    layers=[
        {"name": "conv1", "what": "convolution 3x3/1 pad 1", "output": (16, 16, 8), "parameters": 224}
        | {"multiply_adds": 55296, "activation_values": 2048, "receptive_field": 3}
    ],
    totals={"trainable_parameters": 2866, "multiply_adds": 351_744, "activation_values": 5000},
    filters="data:image/png;base64,AAAA",
)


def write(run, **changes):
    predictions = reports.predictions()
    files = [*reports.FILES * 4]
    found = analysis.analyse(predictions, reports.NAMES, files, reports.pictures(analysis.places(predictions, 3)))
    return run_page.write(record.read(reports.run(run, **changes)), NETWORK, found, "10crops")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = write(tmp_path_factory.mktemp("report") / "run <1>")
    assert path.name == "report.html"
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def read(text):
    return reports.Page(text)


def test_the_table_of_tests_holds_the_figures_of_the_results_files(read):
    head, plain, crops = read.tables["tests"]
    assert [cell for cell, _ in head][:5] == ["test", "split", "protocol", "top-1", "top-5"]
    assert [cell for cell, _ in plain] == [
        *("plain", "test", "centre crop at short side 18", "58.33 %", "", "55.00 %", "0.7012"),
        *("0.1235", "12", "24.0"),
    ]
    values = [float(value) if value else None for _, value in plain[3:]]
    names = ("top1", "top5", "balanced_accuracy", "loss", "calibration_error", "images", "images_per_second")
    assert values == [reports.RESULTS.get(name) for name in names]
    assert [cell for cell, _ in crops][:5] == ["10crops", "test", "10 crops at short side 18", "66.67 %", "93.75 %"]
    assert read.figures["top1"] == ("58.33 %", str(reports.RESULTS["top1"]))
    assert read.figures["balanced_accuracy"] == ("55.00 %", "0.55")
    assert read.figures["loss"] == ("0.7012", str(reports.RESULTS["loss"]))
    assert read.figures["parameters"] == ("2,866", "2866")


def test_the_table_of_validations_holds_the_rows_of_metrics_csv(read):
    rows = [row for row in reports.rows() if row[2] == "validation"]
    assert [[float(value) for _, value in line] for line in read.tables["validations"][1:]] == [
        [epoch, step, rate, loss, top1, top5] for step, epoch, _, rate, _, _, loss, top1, top5 in rows
    ]
    assert [text for text, _ in read.tables["validations"][1]] == [
        *("1", "40", "0.02", f"{rows[0][6]:.4f}", f"{100 * rows[0][7]:.2f} %", "100.00 %"),
    ]
    best = max(row[7] for row in rows)
    assert read.figures["best"] == (f"{100 * best:.2f} %", str(best))


def test_curves_are_the_rows_of_metrics_csv(read):
    charts = {chart["id"]: {one["name"]: one for one in chart["series"]} for chart in read.data["charts"]}
    for name, split in (("training", "train"), ("first steps", "step"), ("validation", "validation")):
        rows = [row for row in reports.rows() if row[2] == split]
        assert charts["loss"][name]["x"] == [row[0] for row in rows]
        assert charts["loss"][name]["y"] == [row[6] for row in rows]
        assert charts["top1"][name]["y"] == [row[7] for row in rows]


def test_the_tables_of_classes_pairs_bins_and_layers(read):
    assert [[text for text, _ in row] for row in read.tables["per-class"][1:]] == [
        ["0", reports.NAMES[0], "6", "6", "66.67 %", "66.67 %"],
        ["1", reports.NAMES[1], "4", "6", "50.00 %", "75.00 %"],
        ["2", "plain", "2", "0", "", "0.00 %"],
    ]
    assert [text for text, _ in read.tables["pairs"][1]][:4] == [*reports.NAMES[:2], "2", "33.33 %"]
    assert sum(int(row[2][1]) for row in read.tables["bins"][1:]) == 12
    assert [text for text, _ in read.tables["layers"][1]] == [
        *("conv1", "convolution 3x3/1 pad 1", "16 × 16 × 8", "224", "55,296", "2,048", "3"),
    ]


def test_names_are_shown_and_never_executed(text, read):
    assert reports.NASTY not in text
    assert "<img src=x" not in text
    assert all(name in text for name in ("größe 猫", "photos &amp; &lt;more&gt;", "кот &amp; &#39;пёс&#39;.png"))
    assert len(read.scripts) == 1
    assert read.data["classes"] == list(reports.NAMES)
    assert read.data["cells"]["1,0"][0]["file"] == "image 8"
    assert read.data["cells"]["0,1"][1]["file"] == reports.FILES[0]


def test_nothing_is_loaded_from_elsewhere_and_no_script_runs_but_the_pages_own(text, read):
    assert all(source.startswith(("data:", "#")) for source in read.sources)
    assert "@import" not in text
    digest = base64.b64encode(hashlib.sha256(read.scripts[0].encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy[1].replace("&#39;", "'") == (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )


def test_what_was_run(text):
    for said in (
        "python alexnet.py --mode train --ckpt &#39;my run&#39;",
        "python 3.11.7, tensorflow 2.21.0",
        "256, 480",
    ):
        assert said in text
    assert "<b>momentum</b>" not in text  # the plain default
    assert "<b>0.02</b>" in text  # not the default
    assert "What follows is of the last test, 10crops: 12 images." in text


def test_the_directory_of_an_ensemble_has_its_members_and_results(tmp_path):
    members = [{"checkpoint": f"all/seed-{seed}/checkpoints/step-1", "top1": 0.5} for seed in (5, 6)]
    (tmp_path / "results.json").write_text(json.dumps(reports.RESULTS | {"members": members}), encoding="utf-8")
    read = reports.Page(run_page.write(record.read(tmp_path)).read_text(encoding="utf-8"))
    assert read.figures["top1"][0] == "58.33 %"
    assert read.data["charts"] == []
    assert "layers" not in read.tables


def test_bytes_that_are_no_text_are_shown_as_such(tmp_path):
    page.write(tmp_path / "page.html", "a\udcff \ud83d b")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == "a\\udcff \\ud83d b"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (True, "yes"),
        ((256, 480), "256, 480"),
        ((), "none"),
        (0.0005, "0.0005"),
        (1234567.5, "1234567.5"),
        (8.0, "8"),
        ("he", "he"),
        (1, "1"),
        (0, "0"),
    ],
)
def test_settings_as_people_write_them(value, text):
    assert page.plain(value) == text
