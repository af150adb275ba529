"""A comparison that takes no time: its runs are a small script that counts to a number, and rows made by hand."""

import csv
import sys
from collections.abc import Mapping
from pathlib import Path

from experiments import results
from experiments.work import Job

COUNTER = """
import argparse, json, os, signal, sys, time
from pathlib import Path

parser = argparse.ArgumentParser()
for name in ("ckpt", "seed", "steps", "pause", "fault"):
    parser.add_argument(f"--{name}", default="0")
parser.add_argument("--restore")
options = parser.parse_args()
folder = Path(options.ckpt)
folder.mkdir(parents=True, exist_ok=True)
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
place = folder / "place"
begun = int(place.read_text()) if place.exists() else 0
with open(folder / "starts", "a") as file:
    file.write(f"{begun}\\n")
for step in range(begun, int(options.steps)):
    if stopped:
        sys.exit(143)
    time.sleep(float(options.pause))
    place.write_text(str(step + 1))
if options.fault != "0":
    print("the disk is full")
    sys.exit(int(options.fault))
if hasattr(os, "sched_getaffinity"):
    (folder / "cores").write_text(json.dumps(sorted(os.sched_getaffinity(0))))
(folder / "checkpoints").mkdir(exist_ok=True)
(folder / "results.json").write_text(json.dumps({"top1": 0.5 + int(options.seed) / 10, "split": "test"}))
print("model    counter, 1,234 parameters")
print("test top1 0.5")
"""

COMPARISON = """
from experiments.design import Budget, Claim, Comparison, Run, Test

SCRIPT = {script!r}
COMPARISON = Comparison(
    name="counting",
    title="Counting",
    question="How far?",
    claims=(Claim("Far.", "Euclid"),),
    base={{"steps": {steps}, "pause": {pause}}},
    runs=({runs},),
    tests=tuple([{tests}]),
    budgets={{"small": Budget("a few steps", {{}}, {seeds})}},
)
"""


def counting(folder: Path, runs: str, steps: int = 2, pause: float = 0.0, seeds: int = 1, tests: str = "") -> Path:
    """Writes the script and a comparison of it; `runs` are `Run(...)`, comma-separated, with script=SCRIPT, `tests`
    are `Test(...)`.
    """
    script = (folder / "counter").with_suffix(".py")
    script.write_text(COUNTER, encoding="utf-8")
    path = (folder / "counting").with_suffix(".py")
    text = COMPARISON.format(script=str(script), steps=steps, pause=pause, runs=runs, seeds=seeds, tests=tests)
    path.write_text(text, encoding="utf-8")
    return path


def words(path: Path, folder: Path, *more: str) -> list[str]:
    """Arguments of run.py for a comparison whose runs and figures go into a folder."""
    return [str(path), "--out", str(folder / "runs"), "--results", str(folder / "results.csv"), *more]


def command(path: Path, folder: Path, *more: str) -> list[str]:
    """The same as a process."""
    return [sys.executable, "experiments/run.py", *words(path, folder, *more)]


def row(job: Job, **values: object) -> Mapping[str, str]:
    """The row of a job that is finished, with some figures."""
    found = dict.fromkeys(results.COLUMNS, "") | {"comparison": job.comparison, "run": job.line, "budget": job.budget}
    found |= {"seed": job.seed, "command": job.text, "outcome": "finished", "commit": "abc1234", "minutes": "2"}
    found |= {"processor": "a processor", "precision": "float32", "date": "2026-01-02", "processor_minutes": "3"}
    return found | {name: str(value) for name, value in values.items()}


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "results.csv", newline="") as file:
        return list(csv.DictReader(file))


def starts(folder: Path) -> list[str]:
    """From which step each process of each run began."""
    return [path.read_text() for path in sorted(folder.glob("runs/*/seed-*/starts"))]
