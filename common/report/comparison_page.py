"""A comparison of runs for people: as a page, and as text for the terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import printable
from common.report import comparison, curves, images, page
from common.report.comparison import Answers, Named

PAGE_FILE = "compare.html"
SHOWN, LISTED = 60, 10  # pictures on the page, lines on the terminal
_LONGEST = 44  # characters of a cell on the terminal


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        runs: by the names they are called by.
        predictions: of each; empty where they cannot be compared.
        obstacle: why not.
    """

    runs: Named
    predictions: tuple[Answers, ...]
    obstacle: str | None

    @property
    def names(self) -> list[str]:
        """Of the runs."""
        return [name for name, _ in self.runs]

    @property
    def places(self) -> np.ndarray:
        """Of the pictures on which they disagree, the most telling first."""
        return comparison.disagreements(self.predictions) if self.predictions else np.array([], np.int64)


def make(runs: Named) -> Comparison:
    """The comparison of two or more runs."""
    predictions = [comparison.answers(record) for _, record in runs]
    obstacle = comparison.comparable(runs, predictions)
    return Comparison(runs, () if obstacle else tuple(one for one in predictions if one is not None), obstacle)


def write(found: Comparison, folder: Path, pictures: Mapping[int, np.ndarray]) -> Path:
    """Writes the page into a folder and returns its path; `pictures`, (S, S, 3) uint8 by place, may lack some."""
    places = found.places
    data = {"charts": curves.together(found.runs), "classes": [], "cells": {}, "sparse": [], "calibration": []}
    values = {
        "title": "Comparison: " + ", ".join(found.names),
        "names": found.names,
        "settings": comparison.settings(found.runs),
        "results": comparison.results(found.runs),
        "obstacle": found.obstacle,
        "pairs": comparison.pairs(found.names, found.predictions) if found.predictions else [],
        "disagreements": len(places),
        "shown": [_shown(found, place, pictures) for place in places[:SHOWN].tolist()],
    }
    path = folder / PAGE_FILE
    page.write(path, page.render("comparison.html", values, data))
    return path


def _shown(found: Comparison, place: int, pictures: Mapping[int, np.ndarray]) -> dict[str, Any]:
    label = found.predictions[0].labels[place]
    return {
        "image": images.jpeg(pictures[place], 128) if place in pictures else None,
        "file": found.predictions[0].files[place] or f"image {place}",
        "label": label,
        "says": [
            {
                "run": name,
                "class": one.predicted[place],
                "p": one.probability[place],
                "right": one.predicted[place] == label,
            }
            for name, one in zip(found.names, found.predictions, strict=True)
        ],
    }


def to_text(found: Comparison) -> str:
    """The same for the terminal: differences, results with the best marked, and the first disagreements."""
    lines = ["what differs in the settings"]
    rows = [[name, *values] for name, values in comparison.settings(found.runs)]
    lines += _table([["", *found.names], *rows]) if rows else ["  nothing"]
    lines += ["", "results (* the best)"]
    results = comparison.results(found.runs)
    rows = [
        [
            f"{row['test']} {row['figure']}",
            *(f"{t}{' *' if i in row['best'] else ''}" for i, t in enumerate(row["texts"])),
        ]
        for row in results
    ]
    lines += _table([["", *found.names], *rows]) if rows else ["  none yet"]
    lines += ["", "pictures"]
    if found.obstacle:
        return "\n".join([*lines, f"  not compared: {found.obstacle}"])
    for pair in comparison.pairs(found.names, found.predictions):
        lines.append(
            f"  {pair['first']} and {pair['second']}: the same class for {pair['same']:,} of {pair['images']:,}; "
            f"right: both {pair['both']:,}, only the first {pair['only_first']:,}, "
            f"only the second {pair['only_second']:,}, neither {pair['neither']:,}"
        )
    places = found.places
    lines.append(
        f"  {len(places):,} pictures on which they disagree" + (", the most confident:" if len(places) else "")
    )
    head = ["file", "true label", *found.names]
    rows = [
        [one["file"], one["label"], *(f"{says['class']} {100 * says['p']:.1f} %" for says in one["says"])]
        for one in (_shown(found, place, {}) for place in places[:LISTED].tolist())
    ]
    return "\n".join([*lines, *(_table([head, *rows]) if rows else [])])


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with columns as wide as their widest cell, the first to the left."""
    cells = [[_cut(printable(cell)) for cell in row] for row in rows]
    widths = [max(len(row[place]) for row in cells) for place in range(len(cells[0]))]
    return ["  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else "…" + text[1 - _LONGEST :]
