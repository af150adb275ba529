"""What `--mode predict` says of image files: in the order of the files, as a table, JSON or CSV."""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import zip_longest
from typing import Any

import numpy as np

from common.errors import printable
from common.evaluation.predictions import Predictions
from common.runs.config import RunConfig

TOP = 5

Answer = dict[str, Any]
Show = Callable[[list[Answer]], None]


class Answers:
    """Predictions as what is said of each file, in the order of the files.

    An answer is `file`, and `predictions`, the most likely classes (`class`, `synset` where words name the classes,
    `label`, `probability`), or `error`, why the file cannot be used.

    Args:
        files: all that were asked for; may grow, and holds each by the time its batch is answered.
        failed: the reason for each that cannot be used, likewise.
        names: by label, no two alike.
        synsets: by label, what the data set calls the classes where `names` are words for them; else ().
    """

    def __init__(self, files: Sequence[str], failed: dict[str, str], names: Sequence[str], synsets: Sequence[str] = ()):
        self._files, self._failed, self._names, self._synsets = files, failed, names, synsets
        self._waiting: dict[int, Answer] = {}
        self._next = 0

    def of_batch(self, places: np.ndarray, predicted: Predictions) -> list[Answer]:
        """The answers that are due now: those of the batch, and of earlier ones, before which none is missing."""
        for place, top, probability in zip(places, predicted.top, predicted.probability, strict=True):
            self._waiting[int(place)] = self._answer(self._files[place], top, probability)
        due = []
        while self._next in self._waiting:
            due.append(self._waiting.pop(self._next))
            self._next += 1
        return due

    def _answer(self, file: str, top: np.ndarray, probability: np.ndarray) -> Answer:
        if file in self._failed:
            return {"file": printable(file), "error": self._failed[file]}
        best = [
            {"class": self._names[label]}
            | ({"synset": self._synsets[label]} if self._synsets else {})
            | {"label": int(label), "probability": float(sure)}
            for label, sure in zip(top, probability, strict=True)
        ]
        return {"file": printable(file), "predictions": best}


def shower(form: str, files: Sequence[str], config: RunConfig) -> AbstractContextManager[Show]:
    """What prints answers in a form of `--predict_format`, of `files` as far as known, classes as in `config`."""
    if form == "json":
        return json_array()
    return nullcontext(table(files) if form == "table" else comma_separated(len(config.classes), bool(config.synsets)))


@contextmanager
def json_array() -> Iterator[Show]:
    """A function that prints answers as elements of one JSON array, which the end of the block, or an error, closes."""
    before = "["

    def show(answers):
        nonlocal before
        for answer in answers:
            text = json.dumps(answer, indent=1, ensure_ascii=False).replace("\n", "\n ")
            print(f"{before}\n {text}", end="", flush=True)
            before = ","

    try:
        yield show
    finally:
        if before == ",":
            print("\n]", flush=True)


def comma_separated(classes: int, synsets: bool) -> Show:
    """Prints the header of a table, and gives a function that prints a row an answer.

    Columns: file; of each of the most likely classes, at most five, class_1, synset_1 where there are `synsets`,
    label_1, probability_1 and so on, empty where a file cannot be used; error, the reason for that.
    """
    fields = ("class", *(("synset",) if synsets else ()), "label", "probability")
    places = range(min(TOP, classes))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["file", *(f"{field}_{place + 1}" for place in places for field in fields), "error"])
    sys.stdout.flush()

    def show(answers):
        for answer in answers:
            said = answer.get("predictions", [dict.fromkeys(fields, "")] * len(places))
            cells = [one[field] for one in said for field in fields]
            cells = [f"{cell:.6g}" if isinstance(cell, float) else cell for cell in cells]
            writer.writerow([answer["file"], *cells, answer.get("error", "")])
        sys.stdout.flush()

    return show


def table(files: Sequence[str]) -> Show:
    """A function that prints a line an answer: file and most likely classes, columns as wide as was needed so far."""
    longest = max((len(printable(file)) for file in files), default=0)
    widths: list[int] = []

    def show(answers):
        nonlocal longest, widths
        longest = max(longest, *(len(answer["file"]) for answer in answers), 0)
        rows = [
            [f"{one['class']} {one['probability']:.4f}" for one in answer.get("predictions", ())] for answer in answers
        ]
        for row in rows:
            widths = [max(pair) for pair in zip_longest(widths, map(len, row), fillvalue=0)]
        for answer, row in zip(answers, rows, strict=True):
            cells = [answer["error"]] if "error" in answer else map(str.ljust, row, widths)
            print("  ".join([answer["file"].ljust(longest), *cells]).rstrip(), flush=True)

    return show
