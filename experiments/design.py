"""What a comparison is: a question, the runs that answer it, and what to draw of them.

A comparison is a file of this folder that defines `COMPARISON`. Flags are those of `python train.py --help`, without
dashes: `{"epochs": 4, "flip": False}` is `--epochs 4 --noflip`. A tuple or list is joined by commas.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from common.errors import UserError, unknown

Flags = Mapping[str, Any]
SMALL, PAPER = "small", "paper"


@dataclass(frozen=True)
class Run:
    """One line of a table: a network trained with these flags, once for each seed.

    Attributes:
        name: within the comparison; letters, digits, - and _.
        flags: what differs from the comparison's base.
        label: in tables and pictures; the name where it is empty.
        budgets: further flags under one budget alone, by its name.
        paper: what the paper reports for it, as text with its unit.
        row, column: place in a table of two dimensions.
        group: of several runs with the same group only the one with the best validation is trained with more than the
            first seed.
        start: the run of this comparison, by name, whose weights of the same seed it starts from (`--restore`).
        script: what is run in place of `train.py --mode train`: a script that takes `--seed` and `--ckpt` and writes
            results.json there.
        seeds: how many; 0: as many as the budget says.
        earlier: the command of a run of an earlier version, whose row stands in results.csv; it is not run again.
        left_out: why it is not run, as what follows "left out because"; empty where it is run.
    """

    name: str
    flags: Flags = field(default_factory=dict)
    label: str = ""
    budgets: Mapping[str, Flags] = field(default_factory=dict)
    paper: str = ""
    row: str = ""
    column: str = ""
    group: str = ""
    start: str = ""
    script: str = ""
    seeds: int = 0
    earlier: str = ""
    left_out: str = ""

    @property
    def title(self) -> str:
        """What tables and pictures call it."""
        return self.label or self.name


@dataclass(frozen=True)
class Test:
    """One line of a table: `--mode test` of finished runs, whose probabilities are averaged where they are several.

    Attributes:
        name, label, paper, row, column: as of `Run`.
        of: names of the runs, each with the same seed.
        members: how many consecutive seeds of them go together; the seeds are taken in a circle, so that there are as
            many such tests as seeds, but one alone of all of them.
        flags: of the test.
    """

    name: str
    of: tuple[str, ...]
    members: int = 1
    flags: Flags = field(default_factory=dict)
    label: str = ""
    paper: str = ""
    row: str = ""
    column: str = ""

    @property
    def title(self) -> str:
        """What tables and pictures call it."""
        return self.label or self.name

    def groups(self, seeds: int) -> list[tuple[int, ...]]:
        """The seeds that are tested together, one tuple a test; none where there are fewer seeds than members."""
        if self.members > seeds:
            return []
        starts = range(1 if self.members == seeds > 1 else seeds)
        return [tuple((start + step) % seeds for step in range(self.members)) for start in starts]


@dataclass(frozen=True)
class Budget:
    """How much is spent: flags for all runs, seeds 0 to seeds - 1, and in a few words what it is."""

    text: str
    flags: Flags = field(default_factory=dict)
    seeds: int = 3


@dataclass(frozen=True)
class Claim:
    """What a paper says, with its citation."""

    text: str
    source: str


@dataclass(frozen=True)
class Table:
    """A table: `list`, a line a run with the figures named; `grid`, rows by columns with one figure; `best`, a line a
    group with its best run.

    Attributes:
        kind: one of the three.
        figures: columns of results.csv (`tables.FIGURES`); of a grid the first.
        head: over the first column.
        rows: names of runs and tests; all of them where it is empty.
        against: of a list: the name of the line from which the others' first figure is counted, in points and in
            standard errors of the difference of two means.
    """

    kind: str = "list"
    figures: tuple[str, ...] = ("top1", "train_top1", "loss", "parameters")
    head: str = "network"
    rows: tuple[str, ...] = ()
    against: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture, drawn by the function of `drawing.KINDS` of that kind.

    Attributes:
        kind: which function.
        name: its file is docs/images/experiments/COMPARISON[-NAME].png.
        title: what it shows, and its alternative text.
        series: curves of curves/COMPARISON.csv, or figures of results.csv; what they are depends on the kind.
        rows: names of runs; all of them where it is empty.
        x: what runs to the right, where the kind leaves a choice.
        log: a logarithmic axis upwards.
    """

    kind: str
    title: str
    series: tuple[str, ...] = ("top1",)
    name: str = ""
    rows: tuple[str, ...] = ()
    x: str = ""
    log: bool = False


@dataclass(frozen=True)
class Comparison:
    """A question, what answers it, and what to draw.

    Attributes:
        name: of its file, of its runs and of its part of RESULTS.md.
        title, question: for people.
        claims: what papers say; none where no paper has the like.
        base: flags of every run; `dataset` names one of `data.DATASETS`.
        runs, tests: lines of its tables.
        budgets: by name, `small` and `paper`; the first one is the default.
        tables, pictures: what is made of the figures.
        curves: which series of the runs' metrics.csv are kept: train_loss, train_top1, validation_loss ...
        keep_weights: False where nothing later needs them and they are large; they go when the figures are read.
        costs: multiply-adds are counted too, which takes a few seconds a network.
        conclusion: what the figures of the default budget say and what they cannot; written when there are some.
        left_out: why `run.py all` leaves it out, as what follows "left out because"; `run.py NAME` runs it.
    """

    name: str
    title: str
    question: str
    claims: tuple[Claim, ...]
    base: Flags
    runs: tuple[Run, ...]
    budgets: Mapping[str, Budget]
    tests: tuple[Test, ...] = ()
    tables: tuple[Table, ...] = (Table(),)
    pictures: tuple[Picture, ...] = ()
    curves: tuple[str, ...] = ()
    keep_weights: bool = True
    costs: bool = False
    conclusion: str = ""
    left_out: str = ""

    def __post_init__(self):
        names = [one.name for one in self.lines]
        assert len(set(names)) == len(names), f"{self.name}: two lines share a name"
        known = {run.name for run in self.runs}
        for run in self.runs:
            assert not run.start or run.start in known, f"{self.name}: {run.name} starts from {run.start}"
        for test in self.tests:
            assert known >= set(test.of), f"{self.name}: {test.name} tests {test.of}"

    @property
    def lines(self) -> tuple[Run | Test, ...]:
        """Runs and tests, in the order of the tables."""
        return (*self.runs, *self.tests)

    def run(self, name: str) -> Run:
        """The run of that name."""
        return next(run for run in self.runs if run.name == name)

    def why_left_out(self, line: Run | Test) -> str:
        """Why a line is not run: its own reason or that of a run whose weights it needs; empty where it is run."""
        if isinstance(line, Run) and line.left_out:
            return line.left_out
        needed = line.of if isinstance(line, Test) else filter(None, (line.start,))
        return next(filter(None, (self.why_left_out(self.run(name)) for name in needed)), "")

    def budget(self, name: str | None) -> str:
        """The name of a budget; None: the default. Raises UserError for one that it does not have."""
        name = name or next(iter(self.budgets))
        if name not in self.budgets:
            raise UserError(f"--budget={name}: {self.name} has {', '.join(self.budgets)}")
        return name


def choose(rows: tuple[str, ...], lines: tuple[Run | Test, ...]) -> list[Run | Test]:
    """The lines that a table or a picture names, in its order; all of them where it names none."""
    by_name = {line.name: line for line in lines}
    for name in rows:
        if name not in by_name:
            raise unknown("line", name, by_name)
    return [by_name[name] for name in rows] if rows else list(lines)
