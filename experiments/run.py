"""Trains and tests what a comparison needs, and keeps the figures in results.csv.

    python experiments/run.py NAME                 runs what is missing; the same command goes on after a stop
    python experiments/run.py NAME --again         also runs what results.csv has, unless it lies in --out
    python experiments/run.py NAME --dry_run       lists the runs, what exists, and the minutes expected
    python experiments/run.py all --dry_run        the same of every comparison
    python experiments/report.py                   makes tables and pictures from results.csv

Ctrl-C or SIGTERM saves the runs under way and ends. A run that fails is named in one line; the others go on.
"""

import argparse
import errno
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

if __package__ in (None, ""):  # run as a script: sys.path begins with experiments/ instead of the repository's root
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import errors
from common.errors import UserError
from common.training import stop_signals
from experiments import catalogue, data, processes, results, version, work
from experiments.listing import list_runs
from experiments.processes import Process
from experiments.progress import Order, Place, look, take
from experiments.work import Job

ROOT = Path(__file__).resolve().parents[1]
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)  # the disk's fault, not the program's
PAUSE = 0.2  # seconds between two looks at the processes


def carry_out(order: Order, place: Place, at_once: int, stops: list) -> tuple[int, int]:
    """Runs what is missing until nothing is left that can be run. Returns how many failed and how many are left."""
    failed: set[str] = set()
    begun: set[str] = set()
    running: list[Process] = []
    spare = processes.shares(at_once)
    while True:
        state = look(order, place)
        for job in state.free:
            take(job, order, place)
        if state.free:
            continue
        for job in state.lost + state.missing if not stops else []:
            needs = all(processes.has_weights(place.runs, folder) for folder in job.needs)
            if spare and needs and job.folder not in begun and job.dataset not in place.absent:
                running.append(Process(job, place.runs, place.datasets, spare.pop()))
                running[-1].start()
                begun.add(job.folder)
                print(f"{_title(job)}: started; {len(state.done)} of {state.total} done", flush=True)
        if not running:
            return len(failed), sum(job.folder not in failed for job in state.missing) + state.unsettled
        _wait(running, stops)
        if stops:
            for process in running:
                process.stop()
            while not all([process.ended() for process in running if process.running]):
                time.sleep(PAUSE)
        for process in [one for one in running if not one.running]:
            running.remove(process)
            spare.append(process.cores)
            if processes.has_ended(place.runs, process.job):
                results.forget(process.job, place.results)  # `take` then puts the new figures there
            failed |= _tell(process, bool(stops))


def _wait(running: list[Process], stops: list) -> None:
    """Until one of them has ended, or a signal asks to stop."""
    while not stops and not any([process.ended() for process in running]):
        time.sleep(PAUSE)


def _title(job: Job) -> str:
    return f"{job.comparison} {job.line} seed {job.seed}"


def _tell(process: Process, asked_to_stop: bool) -> set[str]:
    """One line on a run that has ended; returns its folder where it failed."""
    job, code = process.job, process.state["exit_code"]
    if processes.has_ended(process.runs, job):
        how = "diverged" if code else process.last_line()
        print(f"{_title(job)}: {how}, {process.state['minutes']:.1f} minutes", flush=True)
    elif not asked_to_stop or code not in (*processes.STOPPED, -signal.SIGTERM, -signal.SIGINT):
        log, why = processes.log_file(process.runs, job.folder), process.last_line()
        how = f"failed with exit code {code}" if code else "ended without results.json"
        print(f"{_title(job)}: {how}: {why} ({log})", file=sys.stderr, flush=True)
        return {job.folder}
    return set()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        prog="run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = found.add_argument
    add("names", nargs="+", metavar="NAME", help=f"comparisons, or all: {', '.join(catalogue.NAMES)}")
    add("--budget", help="small (hours on a laptop) or paper (the papers' lengths); default: a comparison's first")
    add("--seeds", type=int, help="how many seeds of each line, from 0 on (default: what the comparison says)")
    add(
        "--jobs",
        type=int,
        default=1,
        help="runs at the same time, each on its share of the cores (default 1); with another number of threads "
        "results may differ in their last bits",
    )
    add("--out", type=Path, default=ROOT / work.RUNS, help=f"folder of the runs (default {work.RUNS})")
    add("--datasets", type=Path, default=ROOT / work.DATA, help=f"folder of the data sets (default {work.DATA})")
    add("--results", type=Path, default=results.RESULTS, help="the figures (default experiments/results.csv)")
    add(
        "--again",
        action="store_true",
        help="also run what results.csv has, unless it lies in --out; with a new folder there, everything",
    )
    add("--dry_run", action="store_true", help="list the runs and the minutes expected, and stop")
    return found


