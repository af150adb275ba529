"""How far a comparison is: what results.csv has, what lies in the folder of the runs, what is missing."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from experiments import costs, processes, results, work
from experiments.design import Comparison
from experiments.work import Job


@dataclass(frozen=True)
class Place:
    """Where things are, and whether results.csv counts as done (`again`: only what lies in `runs`).

    `absent` are the names of data sets that are not there: what needs them is left out.
    """

    runs: Path
    datasets: Path
    results: Path
    curves: Path
    again: bool = False
    absent: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Order:
    """What is asked for: a comparison, its budget by name, how many seeds (None: as many as the comparison says)."""

    comparison: Comparison
    budget: str
    seeds: int | None


@dataclass(frozen=True)
class State:
    """How far an order is.

    Attributes:
        done: commands whose figures are there.
        free: those whose figures `take` gets without running them.
        missing: those that have to be run.
        lost: those of the first two whose weights a missing or lost one loads, and which are gone: they are run again.
        unsettled: how many more there will be when groups have their best.
    """

    done: list[Job]
    free: list[Job]
    missing: list[Job]
    lost: list[Job]
    unsettled: int

    @property
    def total(self) -> int:
        """All of them."""
        return len(self.done) + len(self.free) + len(self.missing) + self.unsettled


def look(order: Order, place: Place) -> State:
    """How far an order is."""
    table = results.read(place.results)
    rows = [row for row in table if not place.again or _is_from(row, place)]
    wanted, unsettled = work.jobs(order.comparison, order.budget, order.seeds, rows)
    done = [job for job in wanted if any(work.is_row_of(row, job) for row in rows)]
    if place.again:
        done = [job for job in done if processes.has_ended(place.runs, job)]
    others = [job for job in wanted if job not in done]
    free = [job for job in others if processes.has_ended(place.runs, job) or _elsewhere(job, order, place, table)]
    missing = [job for job in others if job not in free]
    return State(done, free, missing, _lost([*done, *free], missing, place), unsettled)


def _lost(there: list[Job], missing: list[Job], place: Place) -> list[Job]:
    """Which of the commands whose figures are there have to be run again for their weights, and for those of them."""
    lost: list[Job] = []
    needed = {folder for job in missing for folder in job.needs}
    gone = [job for job in there if not processes.has_weights(place.runs, job.folder)]
    while more := [job for job in gone if job.folder in needed and job not in lost]:
        lost += more
        needed |= {folder for job in more for folder in job.needs}
    return lost


def _elsewhere(job: Job, order: Order, place: Place, table: list[dict[str, str]]) -> dict[str, str] | None:
    """The row of the same command in another comparison, where all that this one keeps is in it."""
    if place.again or order.comparison.curves or order.comparison.costs:
        return None
    return next((row for row in table if row["command"] == job.text), None)


def _is_from(row: dict[str, str], place: Place) -> bool:
    """Whether a row is of the run that lies below `runs`, not of an earlier one elsewhere."""
    return results.is_of(row, processes.read_state(place.runs, work.folder_in(row["command"])))


def record(job: Job, order: Order, place: Place) -> None:
    """Puts the figures of a run that has ended into results.csv, in place of those of an earlier one."""
    folder = processes.run_folder(place.runs, job.folder)
    state = processes.read_state(place.runs, job.folder)
    if job.needs and not job.trains:
        state["precision"] = results.precision(processes.run_folder(place.runs, job.needs[0]))
    if order.comparison.costs and job.trains:
        state["multiply_adds"] = costs.multiply_adds(folder)
    row = results.of_run(job, folder, state)
    points = results.curves_of(order.comparison, folder)
    results.add(order.comparison, job, row, points, place.results, place.curves)
    if not order.comparison.keep_weights:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def take(job: Job, order: Order, place: Place) -> None:
    """Puts the figures of a `free` job into results.csv: those of a run that has ended, or of the same command in
    another comparison.
    """
    if processes.has_ended(place.runs, job):
        record(job, order, place)
    elif row := _elsewhere(job, order, place, results.read(place.results)):
        mine = {"comparison": job.comparison, "run": job.line, "budget": job.budget}
        results.add(order.comparison, job, row | mine, [], place.results, place.curves)
