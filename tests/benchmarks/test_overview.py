"""The picture of a run: drawn from the run's own files."""

import csv
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

import tiny
from benchmarks import overview

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        tiny.register(patch, tmp_path_factory.mktemp("overview"), error_analysis=True)
        tiny.start("run")
        yield Path("run").resolve()


def test_curves_are_those_of_metrics_csv(run):
    with open(run / "metrics.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = overview.curves(run)
    assert [step for step, _ in found["validation"]] == [19, 38]
    for split in ("train", "validation"):
        assert found[split] == [(int(r["step"]), float(r["top1"])) for r in rows if r["split"] == split]


def test_predictions_show_a_picture_of_each_class(run):
    found = overview.predictions(run)
    assert len({label for _, _, label, _ in found}) == len(found) == overview.SHOWN
    with open(run / "test" / "predictions.csv", newline="", encoding="utf-8") as file:
        first = next(csv.DictReader(file))
    picture, *named = found[0]
    assert named == [first["predicted"], first["label"], float(first["probability"])]
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3


def test_the_picture_is_small_enough_for_a_page(run, tmp_path):
    overview.draw(run, tmp_path / "overview.png")
    assert image.imread(tmp_path / "overview.png").shape[:2] == (360, 1080)
    assert (tmp_path / "overview.png").stat().st_size < 200_000
