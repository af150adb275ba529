"""Tables of RESULTS.md: mean, spread and number of seeds of what results.csv has."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks import difference
from experiments import work
from experiments.design import Comparison, Run, Table, Test, choose

Row = Mapping[str, str]
Line = Run | Test
NOTHING = "–"


@dataclass(frozen=True)
class Figure:
    """A column: its heading, and how a mean and a standard deviation (None of one value) are written."""

    title: str
    text: Callable[[float, float | None], str]


def _percent(mean: float, spread: float | None) -> str:
    return f"{100 * mean:.2f} %" if spread is None else f"{100 * mean:.2f} ± {100 * spread:.2f} %"


def _points(mean: float, spread: float | None) -> str:
    return f"{100 * mean:+.2f}" if spread is None else f"{100 * mean:+.2f} ± {100 * spread:.2f}"


def _number(mean: float, spread: float | None) -> str:
    return f"{mean:.3f}" if spread is None else f"{mean:.3f} ± {spread:.3f}"


def _whole(mean: float, _: float | None) -> str:
    return f"{mean:,.0f}"


def _millions(mean: float, _: float | None) -> str:
    return f"{mean / 1e6:,.1f}M"


def _minutes(mean: float, _: float | None) -> str:
    return f"{mean:.1f}"


FIGURES = {
    "top1": Figure("test top-1", _percent),
    "top5": Figure("test top-5", _percent),
    "balanced_accuracy": Figure("balanced accuracy", _percent),
    "over_mean": Figure("points over the mean of its members", _points),
    "loss": Figure("test loss", _number),
    "train_top1": Figure("training top-1", _percent),
    "train_loss": Figure("training loss", _number),
    "best_validation": Figure("best validation top-1", _percent),
    "parameters": Figure("parameters", _whole),
    "multiply_adds": Figure("multiply-adds", _millions),
    "steps": Figure("steps", _whole),
    "epochs": Figure("epochs", _whole),
    "minutes": Figure("minutes", _minutes),
    "processor_minutes": Figure("minutes of one core", _minutes),
}


def rows_of(line: Line, rows: Sequence[Row]) -> list[Row]:
    """The rows of a run or a test, one for each seed or choice of seeds."""
    return [row for row in rows if row["run"] == line.name]


def values(found: Sequence[Row], figure: str) -> list[float]:
    """A figure of all rows that have it."""
    return [float(row[figure]) for row in found if row["outcome"] != "diverged" and row[figure] != ""]


def cell(found: Sequence[Row], figure: str, note: bool = True) -> str:
    """Mean and standard deviation (with n - 1) over the seeds; with `note` how many diverged, where some did."""
    numbers, lost = values(found, figure), _diverged(found) if note else ""
    if not numbers:
        return lost or NOTHING
    spread = statistics.stdev(numbers) if len(numbers) > 1 else None
    return "; ".join(filter(None, [FIGURES[figure].text(statistics.fmean(numbers), spread), lost]))


def _diverged(found: Sequence[Row]) -> str:
    count = sum(row["outcome"] == "diverged" for row in found)
    return f"diverged ({count} of {len(found)})" if count else ""


def against(found: Sequence[float], reference: Sequence[float]) -> str:
    """The difference of two means, in points and in its standard errors."""
    if len(found) < 2 or len(reference) < 2:
        return NOTHING
    apart, error = difference.of_means(found, reference)
    errors = f", {abs(apart) / error:.1f} standard errors" if error else ""
    return f"{100 * apart:+.2f} points{errors}"


def absent(comparison: Comparison, line: Line) -> str:
    """What stands in place of the figures of a line that has no row."""
    return "left out" if comparison.why_left_out(line) else "not run"


def cells(comparison: Comparison, line: Line, found: Sequence[Row], figures: Sequence[str]) -> list[str]:
    """A line's figures, and of how many rows the first one is; runs that diverged have none."""
    if not found:
        return [absent(comparison, line), *[NOTHING] * (len(figures) - 1), "0"]
    return [
        *(cell(found, name, note=place == 0) for place, name in enumerate(figures)),
        str(len(values(found, figures[0]))),
    ]


def markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table; all columns but the first stand to the right."""
    rule = [" --- ", *(" ---: " for _ in head[1:])]
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(rule) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(cells) + " |" for cells in body)])


def draw(table: Table, comparison: Comparison, budget: str, rows: Sequence[Row]) -> str:
    """A table of a comparison, of the rows of one budget."""
    lines = choose(table.rows, comparison.lines)
    lines = [line for line in lines if table.rows or not (isinstance(line, Run) and line.script)]
    return {"list": _list, "grid": _grid, "best": _best}[table.kind](table, comparison, budget, lines, rows)


def _list(table: Table, comparison: Comparison, budget: str, lines: Sequence[Line], rows: Sequence[Row]) -> str:
    head = [table.head, *(FIGURES[name].title for name in table.figures), "n"]
    body = [[line.title, *cells(comparison, line, rows_of(line, rows), table.figures)] for line in lines]
    if table.against:
        other = next(line for line in lines if line.name == table.against)
        head.append(f"against {other.title}")
        reference = values(rows_of(other, rows), table.figures[0])
        for line, row in zip(lines, body, strict=True):
            row.append(NOTHING if line is other else against(values(rows_of(line, rows), table.figures[0]), reference))
    return _with_paper(head, body, [line.paper for line in lines])


def _with_paper(head: list[str], body: list[list[str]], papers: list[str]) -> str:
    """The table, with a last column of what the paper has where it has something for one of the lines."""
    if not any(papers):
        return markdown(head, body)
    return markdown([*head, "the paper"], [[*row, paper or NOTHING] for row, paper in zip(body, papers, strict=True)])


def _grid(table: Table, comparison: Comparison, budget: str, lines: Sequence[Line], rows: Sequence[Row]) -> str:
    at = {(line.row, line.column): line for line in lines if line.row}
    down, across = (dict.fromkeys(place[axis] for place in at) for axis in (0, 1))
    figure = table.figures[0]
    there = {line.name: bool(rows_of(line, rows)) for line in at.values()}
    n = {line.name: len(values(rows_of(line, rows), figure)) for line in at.values()}
    differ = len(set(n.values()) - {0}) > 1

    def one(line: Line | None) -> str:
        if line is None:
            return NOTHING
        paper = f"; the paper {line.paper}" if line.paper else ""
        if not there[line.name]:
            return absent(comparison, line) + paper
        mine, count = rows_of(line, rows), n[line.name]
        number = cell(mine, figure, note=False) + (f" (n = {count})" if differ else "") if count else ""
        return ("; ".join(filter(None, [number, _diverged(mine)])) or NOTHING) + paper

    body = [[row, *(one(at.get((row, column))) for column in across)] for row in down]
    note = FIGURES[figure].title + ("" if differ else f", n = {max(n.values(), default=0)}")
    return markdown([f"{table.head} ({note})", *across], body)


def _best(table: Table, comparison: Comparison, budget: str, lines: Sequence[Line], rows: Sequence[Row]) -> str:
    groups: dict[str, list[Run]] = {}
    for line in lines:
        if isinstance(line, Run) and line.group:
            groups.setdefault(line.group, []).append(line)
    head = [table.head, "the best of its rates", *(FIGURES[name].title for name in table.figures), "n"]
    body, papers = [], []
    for group, members in groups.items():
        best = work.best_of_group(comparison, budget, group, rows)
        if best is not None:
            rate = best.title.rpartition("rate ")[2]
            body.append([group, rate, *cells(comparison, best, rows_of(best, rows), table.figures)])
            papers.append(best.paper)
        else:
            some = any(rows_of(run, rows) for run in members)
            first = next((run for run in members if not comparison.why_left_out(run)), members[0])
            body.append([group, "not all run" if some else NOTHING, *cells(comparison, first, [], table.figures)])
            papers.append("")
    return _with_paper(head, body, papers)
