"""Writes the tables and pictures of RESULTS.md from results.csv and curves/.

    python experiments/report.py            RESULTS.md and docs/images/experiments/
    python experiments/report.py --check    writes nothing; exit code 1 where RESULTS.md or a picture differs

Each comparison stands between <!-- experiments:NAME begin --> and <!-- experiments:NAME end -->. What has been run of
it is shown, with how many runs that is of how many; where nothing has, the question, the command and the papers' claims
stand there alone. A conclusion that has a figure which is not in its comparison's tables or claims is left out, with a
line that says so and exit code 1.
"""

import argparse
import re
import sys
import textwrap
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

if __package__ in (None, ""):  # run as a script: sys.path begins with experiments/ instead of the repository's root
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import errors
from common.errors import UserError
from common.runs import files
from experiments import catalogue, conclusions, drawn, results, tables, work
from experiments.design import Comparison, Picture
from experiments.drawn import Data
from experiments.tables import Row

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "RESULTS.md"
PICTURES = "docs/images/experiments"
TRAINING_FIGURES = (
    " Training figures are means over the last epoch, taken while the weights change, with whatever augmentation, "
    "dropout and mixing a run has."
)
BEST_OF_A_GROUP = (
    " The best of a group is that with the best validation of its first seed; it is trained with the other seeds too."
)


def part(comparison: Comparison, rows: Sequence[Row], points: Sequence[Row] = ()) -> str:
    """What stands between a comparison's markers, of all rows of results.csv and the points of its own curves."""
    lines = [f"## {comparison.title}", "", *_wrapped(comparison.question), ""]
    for name, budget in comparison.budgets.items():
        lines += _wrapped(f"- `{command(comparison, name)}`: {budget.text}")
    lines += ["", "What papers say:", ""] if comparison.claims else []
    for claim in comparison.claims:
        lines += _wrapped(f"- {claim.source}: {claim.text}")
    lines.append("")
    shown = shown_budgets(comparison, rows)
    if not shown and not comparison.left_out:
        lines += ["It has not been run yet.", ""]
    for name in shown:
        lines += _figures(comparison, name, rows, points)
    lines += _left_out(comparison)
    if concludes(comparison, rows) and not unbacked(comparison, rows):
        lines += _wrapped(comparison.conclusion)
    return "\n".join(lines).rstrip() + "\n"


def command(comparison: Comparison, budget: str) -> str:
    """What runs a budget."""
    choice = "" if budget == next(iter(comparison.budgets)) else f" --budget {budget}"
    return f"python experiments/run.py {comparison.name}{choice}"


def shown_budgets(comparison: Comparison, rows: Sequence[Row]) -> list[str]:
    """The names of the budgets of which something has been run."""
    return [name for name in comparison.budgets if _counted(comparison, name, rows)]


def concludes(comparison: Comparison, rows: Sequence[Row]) -> bool:
    """Whether there is a conclusion and something of the default budget, which it is about."""
    return bool(comparison.conclusion) and next(iter(comparison.budgets)) in shown_budgets(comparison, rows)


def unbacked(comparison: Comparison, rows: Sequence[Row]) -> list[str]:
    """The figures of the conclusion that are not in the tables and claims of its comparison."""
    budgets = {name: _counted(comparison, name, rows) for name in shown_budgets(comparison, rows)}
    made = [
        tables.draw(table, comparison, budget, mine) for budget, mine in budgets.items() for table in comparison.tables
    ]
    return conclusions.unbacked(comparison, made)


def wrong_conclusions(rows: Sequence[Row]) -> list[str]:
    """What is wrong with the conclusions, a line for each that has a figure which no run backs."""
    found = []
    for comparison in catalogue.every():
        if concludes(comparison, rows) and (figures := unbacked(comparison, rows)):
            why = "which its tables and claims do not; write the figures as they are printed there"
            found.append(f"{comparison.name}: the conclusion says {', '.join(figures)}, {why}")
    return found


def _left_out(comparison: Comparison) -> list[str]:
    """Why the comparison, or which of its lines why, was not run."""
    reasons: dict[str, list[str]] = {}
    for line in comparison.lines:
        if why := comparison.why_left_out(line):
            reasons.setdefault(why, []).append(line.title)
    told = [f"Left out because {comparison.left_out}."] if comparison.left_out else []
    told += [f"Left out because {why}: {'; '.join(titles)}." for why, titles in reasons.items()]
    return [line for text in told for line in (*_wrapped(text), "")]


