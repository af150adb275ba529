"""From a comparison to its commands: what has to be run, in which folder, after what, and about how long it takes."""

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import data
from experiments.design import Comparison, Flags, Run, Test

DATA, RUNS = "datasets", "experiments/runs"  # as commands are recorded, wherever the folders are
QUIET: Flags = {"report": False}
TRAINING: Flags = {"log_every": 20, "keep": 1, **QUIET}
Row = Mapping[str, str]


@dataclass(frozen=True)
class Job:
    """One command.

    Attributes:
        comparison, line, budget: what it belongs to; `line` is the name of a run or a test.
        seeds: one, or those of the members of an ensemble.
        folder: where its files go, below the folder of all runs.
        command: what follows `python`, with `DATA` and `RUNS` as folders.
        needs: the folders of the runs whose weights it loads.
        dataset: name of its data set.
        arch, image_size, images: for the time it takes: images trained on, or tested with all their crops.
        trains: it trains a network; else it tests one or measures something.
        minutes: what it is fitted into (`--minutes`), 0 where it is not.
        batch: images of a step; 0: the recipe's.
    """

    comparison: str
    line: str
    budget: str
    seeds: tuple[int, ...]
    folder: str
    command: tuple[str, ...]
    needs: tuple[str, ...]
    dataset: str
    arch: str
    image_size: int
    images: int
    trains: bool
    minutes: float = 0.0
    batch: int = 0

    @property
    def seed(self) -> str:
        """`0`, or `0+1+2` of an ensemble."""
        return "+".join(map(str, self.seeds))

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What tells its row of results.csv from all others."""
        return self.comparison, self.line, self.budget, self.seed

    @property
    def text(self) -> str:
        """The command as it is recorded."""
        return " ".join(("python", *(f"'{part}'" if " " in part else part for part in self.command)))

    def located(self, datasets: Path, runs: Path) -> list[str]:
        """What follows `python`, with the folders where they are."""
        change = {f"{DATA}/": f"{datasets.resolve()}/", f"{RUNS}/": f"{runs.resolve()}/"}
        pattern = re.compile("|".join(rf"(?<![\w/]){re.escape(name)}" for name in change))
        return [pattern.sub(lambda found: change[found[0]], part) for part in self.command]


def arguments(flags: Flags) -> list[str]:
    """Flags as words: True and False as --x and --nox, tuples with commas, None left out."""
    words: list[str] = []
    for name, value in flags.items():
        if isinstance(value, bool):
            words.append(f"--{'' if value else 'no'}{name}")
        elif value is not None:
            text = ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
            words += [f"--{name}", text]
    return words


def flags_of(comparison: Comparison, budget_name: str, run: Run) -> dict[str, Any]:
    """The flags of a run under a budget: base, budget, run, run under that budget; what comes later wins."""
    own = run.budgets.get(budget_name, {})
    return {**comparison.base, **comparison.budgets[budget_name].flags, **run.flags, **own}


def folder_of(comparison: Comparison, budget_name: str, run: Run) -> str:
    """The folder of a run without its seed. Runs with the same flags share it, in whichever comparison they stand."""
    flags = flags_of(comparison, budget_name, run)
    start = folder_of(comparison, budget_name, comparison.run(run.start)) if run.start else ""
    content = json.dumps([run.script, start, sorted(flags.items())], default=str)
    name = Path(run.script).stem if run.script else flags["arch"]
    return f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


def training(comparison: Comparison, budget_name: str, run: Run, seed: int) -> Job:
    """The command that trains one run with one seed."""
    flags = flags_of(comparison, budget_name, run)
    folder = f"{folder_of(comparison, budget_name, run)}/seed-{seed}"
    dataset = flags.pop("dataset", None) or "digits"
    needs: tuple[str, ...] = ()
    if run.start:
        needs = (f"{folder_of(comparison, budget_name, comparison.run(run.start))}/seed-{seed}",)
        flags["restore"] = f"{RUNS}/{needs[0]}"
    if dataset != "digits":
        flags = {"dataset": f"{DATA}/{dataset}", **flags}
    if run.script:
        words = [run.script, *arguments(flags)]
    else:
        words = ["train.py", *arguments({"mode": "train", **TRAINING, **flags})]
    words += ["--seed", str(seed), "--ckpt", f"{RUNS}/{folder}"]
    trains = not run.script or bool(flags.get("epochs"))
    images = data.find(dataset).trained_on(flags.get("validation_share")) * epochs(flags) if trains else 0
    size = int(flags.get("image_size", 0))
    place = comparison.name, run.name, budget_name, (seed,), folder, tuple(words), needs
    length = float(flags.get("minutes", 0)), int(flags.get("batch_size") or 0)
    return Job(*place, dataset, flags.get("arch", ""), size, images, trains, *length)


def epochs(flags: Flags) -> int:
    """The length of a run: that of its flags, else of the network's recipe."""
    if "epochs" in flags:
        return int(flags["epochs"])
    from cli import registry

    return registry.find(flags["arch"]).recipe.epochs or 30