def main(words: list[str] | None = None) -> int:
    """Runs the command line. Returns the exit code: 0 done, 1 something failed, 130 or 143 stopped."""
    options = parser().parse_args(words)
    if (options.seeds is not None and options.seeds < 1) or options.jobs < 1:
        raise UserError("--seeds and --jobs are whole numbers from 1 on")
    names = list(catalogue.NAMES) if options.names == ["all"] else options.names
    curves = options.results.parent / "curves"
    place = Place(options.out, options.datasets, options.results, curves, options.again)
    orders = []
    if options.names == ["all"] and options.budget:
        known = {budget for comparison in catalogue.every() for budget in comparison.budgets}
        if options.budget not in known:
            raise errors.unknown("--budget", options.budget, known)
    for comparison in map(catalogue.find, names):
        if options.names == ["all"] and options.budget and options.budget not in comparison.budgets:
            print(f"{comparison.name}: left out because it has no budget {options.budget}", flush=True)
            continue
        if options.names == ["all"] and comparison.left_out:
            print(f"{comparison.name}: left out because {comparison.left_out}", flush=True)
            continue
        budget = comparison.budget(options.budget)
        orders.append(Order(comparison, budget, options.seeds))
    if options.dry_run:
        problems = filter(None, (data.missing(name, place.datasets) for name in needed(orders, place)))
        for text in dict.fromkeys(map(str, problems)):
            print(f"needed: {text}")
        shown: dict[str, float] = {}
        for order in orders:
            shown |= list_runs(order, place)
        if len(orders) > 1:
            print(f"together about {sum(shown.values()):.0f} minutes; what several comparisons need is run once")
        return 0
    return _run(orders, place, options.jobs)


def _check_writable(flag: str, folder: Path) -> None:
    """Raises UserError where nothing can be written into a folder, which is made: better now than after a run."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{flag}: {folder} cannot be written to: {error.strerror}", 1) from error


def needed(orders: list[Order], place: Place) -> list[str]:
    """The data sets of what has to be run."""
    states = [look(order, place) for order in orders]
    return list(dict.fromkeys(job.dataset for state in states for job in state.lost + state.missing))


def _prepare(names: list[str], place: Place) -> Place:
    """Makes the data sets that are parts of others; says of the rest how to make it, and leaves its runs out."""
    problems: dict[str, str] = {}
    for name in names:
        try:
            data.provide(name, place.datasets)
        except UserError as problem:
            problems[name] = str(problem)
    for text in dict.fromkeys(problems.values()):  # several may be parts of the same one
        print(f"run.py: {text}", file=sys.stderr, flush=True)
    return replace(place, absent=frozenset(problems))


def _run(orders: list[Order], place: Place, at_once: int) -> int:
    names = needed(orders, place)
    _check_writable("--results", place.results.parent)
    if names:
        _check_writable("--out", place.runs)
    place = _prepare(names, place)
    commit = version.commit(ROOT)
    if commit.endswith(version.CHANGED):
        print(f"note: Python files differ from the last commit; the figures will be those of {commit}", flush=True)
    failures = left = 0
    with stop_signals.noted() as stops:
        for order in orders:
            failed, waiting = carry_out(order, place, at_once, stops)
            failures, left = failures + failed, left + waiting
            if stops:
                print("run.py: stopped; the same command goes on", file=sys.stderr)
                return 128 + stops[0]
    if failures or left:
        print(f"run.py: {failures} failed, {left} not run; the same command tries again", file=sys.stderr)
        return 1
    hint = "" if names else "; nothing was run; --again with another folder as --out repeats them"
    print(f"all runs are finished; their figures are in {place.results}{hint}")
    return 0


if __name__ == "__main__":
    with errors.ending_in_a_line("run.py"):
        try:
            code = main()
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise UserError(f"{error.filename or 'a file'} cannot be written: {error.strerror}", 1) from error
    sys.exit(code)
