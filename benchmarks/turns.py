"""Contenders in processes of their own that take turns, the ratio of two of them, and results as CSV."""

import csv
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.contenders import Task
from common import machine

ROOT = Path(__file__).resolve().parents[1]
OWN = ("ours", "jpegs", "decode", "peak")  # not peers: without these there is nothing to compare


TRIALS, TRIAL_SECONDS = 3, 1.0  # turns, and the length of each, in which batches of several sizes are compared


@dataclass(frozen=True)
class Contender:
    """A name for people, whose it is (ours, or a peer), its task, and the multiples of its batch that it may choose."""

    name: str
    owner: str
    task: Task
    multiples: tuple[int, ...] = (1,)


class Worker:
    """A contender's process. Raises RuntimeError with its last words where it ends."""

    def __init__(self, contender: Contender):
        self.contender = contender
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        command = [sys.executable, str(ROOT / "benchmarks/contenders.py")]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._errors}
        self._process = subprocess.Popen(command, cwd=ROOT, text=True, bufsize=1, **pipes)
        self.steps, self.seconds, self.megabytes = 1, [], 0.0
        self.first = self._ask(json.dumps(asdict(contender.task)))["seconds"]

    def settle(self, seconds: float) -> None:
        """Warms up, forgets earlier rounds and decides how many steps a round has, to last about so many seconds."""
        self.seconds = []
        self._ask("1")
        once = self._ask("1")["seconds"]
        if once < seconds / 10:
            once = self._ask("10")["seconds"] / 10
        self.steps = max(1, round(seconds / once))

    def round(self) -> None:
        """Computes for a round."""
        self.seconds.append(self._ask(str(self.steps))["seconds"])

    @property
    def batch(self) -> int:
        """Images in a step."""
        return self.contender.task.batch_size

    @property
    def images_per_second(self) -> list[float]:
        """Of each round."""
        return [self.steps * self.batch / seconds for seconds in self.seconds]

    def _ask(self, line: str) -> dict:
        try:
            print(line, file=self._process.stdin)
            answer = json.loads(self._process.stdout.readline())
            self.megabytes = answer["megabytes"]
            return answer
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


def start(contender: Contender, seconds: float, say: Callable[[str], None] = print) -> Worker:
    """The contender's process, ready for rounds of so many seconds, at the best of the batches that it may choose.

    Raises RuntimeError where it fails at the first of them.
    """
    if len(contender.multiples) == 1:
        return _ready(contender, seconds)
    tried = _of_all_batches(contender, say)
    try:
        for _ in range(TRIALS):
            for worker in tried:
                worker.round()
        rates = {worker: statistics.median(worker.images_per_second) for worker in tried}
        best = max(tried, key=rates.__getitem__)
        listed = ", ".join(f"{worker.batch}: {rate:.1f}" for worker, rate in rates.items())
        name = f"{contender.name}, {contender.task.precision}"
        say(f"{name}: batch {best.batch} is the best (images/s by batch {listed})")
        best.settle(seconds)
        tried.remove(best)
        return best
    finally:
        for worker in tried:
            worker.close()


def _ready(contender: Contender, seconds: float) -> Worker:
    worker = Worker(contender)
    try:
        worker.settle(seconds)
    except RuntimeError:
        worker.close()
        raise
    return worker


def _of_all_batches(contender: Contender, say: Callable[[str], None]) -> list[Worker]:
    """A process for every batch that the contender may choose, up to the first that fails or may not fit.

    What one takes is estimated from the batch before it. The first may not fail: RuntimeError.
    """
    made: list[Worker] = []
    for multiple in contender.multiples:
        batch = multiple * contender.task.batch_size
        needed = made[-1].megabytes * batch / made[-1].batch if made else 0.0
        try:
            if needed > machine.available_megabytes():
                raise RuntimeError(f"it may take {needed:,.0f} MB")
            made.append(_ready(replace(contender, task=replace(contender.task, batch_size=batch)), TRIAL_SECONDS))
        except RuntimeError as error:
            if not made:
                raise
            say(f"{contender.name}, {contender.task.precision}, batch {batch}: left out, {error}")
            break
    return made


def run(found: list[Contender], rounds: int, seconds: float, say=print) -> list[Worker]:
    """Starts all, one after the other, and lets them take turns of so many seconds, in an order that rotates.

    A peer that fails is left out; what is our own may not.
    """
    workers = []
    try:
        for contender in found:
            try:
                workers.append(start(contender, seconds, say))
            except RuntimeError as error:
                if contender.owner in OWN:
                    raise
                say(f"{contender.name}, {contender.task.precision}: left out, {error}")
        for number in range(rounds):
            first = number % len(workers)
            for worker in workers[first:] + workers[:first]:
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
