"""Error analysis of a test: which classes are confused, how confidently, and whether the confidence can be trusted.

predictions.csv     every image: index, file, label, the five most probable classes with their probabilities
per_class.csv       every class: images, how often it was predicted, precision, recall; its synset where words name it
confusion.csv/.png  row: true label, column: predicted class
confused.csv        the pairs of classes confused most often
errors.png          the most confident errors, with their pictures
calibration.csv/.png  the reliability curve: accuracy against confidence
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from sklearn import metrics

from common.evaluation.predictions import Predictions

BINS = 15
ERRORS_SHOWN = 25
PAIRS_LISTED = 200
NAMED_CLASSES = 30  # with more, the confusion matrix has no room for names and numbers
_BLUE, _GREY = "#0072B2", "#8a8a8a"


@dataclass(frozen=True)
class Calibration:
    """Images sorted into bins by the probability p of their predicted class, bin b holding b / B < p <= (b + 1) / B.

    Attributes:
        images: (B,) how many; an empty bin has 0 in the other two.
        confidence: (B,) mean probability.
        accuracy: (B,) share that was predicted correctly.
    """

    images: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: mean over images of |accuracy - confidence| of their bin (Guo et al. 2017)."""
        return float(np.sum(self.images * np.abs(self.accuracy - self.confidence)) / max(self.images.sum(), 1))


def calibration(predictions: Predictions, bins: int = BINS) -> Calibration:
    """The reliability curve of the predicted class's probability (Guo et al. 2017, section 2)."""
    confidences = predictions.probability[:, 0].astype(np.float64)
    place = np.clip(np.ceil(confidences * bins).astype(int) - 1, 0, bins - 1)
    images = np.bincount(place, minlength=bins)
    least = np.maximum(images, 1)
    confidence = np.bincount(place, confidences, bins) / least
    accuracy = np.bincount(place, predictions.correct, bins) / least
    return Calibration(images, confidence, accuracy)


def confusion(predictions: Predictions, classes: int) -> np.ndarray:
    """(classes, classes) int: entry (i, j) counts the images of class i that were predicted as j."""
    return metrics.confusion_matrix(predictions.labels, predictions.top[:, 0], labels=range(classes))


def confused(matrix: np.ndarray) -> list[tuple[int, int, int]]:
    """(label, predicted, images) of every pair of classes, most often first; of equals the lower classes first."""
    off = matrix.copy()
    np.fill_diagonal(off, 0)
    rows, columns = np.nonzero(off)
    pairs = [(int(i), int(j), int(off[i, j])) for i, j in zip(rows, columns, strict=True)]
    return sorted(pairs, key=lambda pair: -pair[2])


def most_confident_errors(predictions: Predictions, most: int = ERRORS_SHOWN) -> np.ndarray:
    """The places of the errors with the highest probability, the highest first."""
    wrong = np.flatnonzero(~predictions.correct)
    return wrong[np.argsort(-predictions.probability[wrong, 0], kind="stable")][:most]


def write(
    folder: Path,
    predictions: Predictions,
    classes: Sequence[str],
    files: Sequence[str],
    pictures: Mapping[int, np.ndarray],
    synsets: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """Writes the error analysis into a folder, which is made.

    Args:
        folder: as in RUN/test.
        predictions: of a whole split.
        classes: names by label, no two alike.
        files: name of each image, or an empty text; in the order of the predictions.
        pictures: (S, S, 3) uint8 by place, of the images in `most_confident_errors`.
        synsets: by label, what the data set calls the classes where `classes` are words for them; else ().

    Returns:
        The PNG files' contents, (H, W, 3) uint8, by name: confusion, calibration, and errors where there are any.
    """
    folder.mkdir(parents=True, exist_ok=True)
    matrix, curve = confusion(predictions, len(classes)), calibration(predictions)
    _table(folder / "predictions.csv", *_predictions(predictions, classes, files))
    header, rows = per_class(predictions, classes)
    named = ([*row, name] for row, name in zip(rows, synsets, strict=True)) if synsets else rows
    _table(folder / "per_class.csv", [*header, "synset"] if synsets else header, named)
    counted = ([name, *counts] for name, counts in zip(classes, matrix.tolist(), strict=True))
    _table(folder / "confusion.csv", ["label", *classes], counted)
    of_label = matrix.sum(1)
    pairs = ((classes[i], classes[j], count, count / of_label[i]) for i, j, count in confused(matrix)[:PAIRS_LISTED])
    _table(folder / "confused.csv", ["label", "predicted", "images", "share_of_label"], pairs)
    edges = np.arange(BINS + 1) / BINS
    bins = zip(edges[:-1], edges[1:], curve.images, curve.confidence, curve.accuracy, strict=True)
    _table(folder / "calibration.csv", ["above", "to", "images", "confidence", "accuracy"], bins)
    drawn = {"confusion": _draw_confusion(matrix, classes), "calibration": _draw_calibration(curve)}
    worst = [place for place in most_confident_errors(predictions).tolist() if place in pictures]
    if worst:
        drawn["errors"] = _draw_errors(predictions, classes, files, worst, pictures)
    else:
        (folder / "errors.png").unlink(missing_ok=True)  # of an earlier test
    for name, figure in drawn.items():
        figure.savefig(folder / f"{name}.png", dpi=100)
    return {name: np.asarray(Image.open(folder / f"{name}.png").convert("RGB")) for name in drawn}


def _table(path: Path, header: Iterable[str], rows: Iterable[Iterable]) -> None:
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([_short(value) for value in row] for row in rows)


def _short(value):
    """Six digits of a fraction; nothing for one that is not defined."""
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.6g}"
    return value