def testing(comparison: Comparison, budget_name: str, test: Test, seeds: tuple[int, ...]) -> Job:
    """The command that tests runs with these seeds together."""
    runs = [comparison.run(name) for name in test.of]
    needs = tuple(f"{folder_of(comparison, budget_name, run)}/seed-{seed}" for run in runs for seed in seeds)
    folder = f"tests/{comparison.name}-{budget_name}/{test.name}/seed-{'+'.join(map(str, seeds))}"
    first = flags_of(comparison, budget_name, runs[0])
    dataset = first.get("dataset", "digits")
    flags = {"mode": "test", "restore": ",".join(f"{RUNS}/{need}" for need in needs), **QUIET, **test.flags}
    if dataset != "digits":
        flags["dataset"] = f"{DATA}/{dataset}"
    words = ["train.py", *arguments(flags), "--ckpt", f"{RUNS}/{folder}"]
    views = {"1": 1, "10": 10, "144": 144, "dense": 4}[str(test.flags.get("crops", 1))]
    views *= str(test.flags.get("scales", "")).count(",") + 1
    images = data.find(dataset).test * len(needs) * views
    place = comparison.name, test.name, budget_name, seeds, folder, tuple(words), needs
    return Job(*place, dataset, first.get("arch", ""), int(first.get("image_size", 0)), images, False)


def jobs(comparison: Comparison, budget_name: str, seeds: int | None, rows: Collection[Row]) -> tuple[list[Job], int]:
    """The commands of a comparison that are settled, and how many more there will be when groups have their best.

    The first seed of every line comes first, then the second one ..., so that a pass that is cut has something of each.
    What needs the weights of a run that diverged is not among them.

    Args:
        comparison, budget_name: which.
        seeds: how many of each line; None: as many as the line or its budget says.
        rows: of results.csv, which know the best of a group.
    """
    runs = [run for run in comparison.runs if not run.earlier and not comparison.why_left_out(run)]
    groups = dict.fromkeys(run.group for run in runs if run.group)
    best = {group: best_of_group(comparison, budget_name, group, rows) for group in groups}
    default = comparison.budgets[budget_name].seeds
    found = []
    for run in runs:
        is_tried_only = bool(run.group) and best[run.group] is not run
        count = 1 if is_tried_only else seeds or run.seeds or default
        found += [training(comparison, budget_name, run, seed) for seed in range(count)]
    for test in comparison.tests:
        if not comparison.why_left_out(test):
            each = seeds or min(comparison.run(name).seeds or default for name in test.of)
            found += [testing(comparison, budget_name, test, group) for group in test.groups(each)]
    gone = {folder_in(row["command"]) for row in rows if row["outcome"] == "diverged"}
    while more := {job.folder for job in found if gone & set(job.needs)} - gone:
        gone |= more
    found = [job for job in found if not gone & set(job.needs)]
    open_jobs = ((seeds or default) - 1) * sum(run is None for run in best.values())
    return sorted(found, key=lambda job: max(job.seeds)), open_jobs


def folder_in(command: str) -> str:
    """The folder of the run that a recorded command is for."""
    return command.rpartition(f"--ckpt {RUNS}/")[2]


def best_of_group(comparison: Comparison, budget_name: str, group: str, rows: Collection[Row]) -> Run | None:
    """The run of a group whose first seed has the best validation; None while one of them has no row.

    A run that diverged is the worst; where all did, the first stands for the group. Runs that are
    left out do not count.
    """
    members = [run for run in comparison.runs if run.group == group and not comparison.why_left_out(run)]
    scores = []
    for run in members:
        job = training(comparison, budget_name, run, 0)
        row = next((row for row in rows if is_row_of(row, job)), None)
        if row is None:
            return None
        scores.append(float(row["best_validation"] or 0) if row["outcome"] == "finished" else -1.0)
    return members[scores.index(max(scores))] if members else None


def key_of(row: Row) -> tuple[str, str, str, str]:
    """What tells a row of results.csv from all others: `Job.key` of its job."""
    return row["comparison"], row["run"], row["budget"], row["seed"]


def is_row_of(row: Row, job: Job) -> bool:
    """Whether a row of results.csv is that of a job: the same place, and the same command."""
    return key_of(row) == job.key and row["command"] == job.text


def expected_rows(comparison: Comparison, budget_name: str, rows: Sequence[Row]) -> list[Row | None]:
    """The row of each command of a budget, None where there is none yet, and a None for each that is not settled."""
    wanted, open_jobs = jobs(comparison, budget_name, None, rows)
    return [next((row for row in rows if is_row_of(row, job)), None) for job in wanted] + [None] * open_jobs
