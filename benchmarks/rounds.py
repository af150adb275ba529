"""What benchmarks have in common that take turns: the ratio of two contenders, and results as CSV."""

import csv
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' ratios: both rates of a round were taken within seconds of each other."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def write_csv(lines: Sequence[Any], file: Path) -> None:
    """A header and a line for every result, its columns the fields of the results' dataclass."""
    rows = list(map(asdict, lines))
    with open(file, "w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