def _predictions(predictions: Predictions, classes: Sequence[str], files: Sequence[str]):
    places = range(2, predictions.top.shape[1] + 1)
    further = (f"{what}_{place}" for place in places for what in ("class", "probability"))
    header = ["index", "file", "label", "predicted", "probability", *further]

    def rows():
        for index, (label, top, probability) in enumerate(
            zip(predictions.labels, predictions.top, predictions.probability, strict=True)
        ):
            pairs = zip(top, probability, strict=True)
            yield index, files[index], classes[label], *(x for i, p in pairs for x in (classes[i], p))

    return header, rows()


def per_class(predictions: Predictions, classes: Sequence[str]):
    """Precision is not defined for a class that was never predicted, recall for one without images: left empty."""
    predicted = predictions.top[:, 0]
    precision, recall, _, images = metrics.precision_recall_fscore_support(
        predictions.labels, predicted, labels=range(len(classes)), zero_division=np.nan
    )
    counts = np.bincount(predicted, minlength=len(classes))
    header = ["label", "class", "images", "predicted", "precision", "recall"]
    return header, zip(range(len(classes)), classes, images, counts, precision, recall, strict=True)


def _draw_confusion(matrix: np.ndarray, classes: Sequence[str]) -> Figure:
    """Shares of each label's images; names and counts only where there is room for them."""
    count = len(classes)
    named = count <= NAMED_CLASSES
    size = max(5.0, 0.45 * count + 2.5) if named else 10.0
    # The matrix is square and the colour bar stands beside it: named, the picture is wider than high.
    figure = Figure(figsize=(size, size - 1.2 if named else size), layout="constrained")
    axes = figure.add_subplot()
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    # The square root shows the rare errors beside the diagonal.
    image = axes.imshow(
        np.sqrt(shares), cmap="Blues", vmin=0, vmax=1, interpolation="nearest" if named else "antialiased"
    )
    axes.set_xlabel("predicted")
    axes.set_ylabel("true label")
    bar = figure.colorbar(image, ax=axes, fraction=0.045, ticks=np.sqrt([0, 0.01, 0.1, 0.25, 0.5, 1]))
    bar.ax.set_yticklabels(["0", "1 %", "10 %", "25 %", "50 %", "100 %"])
    bar.set_label("share of the label's images")
    if named:
        axes.set_xticks(range(count), [_cut(name) for name in classes], rotation=90)
        axes.set_yticks(range(count), [_cut(name) for name in classes])
        for row, column in zip(*np.nonzero(matrix), strict=True):
            colour = "white" if shares[row, column] > 0.3 else "black"
            axes.text(column, row, matrix[row, column], ha="center", va="center", color=colour, fontsize=8)
    else:
        axes.set_title(f"{count} classes by label number; names and counts are in confusion.csv", fontsize=9)
    return figure


def _cut(name: str, most: int = 22) -> str:
    """A name short enough for a picture, `$` not taken for a formula."""
    name = name.split(",")[0].encode("utf-8", "replace").decode()
    return (name if len(name) <= most else name[: most - 1] + "…").replace("$", r"\$")


def _draw_calibration(curve: Calibration) -> Figure:
    figure = Figure(figsize=(5.5, 6.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    filled = curve.images > 0
    upper.plot([0, 1], [0, 1], color=_GREY, linestyle="--", linewidth=1, label="perfect calibration")
    upper.plot(curve.confidence[filled], curve.accuracy[filled], "o-", color=_BLUE, label="this test")
    upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02), aspect="auto")
    upper.set_title(f"expected calibration error {curve.error:.4f}", fontsize=10)
    upper.legend(frameon=False)
    width = 1 / len(curve.images)
    lower.bar((np.arange(len(curve.images)) + 0.5) * width, curve.images, width * 0.9, color=_BLUE)
    lower.set(xlabel="confidence (probability of the predicted class)", ylabel="images")
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_errors(
    predictions: Predictions,
    classes: Sequence[str],
    files: Sequence[str],
    places: list[int],
    pictures: Mapping[int, np.ndarray],
) -> Figure:
    columns = min(5, len(places))
    rows = -(-len(places) // columns)
    figure = Figure(figsize=(2.4 * columns, 2.9 * rows))
    grid = figure.subplots(rows, columns, squeeze=False)
    # Places known beforehand: to find them out takes longer than all the drawing.
    figure.subplots_adjust(0.01, 0.25 / (2.9 * rows), 0.99, 1 - 0.4 / (2.9 * rows), wspace=0.05, hspace=0.3)
    for axes, place in zip(grid.flat, places, strict=False):
        axes.imshow(pictures[place])
        predicted, confidence = predictions.top[place, 0], predictions.probability[place, 0]
        label = _cut(classes[predictions.labels[place]])
        axes.set_title(f"predicted {_cut(classes[predicted])} ({confidence:.0%})\ntrue label {label}", fontsize=9)
        axes.set_xlabel(_cut(Path(files[place]).name, 26) if files[place] else f"image {place}", fontsize=7)
    for axes in figure.axes:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    return figure
