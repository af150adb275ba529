"""The error analysis of a test for its page: as much of it as a page of three megabytes holds."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from common.evaluation import error_analysis
from common.evaluation.prediction import Predictions
from common.report import images

IN_FULL = 30  # classes whose confusion matrix is a table; of more it is a picture and a list
IN_A_CELL = 4  # pictures behind one cell
PICTURES = 180  # behind all cells
CELLS = 15_000  # of a large matrix, that the page knows by number
PAIRS = 150
BYTES = {"errors": 500_000, "cells": 900_000}  # of pictures as text

Cells = dict[tuple[int, int], list[int]]


def cells(predictions: Predictions, classes: int) -> Cells:
    """The places of the pictures to show behind cells (label, predicted) of the confusion matrix.

    The pairs confused most often come first, each with its most confident pictures; then, while there is room, two for
    each class that was recognised.
    """
    labels, predicted = predictions.labels.astype(np.int64), predictions.top[:, 0].astype(np.int64)
    order = np.lexsort((-predictions.probability[:, 0], labels * classes + predicted))
    keys, starts, counts = np.unique((labels * classes + predicted)[order], return_index=True, return_counts=True)
    wrong = keys // classes != keys % classes
    found: Cells = {}
    room = PICTURES
    for place in sorted(range(len(keys)), key=lambda one: (not wrong[one], -counts[one])):
        take = min(int(counts[place]), IN_A_CELL if wrong[place] else 2, room)
        if not take:
            break
        cell = int(keys[place] // classes), int(keys[place] % classes)
        found[cell] = order[starts[place] : starts[place] + take].tolist()
        room -= take
    return found


def places(predictions: Predictions, classes: int) -> np.ndarray:
    """The places of all pictures that the page shows."""
    behind = [place for some in cells(predictions, classes).values() for place in some]
    return np.union1d(np.array(behind, np.int64), error_analysis.most_confident_errors(predictions))


def analyse(
    predictions: Predictions, classes: Sequence[str], files: Sequence[str], pictures: Mapping[int, np.ndarray]
) -> dict[str, Any]:
    """What the page shows of a test.

    Args:
        predictions: of a whole split.
        classes: names by label.
        files: name of each image, or an empty text; in the order of the predictions.
        pictures: (S, S, 3) uint8 by place, of the images in `places`; one that is missing is not shown.

    Returns:
        `classes`: rows of the per-class table. `matrix`: of the confusion matrix. `errors`: the most confident ones.
        `calibration`: the bins of the reliability curve and the expected calibration error.
    """
    matrix = error_analysis.confusion(predictions, len(classes))
    header, rows = error_analysis.per_class(predictions, classes)
    per_class = [dict(zip(header, map(_plain, row), strict=True)) for row in rows]
    curve = error_analysis.calibration(predictions)
    edges = np.arange(len(curve.images) + 1) / len(curve.images)
    bins = zip(edges[:-1], edges[1:], curve.images, curve.confidence, curve.accuracy, strict=True)
    names = ("above", "to", "images", "confidence", "accuracy")
    return {
        "images": len(predictions.labels),
        "classes": per_class,
        "matrix": _matrix(predictions, matrix, classes, files, pictures),
        "errors": _errors(predictions, classes, files, pictures),
        "calibration": {
            "error": curve.error,
            "bins": [dict(zip(names, map(_plain, one), strict=True)) for one in bins],
        },
    }


def _plain(value: Any) -> Any:
    """A number as Python's own; None for one that is not defined."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and math.isnan(value) else value


def _within(budget: int, made: Iterable[tuple[Any, str]]) -> dict[Any, str]:
    """Data URIs by key, from the first on, as long as they are not longer than `budget` together."""
    found: dict[Any, str] = {}
    size = 0
    for key, text in made:
        size += len(text)
        if size > budget:
            break
        found[key] = text
    return found


def _matrix(
    predictions: Predictions,
    matrix: np.ndarray,
    classes: Sequence[str],
    files: Sequence[str],
    pictures: Mapping[int, np.ndarray],
) -> dict[str, Any]:
    """The confusion matrix, in full or as a picture with its largest cells; the pairs; the pictures behind cells."""
    behind = {cell: [p for p in some if p in pictures] for cell, some in cells(predictions, len(classes)).items()}
    wanted = dict.fromkeys(place for some in behind.values() for place in some)
    shown = _within(BYTES["cells"], ((place, images.jpeg(pictures[place], 72)) for place in wanted))
    of_label = matrix.sum(1)
    pairs = [
        {"label": i, "predicted": j, "images": count, "share": count / int(of_label[i])}
        for i, j, count in error_analysis.confused(matrix)[:PAIRS]
    ]
    found: dict[str, Any] = {
        "full": len(classes) <= IN_FULL,
        "pairs": pairs,
        "cells": {
            f"{i},{j}": [
                {"image": shown[place], "file": files[place] or f"image {place}", "p": _confidence(predictions, place)}
                for place in some
                if place in shown
            ]
            for (i, j), some in behind.items()
            if any(place in shown for place in some)
        },
    }
    if found["full"]:
        return found | {"rows": matrix.tolist(), "shares": (matrix / np.maximum(of_label, 1)[:, None]).tolist()}
    rows, columns = np.nonzero(matrix)
    counts = matrix[rows, columns]
    largest = np.argsort(-counts, kind="stable")[:CELLS]
    sparse = np.stack([rows[largest], columns[largest], counts[largest]], 1).tolist()
    return found | {"picture": images.matrix(matrix), "sparse": sparse, "left_out": len(rows) - len(largest)}


def _confidence(predictions: Predictions, place: int) -> float:
    return round(float(predictions.probability[place, 0]), 6)


def _errors(
    predictions: Predictions, classes: Sequence[str], files: Sequence[str], pictures: Mapping[int, np.ndarray]
) -> list[dict[str, Any]]:
    worst = [place for place in error_analysis.most_confident_errors(predictions).tolist() if place in pictures]
    shown = _within(BYTES["errors"], ((place, images.jpeg(pictures[place], 128)) for place in worst))
    return [
        {
            "image": image,
            "file": files[place] or f"image {place}",
            "label": classes[predictions.labels[place]],
            "predicted": classes[predictions.top[place, 0]],
            "p": _confidence(predictions, place),
        }
        for place, image in shown.items()
    ]