def _wrapped(text: str) -> list[str]:
    """Lines of at most 120 characters; those of a list's item stand under its text, and commands are not broken."""
    indent = "  " if text.startswith("- ") else ""
    bound = re.sub(r"`[^`]*`", lambda found: found[0].replace(" ", "\u00a0"), text.replace(" %", "\u00a0%"))
    lines = textwrap.wrap(bound, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\u00a0", " ") for line in lines]


def progress(comparison: Comparison, budget: str, rows: Sequence[Row]) -> tuple[int, int]:
    """How many of a budget's runs are finished, and how many there are."""
    found = work.expected_rows(comparison, budget, rows)
    return sum(row is not None for row in found), len(found)


def _counted(comparison: Comparison, budget: str, rows: Sequence[Row]) -> list[Row]:
    """The rows of a budget that are of its present commands, and those of earlier versions that it keeps."""
    mine = [row for row in rows if row["comparison"] == comparison.name and row["budget"] == budget]
    most = 1 + max((max(_seeds(row)) for row in mine), default=0)
    jobs = work.jobs(comparison, budget, most, rows)[0]
    current = {job.key: job.text for job in jobs}
    earlier = {run.name: run.earlier for run in comparison.runs if run.earlier}
    tests = {test.name: test for test in comparison.tests if not comparison.why_left_out(test)}

    def counts(row: Row) -> bool:
        if earlier.get(row["run"]) == row["command"]:
            return True
        if row["outcome"] == "stopped":
            return False
        if test := tests.get(row["run"]):
            return work.testing(comparison, budget, test, _seeds(row)).text == row["command"]
        return current.get(work.key_of(row)) == row["command"]

    return list(filter(counts, mine))


def _seeds(row: Row) -> tuple[int, ...]:
    return tuple(map(int, row["seed"].split("+")))


def data_of(comparison: Comparison, budget: str, rows: Sequence[Row], points: Sequence[Row]) -> Data:
    """What a budget's pictures are drawn of: its rows, and the points of the runs that have one of them."""
    counted = _counted(comparison, budget, rows)
    known = {(row["run"], row["seed"]) for row in counted}
    mine = [point for point in points if point["budget"] == budget and (point["run"], point["seed"]) in known]
    return Data(comparison, budget, counted, mine)


def _figures(comparison: Comparison, budget: str, rows: Sequence[Row], points: Sequence[Row]) -> list[str]:
    """Where it was measured, how much of it, tables and pictures of a budget."""
    data = data_of(comparison, budget, rows, points)
    where = "; ".join(sorted({f"{row['processor']}, {row['precision']}" for row in data.rows if row["precision"]}))
    commits = ", ".join(dict.fromkeys(row["commit"] for row in data.rows))
    spent = {row["command"]: float(row["minutes"]) for row in data.rows}
    done, count = progress(comparison, budget, rows)
    so_far = f" {done} of {count} runs so far." if done < count else ""
    overlap = any(test.members > 1 for test in comparison.tests)
    several = "; where a line is several seeds together, over n choices of seeds that overlap" if overlap else ""
    again = f" `{command(comparison, budget)} --again` repeats it."
    training = any(name.startswith("train_") for table in comparison.tables for name in table.figures)
    notes = f"± is the standard deviation over n seeds{several}."
    notes += TRAINING_FIGURES if training else ""
    notes += BEST_OF_A_GROUP if any(run.group for run in comparison.runs) else ""
    lines = _wrapped(
        f"Budget {budget}: {comparison.budgets[budget].text}. {where}; {sum(spent.values()):.0f} minutes in all; "
        f"commit {commits}.{so_far}{again} {notes}"
    )
    lines.append("")
    for table in comparison.tables:
        lines += [tables.draw(table, comparison, budget, data.rows), ""]
    for picture in filter(data.shows_something, comparison.pictures):
        lines += [f"![{picture.title}]({PICTURES}/{file_name(comparison, budget, picture)})", ""]
        lines += [*_wrapped(f"*{picture.title}.*"), ""]
    return lines


def file_name(comparison: Comparison, budget: str, picture: Picture) -> str:
    """Of a picture: COMPARISON.png, with the picture's name and a budget that is not the default between."""
    other = "" if budget == next(iter(comparison.budgets)) else budget
    return "-".join(filter(None, [comparison.name, other, picture.name])) + ".png"


def page(text: str, rows: Sequence[Row], curves: Path) -> str:
    """RESULTS.md with all parts made anew.

    Raises UserError where a comparison's markers are missing, or stand there for none.
    """
    for name in re.findall(r"<!-- experiments:(\S+) begin -->", text):
        if name not in catalogue.NAMES:
            raise UserError(f"{PAGE.name}: there is no comparison {name}; remove what stands between its markers", 1)
    for comparison in catalogue.every():
        begin, end = (f"<!-- experiments:{comparison.name} {word} -->" for word in ("begin", "end"))
        head, found, rest = text.partition(begin)
        _, closed, tail = rest.partition(end)
        if not (found and closed):
            raise UserError(f"{PAGE.name}: the markers {begin} and {end} are missing; add them where it is to stand", 1)
        made = part(comparison, rows, results.read_curves(comparison.name, curves))
        text = f"{head}{begin}\n{made}{end}{tail}"
    return text


def pictures(rows: Sequence[Row], curves: Path) -> Iterator[tuple[str, Picture, Data]]:
    """File name and content of each picture of RESULTS.md."""
    for comparison in catalogue.every():
        points = results.read_curves(comparison.name, curves)
        for budget in comparison.budgets:
            data = data_of(comparison, budget, rows, points)
            for picture in filter(data.shows_something, comparison.pictures):
                yield file_name(comparison, budget, picture), picture, data


def draw(rows: Sequence[Row], folder: Path, curves: Path) -> int:
    """Draws the pictures of what has been run and removes all others. Returns how many."""
    from experiments import drawing

    made = {name: (data, picture) for name, picture, data in pictures(rows, curves)}
    for name, (data, picture) in made.items():
        drawing.draw(data, picture, folder / name)
    for file in _others(folder, made):
        file.unlink()
    return len(made)


def _others(folder: Path, names: Container[str]) -> list[Path]:
    """The pictures in a folder that have none of these names."""
    return sorted(file for file in folder.glob("*.png") if file.name not in names)


def outdated(rows: Sequence[Row], folder: Path, curves: Path) -> list[str]:
    """What is wrong with the pictures, a line for each: not there, of something else, or of nothing in the page."""
    shown = {name: (picture, data) for name, picture, data in pictures(rows, curves)}
    found = [f"{file} is not in the page" for file in _others(folder, shown)]
    for name, (picture, data) in shown.items():
        file = folder / name
        if not file.exists():
            found.append(f"{file}: there is no such picture")
        elif drawn.digest_in(file) != data.digest(picture):
            found.append(f"{file} is not drawn of the present figures")
    return found


def main(words: list[str] | None = None) -> int:
    """Runs the command line. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="report.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where page or pictures differ")
    parser.add_argument("--results", type=Path, default=results.RESULTS, help="(default experiments/results.csv)")
    parser.add_argument("--page", type=Path, default=PAGE, help="(default RESULTS.md)")
    options = parser.parse_args(words)
    for name, file in (("--results", options.results), ("--page", options.page)):
        if not file.is_file():
            raise UserError(f"{name}={file}: there is no such file")
    rows = results.read(options.results)
    try:
        before = options.page.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"--page={options.page}: it is not text in UTF-8 ({error})", 1) from error
    unsound = wrong_conclusions(rows)
    curves = options.results.parent / "curves"
    after = page(before, rows, curves)
    folder = options.page.parent / PICTURES
    if options.check:
        wrong = [f"{options.page} differs from {options.results}"] if before != after else []
        wrong += outdated(rows, folder, curves)
        lines = [*unsound, *(f"{text}; run experiments/report.py" for text in wrong)]
        if not lines:
            print(f"{options.page} and its pictures are what {options.results} says")
    else:
        count = draw(rows, folder, curves)
        files.write_text(options.page, after)
        print(f"{options.page}: {len(catalogue.NAMES)} comparisons; {count} pictures in {folder}")
        lines = [f"{text}; it is left out" for text in unsound]
    for text in lines:
        print(f"report.py: {text}", file=sys.stderr)
    return int(bool(lines))


if __name__ == "__main__":
    with errors.ending_in_a_line("report.py"):
        code = main()
    sys.exit(code)
