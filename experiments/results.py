"""results.csv and curves/: what finished runs measured, where, when and by which command."""

import csv
import io
import json
import math
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.runs import files, locks
from common.training import metrics_file
from experiments import catalogue, processes, work
from experiments.design import Comparison
from experiments.work import Job

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "experiments/results.csv"
CURVES = ROOT / "experiments/curves"
PROVENANCE = (
    "comparison", "run", "seed", "budget", "outcome", "commit", "processor", "precision", "date", "minutes",
    "processor_minutes", "command",
)  # fmt: skip
FIGURES = (
    "top1", "top5", "loss", "balanced_accuracy", "over_mean", "train_top1", "train_loss", "best_validation",
    "parameters", "multiply_adds", "steps", "epochs", "images", "split", "memory_mb",
)  # fmt: skip
COLUMNS = PROVENANCE + FIGURES
WORDS = (*PROVENANCE[:9], "command", "split")  # columns that are no numbers
CURVE_COLUMNS = ("run", "seed", "budget", "series", "x", "y")
OUTCOMES = ("finished", "diverged", "stopped")  # the last: of an earlier version, whose run is not gone on with
MOST_POINTS = 40  # of a training curve
Row = Mapping[str, str]


def read(path: Path = RESULTS) -> list[dict[str, str]]:
    """The rows; none where there is no file. Raises UserError that names a line that is damaged or there twice."""
    return _read(path, COLUMNS, work.key_of, [name for name in COLUMNS if name not in WORDS], _wrong)


def read_curves(name: str, folder: Path = CURVES) -> list[dict[str, str]]:
    """The points of a comparison's curves. Raises UserError as `read` does."""
    return _read(folder / f"{name}.csv", CURVE_COLUMNS, itemgetter(*CURVE_COLUMNS[:5]), CURVE_COLUMNS[4:])


def _read(
    path: Path,
    columns: Sequence[str],
    key: Callable[[Row], tuple],
    numbers: Sequence[str],
    wrong: Callable[[Row], str] = lambda row: "",
) -> list[dict[str, str]]:
    """The rows of a file with these columns, some of them `numbers`; no two may have the same `key`.

    `wrong` says what else is wrong with a row, or nothing.
    """
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text ({error})", 1) from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if tuple(reader.fieldnames or ()) != tuple(columns):
        raise UserError(f"{path}: its columns are not {','.join(columns)}", 1)
    first: dict[tuple, int] = {}  # the line of each key
    rows = []
    for row in reader:
        here = key(row)
        problem = _problem(row, numbers) or wrong(row) or (f"repeats line {first[here]}" if here in first else "")
        if problem:
            raise UserError(f"{path}, line {reader.line_num}: {problem}; mend or remove it", 1)
        first[here] = reader.line_num
        rows.append(row)
    return rows


def _problem(row: dict, numbers: Sequence[str]) -> str:
    """What is wrong with a line, e.g. one that a merge or a full disk has left; empty where nothing is."""
    if None in row or None in row.values():
        return "it does not have as many values as there are columns"
    for name in numbers:
        try:
            sound = not row[name] or math.isfinite(float(row[name]))
        except ValueError:
            sound = False
        if not sound:
            return f"{name} is {row[name]!r}, not a number"
    return ""


def _wrong(row: Row) -> str:
    """What is wrong with a row of results.csv whose numbers are numbers; empty where nothing is."""
    if row["outcome"] not in OUTCOMES:
        return f"outcome is {row['outcome']!r}, not one of {', '.join(OUTCOMES)}"
    if not re.fullmatch(r"\d+(\+\d+)*", row["seed"]):
        return f"seed is {row['seed']!r}, not a number or several with + between"
    return "" if row["minutes"] else "it has no minutes"


def add(comparison: Comparison, job: Job, row: Row, points: Sequence[Row], path: Path, folder: Path) -> None:
    """Puts a run's row and the points of its curves in place of what was there; several processes may do so at once.

    The points come first: a run whose row is there is not looked at again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with locks.wait(_lock(path)):
        kept = [other for other in read(path) if work.key_of(other) != job.key]
        if comparison.curves:
            folder.mkdir(parents=True, exist_ok=True)
            before = read_curves(job.comparison, folder)
            mine = {"run": job.line, "seed": job.seed, "budget": job.budget}
            others = [other for other in before if any(other[name] != value for name, value in mine.items())]
            merged = others + [mine | point for point in points]
            order = {line.name: number for number, line in enumerate(comparison.lines)}
            merged.sort(key=lambda point: (point["budget"], order.get(point["run"], -1), point["seed"]))
            files.write_text(folder / f"{job.comparison}.csv", _text(CURVE_COLUMNS, merged))
        files.write_text(path, _text(COLUMNS, sorted([*kept, row], key=_place)))


def forget(job: Job, path: Path) -> None:
    """Takes out what an earlier pass of a run has left: its row, and those of tests of its weights."""
    if not path.exists():
        return
    weights = f"{work.RUNS}/{job.folder}"

    def is_stale(row: Row) -> bool:
        tests_it = "--mode test" in row["command"] and weights in re.split("[ ,]", row["command"])
        return tests_it or work.key_of(row) == job.key

    with locks.wait(_lock(path)):
        rows = read(path)
        kept = [row for row in rows if not is_stale(row)]
        if len(kept) < len(rows):
            files.write_text(path, _text(COLUMNS, kept))


def _lock(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _place(row: Row) -> tuple:
    """The order of the file: that of the catalogue, of the comparison's lines, of the seeds."""
    name = row["comparison"]
    lines = [line.name for line in catalogue.find(name).lines] if name in catalogue.NAMES else []
    line = lines.index(row["run"]) if row["run"] in lines else len(lines)
    number = catalogue.NAMES.index(name) if name in catalogue.NAMES else len(catalogue.NAMES)
    return number, row["budget"], line, row["run"], row["seed"]


