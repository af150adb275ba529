import time

import numpy as np
import pytest

import reports
from common.evaluation.prediction import Predictions
from common.report import analysis, record, run_page


@pytest.fixture(scope="module")
def found():
    predictions = reports.predictions()
    places = analysis.places(predictions, 3)
    files = [*reports.FILES * 4]
    return analysis.analyse(predictions, reports.NAMES, files, reports.pictures(places))


def test_the_matrix_and_the_classes_are_those_counted_by_hand(found):
    assert found["matrix"]["rows"] == [[4, 2, 0], [1, 3, 0], [1, 1, 0]]
    assert found["matrix"]["shares"][0] == pytest.approx([4 / 6, 2 / 6, 0])
    rows = [
        (row["class"], row["images"], row["predicted"], row["precision"], row["recall"]) for row in found["classes"]
    ]
    assert rows[:2] == [(reports.NAMES[0], 6, 6, 4 / 6, 4 / 6), (reports.NAMES[1], 4, 6, 0.5, 0.75)]
    assert rows[2] == ("plain", 2, 0, None, 0.0)  # never predicted: its precision is not defined
    pairs = [(pair["label"], pair["predicted"], pair["images"], pair["share"]) for pair in found["matrix"]["pairs"]]
    assert pairs == [(0, 1, 2, 2 / 6), (1, 0, 1, 1 / 4), (2, 0, 1, 1 / 2), (2, 1, 1, 1 / 2)]


def test_behind_a_cell_are_its_most_confident_pictures_the_mistakes_first():
    cells = analysis.cells(reports.predictions(), 3)
    assert cells == {(0, 1): [2, 3], (1, 0): [8], (2, 0): [10], (2, 1): [11], (0, 0): [0, 1], (1, 1): [6, 9]}
    assert next(iter(cells)) == (0, 1)


def test_errors_are_sorted_by_confidence_and_name_file_and_classes(found):
    assert [one["p"] for one in found["errors"]] == pytest.approx([0.95, 0.85, 0.6, 0.45, 0.4])
    first = found["errors"][0]
    assert (first["label"], first["predicted"], first["file"]) == (reports.NAMES[0], reports.NAMES[1], "image 2")
    assert found["errors"][2]["file"] == reports.FILES[0]
    assert first["image"].startswith("data:image/jpeg;base64,")


def test_the_bins_of_the_calibration(found):
    # Fifteenths: 0.99 and 0.95 lie in the last one, (14/15, 1]; one of the two is right.
    last = found["calibration"]["bins"][-1]
    assert (last["images"], last["accuracy"], last["confidence"]) == (2, 0.5, pytest.approx(0.97))
    assert sum(bin["images"] for bin in found["calibration"]["bins"]) == 12


def test_pictures_that_cannot_be_had_are_left_out():
    found = analysis.analyse(reports.predictions(), reports.NAMES, [""] * 12, {})
    assert found["errors"] == []
    assert found["matrix"]["cells"] == {}


def thousand(images: int, classes: int = 1000) -> Predictions:
    """Three of four right, the others spread over all classes."""
    random = np.random.default_rng(5)
    labels = random.integers(0, classes, images).astype(np.int32)
    first = np.where(random.random(images) < 0.75, labels, random.integers(0, classes, images))
    top = ((first[:, None] + np.arange(5)) % classes).astype(np.int32)
    probability = np.sort(random.dirichlet(np.ones(5), images), 1)[:, ::-1].astype(np.float32)
    return Predictions(labels, top, probability, np.log(probability[:, 0]))


def test_of_many_classes_the_largest_cells_are_kept_and_counted():
    predictions = thousand(400, classes=40)
    found = analysis.analyse(predictions, [str(i) for i in range(40)], [""] * 400, {})["matrix"]
    counts: dict[tuple[int, int], int] = {}
    for label, predicted in zip(predictions.labels.tolist(), predictions.top[:, 0].tolist(), strict=True):
        counts[label, predicted] = counts.get((label, predicted), 0) + 1
    assert {(label, predicted): images for label, predicted, images in found["sparse"]} == counts
    assert found["left_out"] == 0
    assert found["picture"].startswith("data:image/png;base64,")


@pytest.mark.slow
def test_a_thousand_classes_and_fifty_thousand_images_make_a_page_below_three_megabytes(tmp_path):
    predictions, classes = (
        thousand(50_000),
        [f"class <{number}> of ImageNet, or another name" for number in range(1000)],
    )
    files = [f"validation/n{number:08d}/ILSVRC2012_val_{number:08d}.JPEG" for number in range(50_000)]
    random = np.random.default_rng(1)
    noise = {int(p): random.integers(0, 256, (128, 128, 3), np.uint8) for p in analysis.places(predictions, 1000)}
    run = reports.run(tmp_path / "run", steps=100_000, classes=classes)
    start = time.perf_counter()
    found = analysis.analyse(predictions, classes, files, noise)
    path = run_page.write(record.read(run), None, found, "")
    print(f"{path.stat().st_size / 1e6:.2f} MB in {time.perf_counter() - start:.1f} s")
    assert path.stat().st_size < 3_000_000
    assert sum(row["images"] for row in found["classes"]) == 50_000
    assert len(found["errors"]) >= 20  # noise, which compresses worst
    assert found["matrix"]["cells"]
