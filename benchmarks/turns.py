"""Contenders in processes of their own that take turns, the ratio of two of them, and results as CSV."""

import csv
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.contenders import Task

ROOT = Path(__file__).resolve().parents[1]
OWN = ("ours", "jpegs", "decode", "peak")  # not peers: without these there is nothing to compare


@dataclass(frozen=True)
class Contender:
    """A name for people, whose it is (ours, or a peer), and its task."""

    name: str
    owner: str
    task: Task


class Worker:
    """A contender's process. Raises RuntimeError with its last words where it ends."""

    def __init__(self, contender: Contender):
        self.contender = contender
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        command = [sys.executable, str(ROOT / "benchmarks/contenders.py")]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._errors}
        self._process = subprocess.Popen(command, cwd=ROOT, text=True, bufsize=1, **pipes)
        self.first = self._ask(json.dumps(asdict(contender.task)))["seconds"]
        self.steps, self.seconds, self.megabytes = 1, [], 0.0

    def settle(self, seconds: float) -> None:
        """Warms up and decides how many steps a round has, to last about that many seconds."""
        self._ask("1")
        once = self._ask("1")["seconds"]
        if once < seconds / 10:
            once = self._ask("10")["seconds"] / 10
        self.steps = max(1, round(seconds / once))

    def round(self) -> None:
        """Computes for a round."""
        answer = self._ask(str(self.steps))
        self.seconds.append(answer["seconds"])
        self.megabytes = answer["megabytes"]

    @property
    def images_per_second(self) -> list[float]:
        """Of each round."""
        return [self.steps * self.contender.task.batch_size / seconds for seconds in self.seconds]

    def _ask(self, line: str) -> dict:
        try:
            print(line, file=self._process.stdin)
            return json.loads(self._process.stdout.readline())
        except (OSError, ValueError):
            self._process.wait()
            self._errors.seek(0)
            words = self._errors.read().strip().splitlines() or [f"exit code {self._process.returncode}"]
            raise RuntimeError(words[-1]) from None

    def close(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._errors.close()


def run(found: list[Contender], rounds: int, seconds: float, say=print) -> list[Worker]:
    """Starts all, one after the other, and lets them take turns of so many seconds, in an order that rotates.

    A peer that fails is left out; what is our own may not.
    """
    workers = []
    try:
        for contender in found:
            try:
                worker = Worker(contender)
                workers.append(worker)
                worker.settle(seconds)
            except RuntimeError as error:
                if contender.owner in OWN:
                    raise
                if workers and workers[-1].contender is contender:
                    workers.pop().close()
                say(f"{contender.name}, {contender.task.precision}: left out, {error}")
        for number in range(rounds):
            start = number % len(workers)
            for worker in workers[start:] + workers[:start]:
                worker.round()
    finally:
        for worker in workers:
            worker.close()
    return workers


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
