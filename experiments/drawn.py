"""What a picture of RESULTS.md is drawn of: rows of results.csv and points of curves/."""

import dataclasses
import hashlib
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from experiments import tables, work
from experiments.design import Comparison, Picture, Run, choose
from experiments.tables import Line, Row

OF_CURVES = ("errors", "curves", "best", "lines")  # kinds of pictures that show points of curves; the others show rows
DIGEST = "experiments"  # the text chunk of a PNG that has its digest
ERRORS = ("train_top1", "validation_top1")


@dataclass(frozen=True)
class Data:
    """What a picture is drawn of: the comparison, the name of the budget, its rows and its points of curves."""

    comparison: Comparison
    budget: str
    rows: Sequence[Row]
    points: Sequence[Row]

    def lines(self, picture: Picture) -> list[Line]:
        """The runs and tests that the picture shows; those of scripts only where they are named."""
        if picture.kind == "best":
            groups = dict.fromkeys(run.group for run in self.comparison.runs if run.group)
            best = [work.best_of_group(self.comparison, self.budget, group, self.rows) for group in groups]
            return [run for run in best if run is not None]
        found = choose(picture.rows, self.comparison.lines)
        return [line for line in found if picture.rows or not (isinstance(line, Run) and line.script)]

    def shows_something(self, picture: Picture) -> bool:
        """Whether there is a point or a row for at least one of the picture's lines."""
        shown = self.lines(picture)
        if picture.kind in OF_CURVES:
            names, series = {line.name for line in shown}, _series(picture)
            return any(point["run"] in names and point["series"] in series for point in self.points)
        return any(tables.values(tables.rows_of(line, self.rows), picture.series[0]) for line in shown)

    def digest(self, picture: Picture) -> str:
        """Of all that the picture is drawn of, 64 hexadecimal digits; a PNG carries that of its own.

        A change in any row of the budget changes it: the best of a group depends on rows that are not drawn.
        """
        series = _series(picture)
        points = [point for point in self.points if point["series"] in series]
        content = [
            dataclasses.asdict(picture),
            [(line.name, line.title, line.row, line.column) for line in self.lines(picture)],
            [self.label(name) for name in series],
            [sorted(row.items()) for row in self.rows],
            [sorted(point.items()) for point in points],
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def label(self, series: str) -> str:
        """What a legend calls a series: the title of the run whose name it has, else its own name."""
        run = self.run(series)
        return run.title if run else series

    def run(self, name: str) -> Run | None:
        """The run that has this name."""
        return next((run for run in self.comparison.runs if run.name == name), None)

    def curve(self, line: Line, series: str) -> tuple[np.ndarray, np.ndarray]:
        """x (points,) and the mean over the seeds of y (points,): where seeds end early, over those that go on."""
        found: dict[float, list[float]] = {}
        for point in self.points:
            if point["run"] == line.name and point["series"] == series:
                found.setdefault(float(point["x"]), []).append(float(point["y"]))
        x = sorted(found)
        return np.array(x), np.array([statistics.fmean(found[at]) for at in x])

    def per_step(self, line: Line, figure: str) -> float | None:
        """A figure of a run, divided by its steps: the mean over its seeds; None where no seed has both, as where all
        diverge before the first line of metrics.csv.
        """
        found = [row for row in tables.rows_of(line, self.rows) if row["steps"] and row[figure]]
        return statistics.fmean(float(row[figure]) / float(row["steps"]) for row in found) if found else None


def digest_in(file: Path) -> str:
    """The digest that a PNG carries; empty where there is none, or the file is damaged."""
    try:
        with Image.open(file) as drawn:
            drawn.load()
            return drawn.info.get(DIGEST, "")
    except (OSError, SyntaxError):  # Pillow's for a PNG that is cut, or none
        return ""


def _series(picture: Picture) -> tuple[str, ...]:
    """The curves that it shows."""
    return ERRORS if picture.kind == "errors" else picture.series
