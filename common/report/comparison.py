"""Several runs side by side: what differs in their settings, what they reached, and the pictures they disagree on."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from common.report import page
from common.report.record import Record

ANSWERS = Path("test") / "predictions.csv"  # of the plain test
FIGURES = {
    "top1": "top-1",
    "balanced_accuracy": "balanced accuracy",
    "top5": "top-5",
    "loss": "loss",
    "calibration_error": "calibration error",
}
_SHARES = ("top1", "balanced_accuracy", "top5")  # written in per cent
_LOWER = ("loss", "calibration_error")  # figures of which less is better
_SINGLE = (
    "arch",
    "dataset",
    "image_size",
    "seed",
    "split_seed",
    "validation_share",
    "precision",
    "device_normalise",
    "jit",
    "deterministic",
)

Named = Sequence[tuple[str, Record]]


@dataclass(frozen=True)
class Answers:
    """What one run predicted in its plain test for every picture, in the order of the split.

    Attributes:
        files: names; "" where the data set has none.
        labels, predicted: names of classes.
        probability: (N,) float64, of the predicted class.
    """

    files: list[str]
    labels: list[str]
    predicted: list[str]
    probability: np.ndarray


def settings(runs: Named) -> list[tuple[str, list[str]]]:
    """The settings in which runs differ: name, and the value in each run; "" where a run knows no such setting."""
    each = [_flat(record.config) for _, record in runs]
    names = dict.fromkeys(name for values in each for name in values)
    rows = [(name, [page.plain(values[name]) if name in values else "" for values in each]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: config.get(name) for name in _SINGLE}
    values |= {"classes": len(config["classes"]), "restore": (config.get("started_from") or {}).get("path")}
    return values | dict(config["options"]) | dict(config["recipe"])


def results(runs: Named) -> list[dict[str, Any]]:
    """What runs reached: a row for each figure of each test that one of them has, and for the best validation.

    A row is `test`, `figure`, `values` (None where a run has none), `texts`, and `best`, the places of the best value,
    none where all are equal.
    """
    bests = [record.best or {} for _, record in runs]
    measured = {"top1": "top1", "loss": "data_loss"}  # without weight decay, as in a test
    rows = [_row("validation", name, [best.get(column) for best in bests]) for name, column in measured.items()]
    tests = dict.fromkeys(name for _, record in runs for name in record.results)
    for test in sorted(tests, key=lambda name: (name != "", name)):
        found = [record.results.get(test, {}) for _, record in runs]
        rows += [_row(f"test {test}".strip(), figure, [one.get(figure) for one in found]) for figure in FIGURES]
    steps = [max((row["step"] for row in record.rows), default=None) for _, record in runs]
    speed = [float(np.median([fast for _, fast, _ in record.speed])) if record.speed else None for _, record in runs]
    rows += [
        _line("training", "steps", steps, ["" if one is None else page.count(one) for one in steps]),
        _line("training", "images/s, median", speed, [page.decimals(one, 1) for one in speed]),
    ]
    return [row for row in rows if any(value is not None for value in row["values"])]


def _row(test: str, figure: str, values: list[float | None]) -> dict[str, Any]:
    write = page.percent if figure in _SHARES else page.decimals
    known = [value for value in values if value is not None]
    best = (min if figure in _LOWER else max)(known) if len(set(known)) > 1 else None
    places = [place for place, value in enumerate(values) if value is not None and value == best]
    return _line(test, FIGURES[figure], values, [write(value) for value in values], places)


def _line(test: str, figure: str, values: list, texts: list[str], best: Sequence[int] = ()) -> dict[str, Any]:
    return {"test": test, "figure": figure, "values": values, "texts": texts, "best": list(best)}


def answers(record: Record) -> Answers | None:
    """The predictions of the run's plain test; None where there was none."""
    path = record.run / ANSWERS
    if not path.exists() or "" not in record.results:
        return None
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = [(row["file"], row["label"], row["predicted"], row["probability"]) for row in csv.DictReader(file)]
    files, labels, predicted, probability = ([row[place] for row in rows] for place in range(4))
    return Answers(files, labels, predicted, np.array(probability).astype(np.float64))


def comparable(runs: Named, predictions: Sequence[Answers | None]) -> str | None:
    """Why the answers of runs cannot be compared picture by picture; None where they can."""
    for (name, record), one in zip(runs, predictions, strict=True):
        if one is None:
            return f"{name} has no plain test yet (--mode test --restore {record.run})"
    tested = [(record.results[""].get("dataset"), record.results[""]["split"]) for _, record in runs]
    for (name, _), where, one in zip(runs, tested, predictions, strict=True):
        if where != tested[0] or (
            one and predictions[0] and (one.labels, one.files) != (predictions[0].labels, predictions[0].files)
        ):
            return f"{runs[0][0]} and {name} were tested on other pictures ({' '.join(map(str, where))})"
    return None


def pairs(names: Sequence[str], predictions: Sequence[Answers]) -> list[dict[str, Any]]:
    """For every two runs: the number of pictures for which they predict the same, and which is right."""
    right = [np.array(one.predicted) == np.array(one.labels) for one in predictions]
    found = []
    for a, b in combinations(range(len(predictions)), 2):
        found.append(
            {
                "first": names[a],
                "second": names[b],
                "images": len(right[a]),
                "same": int((np.array(predictions[a].predicted) == np.array(predictions[b].predicted)).sum()),
                "both": int((right[a] & right[b]).sum()),
                "only_first": int((right[a] & ~right[b]).sum()),
                "only_second": int((~right[a] & right[b]).sum()),
                "neither": int((~right[a] & ~right[b]).sum()),
            }
        )
    return found


def disagreements(predictions: Sequence[Answers]) -> np.ndarray:
    """Places of the pictures on which runs disagree: those that some have right before those that none has.

    Within both the most confident come first: a picture counts by its least confident answer.
    """
    predicted = np.array([one.predicted for one in predictions])
    right = predicted == np.array(predictions[0].labels)
    places = np.flatnonzero((predicted != predicted[0]).any(0))
    sure = np.min([one.probability for one in predictions], 0)
    order = sorted(places.tolist(), key=lambda place: (not right[:, place].any(), -sure[place]))
    return np.array(order, np.int64)
