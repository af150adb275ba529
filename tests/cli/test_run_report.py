"""report.html and `--mode compare` as a person makes them."""

import base64
import csv
import io
import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

import reports
import tiny
from common.evaluation import error_analysis


def register(patch, root):
    """`tiny`, whose tests write the error analysis with empty drawings, which are not looked at here."""
    tiny.register(patch, root, error_analysis=True)
    for name in ("confusion", "calibration", "errors"):
        patch.setattr(error_analysis, f"_draw_{name}", lambda *_: Figure(figsize=(1, 1)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two trained runs, `one` and `two`, of different learning rates."""
    root = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        register(patch, root)
        tiny.start("one", "--epochs", "1")
        tiny.start("two", "--epochs", "1", "--learning_rate", "0.005", "--noreport")
    return root


@pytest.fixture(autouse=True)
def _here(folder, monkeypatch):
    register(monkeypatch, folder)


def read(run):
    return reports.Page((Path(run) / "report.html").read_text(encoding="utf-8"))


def test_training_ends_with_a_page_whose_figures_are_those_of_its_files():
    page, results = read("one"), json.loads(Path("one/results.json").read_text())
    with open("one/metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for name in ("top1", "top5", "loss"):
        assert float(page.figures[name][1]) == results[name]
    assert page.figures["top1"][0] == f"{100 * results['top1']:.2f} %"
    assert float(page.figures["calibration_error"][1]) == results["calibration_error"]
    validations = [row for row in rows if row["split"] == "validation"]
    assert [float(value) for _, value in page.tables["validations"][-1]] == [
        float(validations[-1][name]) for name in ("epoch", "step", "learning_rate", "loss", "top1", "top5")
    ]
    charts = {chart["id"]: chart["series"] for chart in page.data["charts"]}
    for split, series in zip(("train", "step", "validation"), charts["loss"], strict=False):
        assert series["y"] == [float(row["loss"]) for row in rows if row["split"] == split]
    assert charts["speed"][0]["x"] == [int(row["step"]) for row in rows if row["split"] == "train"]
    with open("one/test/per_class.csv", newline="") as file:
        classes = list(csv.DictReader(file))
    assert [int(row[2][1]) for row in page.tables["per-class"][1:]] == [int(row["images"]) for row in classes]
    for row, wanted in zip(page.tables["per-class"][1:], classes, strict=True):
        assert (
            row[5][1] == ""
            if not wanted["recall"]
            else float(row[5][1]) == pytest.approx(float(wanted["recall"]), 1e-5)
        )


def test_the_page_has_the_networks_costs_and_first_filters():
    page = read("one")
    # Convolutions 3*3*3*8 and 3*3*8*16 without biases; gamma and beta of 8 and 16 channels; 2*2*16 inputs, 10 classes.
    assert page.figures["parameters"][1] == str(216 + 1152 + 2 * (8 + 16) + 64 * 10 + 10)
    layers = {row[0][0]: [text for text, _ in row] for row in page.tables["layers"][1:]}
    assert layers["conv1"][1:5] == ["convolution 3x3/1 pad 1", "16 × 16 × 8", "216", f"{216 * 256:,}"]
    (sheet,) = [source for source in page.sources if source.startswith("data:image/png")]
    # Eight filters, three in a row, each of 3 pixels ten times as large, two pixels between them.
    assert Image.open(io.BytesIO(base64.b64decode(sheet.partition(",")[2]))).size == (94, 94)


def test_a_test_writes_the_page_unless_it_is_told_not_to(capsys):
    assert not Path("two/report.html").exists()
    tiny.run("--mode", "test", "--restore", "two", "--arch", "tiny", "--split", "validation")
    assert "all on one page: two/report.html" in capsys.readouterr().out
    assert [row[0][0] for row in read("two").tables["tests"][1:]] == ["plain", "validation"]
    Path("two/report.html").unlink()
    tiny.run("--mode", "test", "--restore", "two", "--arch", "tiny", "--noreport")
    assert not Path("two/report.html").exists()


def test_compare_prints_and_writes_the_difference(capsys):
    tiny.run("--mode", "compare", "one", "two", "--out", "side/by/side")
    said = capsys.readouterr().out
    assert ["learning_rate", "0.02", "0.005"] in [line.split() for line in said.splitlines()]
    assert said.splitlines()[-1] == "the same as a page: side/by/side/compare.html"
    page = reports.Page(Path("side/by/side/compare.html").read_text(encoding="utf-8"))
    predicted = []
    for run in ("one", "two"):
        with open(f"{run}/test/predictions.csv", newline="") as file:
            predicted.append([row["predicted"] for row in csv.DictReader(file)])
    same = sum(a == b for a, b in zip(*predicted, strict=True))
    assert f"one and two: the same class for {same} of 360" in said
    shown = [source for source in page.sources if source.startswith("data:image/jpeg")]
    assert len(shown) == min(360 - same, 60)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--mode=compare: name two run directories or more, e.g. --mode compare ckpt/alexnet ckpt/resnet34"),
        (("one", "./one"), "--mode=compare: name two run directories or more"),
        (("one", "tow"), "--mode=compare tow: no such directory"),
        (("one", "datasets/digits"), "--mode=compare datasets/digits: this is no run directory, it has no config.json"),
        (("one", "."), "it has no config.json; name them one by one: one, two"),
        (("one", "two", "--restore", "one"), "--restore means nothing in --mode=compare"),
    ],
)
def test_what_cannot_be_compared_is_one_line(capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        tiny.run("--mode", "compare", *arguments)
    error = capsys.readouterr().err
    assert (caught.value.code, error.count("\n")) == (2, 1)
    assert message in error
