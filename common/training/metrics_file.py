"""metrics.csv of a run directory: written row by row, read back."""

import csv
import os
from pathlib import Path
from typing import Any

METRICS_FILE = "metrics.csv"
COLUMNS = ("step", "epoch", "split", "learning_rate", "data_loss", "l2_loss", "loss", "top1", "top5")
_WHOLE = ("step", "epoch")


class MetricsFile:
    """metrics.csv: what a run measured, nothing in it that a rerun would change.

    Its column `split` says what a row is: `step`, one of the first fifty steps; `train`, the mean over a log interval;
    `validation`, a validation. Losses and rates are written with all their digits, so that two files can be compared
    byte for byte.
    """

    def __init__(self, run: Path):
        self.path = Path(run) / METRICS_FILE
        if not self.path.exists():
            self.path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")

    def add(self, *rows: dict) -> None:
        """Appends rows and flushes them to the disk."""
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, COLUMNS, lineterminator="\n").writerows(rows)
            file.flush()
            os.fsync(file.fileno())

    def rewind(self, step: int, validated: bool = True) -> None:
        """Drops the rows after `step`, and a row torn by a kill, so that a resumed run writes them again once.

        Unless `validated`, a validation after exactly `step` steps is dropped too.
        """

        def stays(line: str) -> bool:
            number, _, split = line.split(",")[:3]
            return int(number) < step or (int(number) == step and (validated or split != "validation"))

        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines[1:] if line.endswith("\n") and stays(line)]
        temporary = self.path.with_suffix(".csv.tmp")
        temporary.write_text("".join([",".join(COLUMNS) + "\n", *kept]), encoding="utf-8")
        os.replace(temporary, self.path)


def read(path: Path) -> tuple[dict[str, Any], ...]:
    """The rows, numbers as numbers; none where there is no file. A row that a kill tore is left out."""
    if not path.exists():
        return ()
    found: list[dict[str, Any]] = []
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            try:
                values = {name: _number(name, value) for name, value in row.items() if name in COLUMNS}
            except (TypeError, ValueError):
                continue
            found.append(values)
    return tuple(found)


def _number(name: str, value: str) -> Any:
    if name == "split":
        return value
    return int(value) if name in _WHOLE else float(value)