def _text(columns: Sequence[str], rows: Iterable[Row]) -> str:
    content = io.StringIO()
    writer = csv.DictWriter(content, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return content.getvalue()


def of_run(job: Job, run: Path, state: Mapping[str, Any]) -> dict[str, str]:
    """The row of a run that has ended: its figures from results.json, metrics.csv and config.json.

    Args:
        job: what was run.
        run: its directory.
        state: what `processes.read_state` knows of it: commit, processor, date, minutes, exit code ...
    """
    values: dict[str, Any] = dict.fromkeys(COLUMNS, "")
    values |= {"comparison": job.comparison, "run": job.line, "seed": job.seed, "budget": job.budget}
    values |= {name: state[name] for name in ("commit", "processor", "date", "minutes", "processor_minutes")}
    values |= {"command": job.text, "memory_mb": state["memory_mb"], "parameters": state.get("parameters", "")}
    values["multiply_adds"] = state.get("multiply_adds", "")
    values["outcome"], found = "diverged", {}
    if state["exit_code"] != processes.DIVERGED:
        found = json.loads(results_file(run).read_text(encoding="utf-8"))
    if found and math.isfinite(found.get("loss", 0.0)):
        values["outcome"] = "finished"
        values |= {name: found[name] for name in FIGURES if name in found}
        values["over_mean"] = found.get("gain", {}).get("top1_over_mean", "")
    values["precision"] = state.get("precision") or precision(run)
    values |= _of_metrics(metrics_file.read(run / metrics_file.METRICS_FILE))
    return {name: _short(value) for name, value in values.items()}


def precision(run: Path) -> str:
    """In what a run computed: as its config.json or, of a script, its results.json says; float32 where neither does."""
    for path in (run / "config.json", run / "results.json"):
        if path.exists() and (found := json.loads(path.read_text(encoding="utf-8")).get("precision")):
            return found
    return "float32"


def is_of(row: Row, state: Mapping[str, Any]) -> bool:
    """Whether a row was made of a run of which this is known."""
    return all(row[name] == _short(state.get(name, "")) for name in ("commit", "date", "minutes"))


def results_file(run: Path) -> Path:
    """results.json, or the one results file of a test."""
    return next(iter(sorted(run.glob("results*.json"), key=lambda path: len(path.name))), run / "results.json")


def _of_metrics(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Steps, epochs, the best validation, and the training's means over the last epoch."""
    train = [row for row in rows if row["split"] == "train"]
    checked = [row["top1"] for row in rows if row["split"] == "validation"]
    if not train:
        return {}
    last = [row for row in train if row["epoch"] == train[-1]["epoch"]]
    before = [row["step"] for row in train if row["epoch"] < train[-1]["epoch"]]
    edges = [before[-1] if before else 0.0, *(row["step"] for row in last)]
    steps = [after - until for until, after in pairwise(edges)]

    def mean(name: str) -> float:
        return sum(row[name] * count for row, count in zip(last, steps, strict=True)) / sum(steps)

    values: dict[str, Any] = {"steps": int(train[-1]["step"]), "epochs": int(train[-1]["epoch"])}
    values |= {"train_top1": mean("top1"), "train_loss": mean("data_loss")}
    return values | ({"best_validation": max(checked)} if checked else {})


def curves_of(comparison: Comparison, run: Path) -> list[dict[str, str]]:
    """The points of the series that a comparison keeps: training thinned to means of equal parts, validations all.

    x is the step; in training, whose lines are means over the steps since the one before, the middle of these. A script
    of its own may write other curves under "curves" of its results.json.
    """
    rows = metrics_file.read(run / metrics_file.METRICS_FILE)
    own: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        own = json.loads((run / "results.json").read_text(encoding="utf-8")).get("curves", {})
    found = []
    for series in comparison.curves:
        split, _, figure = series.partition("_")
        column = "data_loss" if figure == "loss" else figure
        points = [(row["step"], row[column]) for row in rows if row["split"] == split and column in row]
        points = own.get(series) or (thinned(at_middles(points)) if split == "train" else points)
        points = [point for point in points if all(map(math.isfinite, point))]
        found += [{"series": series, "x": _short(x), "y": _short(y)} for x, y in points]
    return found


def at_middles(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means over the steps since the last point, each moved to the middle of its steps.

    A mean over less than half of the usual number of steps, as at the ends of epochs, is noise: it goes into the one
    before.
    """
    windows = list(pairwise([0.0, *(x for x, _ in points)]))  # the step before the first one, the last one
    longest = max((end - start for start, end in windows), default=0.0)
    found: list[tuple[float, float, float]] = []
    for (start, end), (_, y) in zip(windows, points, strict=True):
        if found and end - start < longest / 2:
            first, _, mean = found.pop()
            start, y = first, (mean * (start - first) + y * (end - start)) / (end - first)
        found.append((start, end, y))
    return [((start + 1 + end) / 2, y) for start, end, y in found]


def thinned(points: Sequence[tuple[float, float]], most: int = MOST_POINTS) -> list[tuple[float, float]]:
    """At most `most` points, each the mean of as many neighbours."""
    if len(points) <= most:
        return list(points)
    edges = [number * len(points) // most for number in range(most + 1)]
    parts = [points[start:end] for start, end in pairwise(edges)]
    return [(statistics.fmean(x for x, _ in part), statistics.fmean(y for _, y in part)) for part in parts]


def _short(value: Any) -> str:
    """Numbers with the digits that matter; empty where one is not finite."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return ""
        return str(int(value)) if value == int(value) and abs(value) >= 1 else f"{value:.5g}"
    return str(value)
