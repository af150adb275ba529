import csv

import numpy as np
import pytest
from PIL import Image

from common.evaluation import error_analysis
from common.evaluation.prediction import Predictions

CLASSES = ("cat", "dog, hound", "cow")


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def predictions(labels, predicted, confidence, classes=3):
    """The predicted class with its probability; the others share the rest in rising order."""
    top = [[first, *(c for c in range(classes) if c != first)][:5] for first in predicted]
    rest = [[p, *[(1 - p) / (classes - 1)] * (classes - 1)][:5] for p in confidence]
    truth = [np.log(dict(zip(t, r, strict=True)).get(y, 1e-9)) for y, t, r in zip(labels, top, rest, strict=True)]
    return Predictions(
        np.array(labels, np.int32), np.array(top, np.int32), np.array(rest, np.float32), np.array(truth, np.float32)
    )


# Label, predicted, probability. Class 2 is never predicted.
SIX = predictions([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 0, 0], [0.9, 0.8, 0.7, 0.6, 0.95, 0.5])


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "test"
    files = ["a.jpg", "b.jpg", "", "d.jpg", "e.jpg", "ä,b.jpg"]
    pictures = {
        place: np.full((16, 16, 3), 40 * place, np.uint8)
        for place in error_analysis.most_confident_errors(SIX).tolist()
    }
    drawn = error_analysis.write(folder, SIX, CLASSES, files, pictures)
    return folder, drawn


def test_precision_recall_and_count_of_every_class(analysis):
    rows = read(analysis[0] / "per_class.csv")
    assert rows[0] == ["label", "class", "images", "predicted", "precision", "recall"]
    assert rows[1] == ["0", "cat", "3", "4", "0.5", "0.666667"]
    assert rows[2] == ["1", "dog, hound", "2", "2", "0.5", "0.5"]
    assert rows[3] == ["2", "cow", "1", "0", "", "0"]  # never predicted: no precision


def test_confusion_matrix_and_the_most_confused_pairs(analysis):
    assert read(analysis[0] / "confusion.csv") == [
        ["label", *CLASSES],
        ["cat", "2", "1", "0"],
        ["dog, hound", "1", "1", "0"],
        ["cow", "1", "0", "0"],
    ]
    assert read(analysis[0] / "confused.csv")[1:] == [
        ["cat", "dog, hound", "1", "0.333333"],
        ["dog, hound", "cat", "1", "0.5"],
        ["cow", "cat", "1", "1"],
    ]
    assert error_analysis.confused(np.array([[5, 1, 0], [3, 9, 0], [0, 1, 2]])) == [(1, 0, 3), (0, 1, 1), (2, 1, 1)]


def test_predictions_list_every_image(analysis):
    rows = read(analysis[0] / "predictions.csv")
    assert rows[0][:5] == ["index", "file", "label", "predicted", "probability"]
    assert rows[0][5:7] == ["class_2", "probability_2"]
    assert rows[3] == ["2", "", "cat", "dog, hound", "0.7", "cat", "0.15", "cow", "0.15"]
    assert rows[6][:5] == ["5", "ä,b.jpg", "cow", "cat", "0.5"]
    assert len(rows) == 7


def test_the_most_confident_errors_come_first():
    assert error_analysis.most_confident_errors(SIX).tolist() == [4, 2, 5]
    assert error_analysis.most_confident_errors(SIX, 2).tolist() == [4, 2]


def test_calibration_by_hand(analysis):
    """Two bins: (0, 0.5] holds the 0.5, wrong; (0.5, 1] the other five, three of them right, mean 0.79."""
    curve = error_analysis.calibration(SIX, bins=2)
    assert curve.images.tolist() == [1, 5]
    np.testing.assert_allclose(curve.confidence, [0.5, 0.79], rtol=1e-6)
    np.testing.assert_allclose(curve.accuracy, [0.0, 0.6])
    assert curve.error == pytest.approx((1 * 0.5 + 5 * 0.19) / 6, rel=1e-5)
    sure = predictions([0, 1], [0, 1], [1.0, 1.0])
    assert error_analysis.calibration(sure).error == 0
    assert error_analysis.calibration(sure).images.tolist() == [0] * 14 + [2]
    rows = read(analysis[0] / "calibration.csv")
    assert len(rows) == 1 + error_analysis.BINS
    assert sum(int(row[2]) for row in rows[1:]) == 6


def test_pictures_are_drawn_and_returned(analysis):
    folder, drawn = analysis
    assert set(drawn) == {"confusion", "calibration", "errors"}
    for name, picture in drawn.items():
        np.testing.assert_array_equal(picture, np.asarray(Image.open(folder / f"{name}.png").convert("RGB")))
        assert picture.std() > 5  # something is on it
    # The pictures of the errors are on their sheet: grey 160, 80 and 200 in large patches.
    grey = drawn["errors"][(np.ptp(drawn["errors"], axis=2) == 0)][:, 0]
    assert all(np.sum(grey == 40 * place) > 5000 for place in (4, 2, 5))


def test_a_thousand_classes_stay_readable_and_no_error_leaves_no_sheet(tmp_path):
    random = np.random.default_rng(0)
    labels = random.integers(0, 1000, 3000)
    classes = [f"class {number} $x_1$" for number in range(1000)]
    (tmp_path / "errors.png").touch()
    drawn = error_analysis.write(
        tmp_path, predictions(labels, labels, np.full(3000, 0.9), 1000), classes, [""] * 3000, {}
    )
    assert drawn["confusion"].shape == (1000, 1000, 3)
    assert "errors" not in drawn
    assert not (tmp_path / "errors.png").exists()
    assert len(read(tmp_path / "per_class.csv")) == 1001
