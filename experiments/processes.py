"""Runs as processes: started, waited for, stopped; what is known of each stands beside its folder, in FOLDER.json."""

import contextlib
import ctypes
import datetime
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from common import processor
from common.runs import files
from experiments import version
from experiments.work import Job

ROOT = Path(__file__).resolve().parents[1]
DIVERGED, STOPPED = 3, (130, 143)
_PR_SET_PDEATHSIG = 1
SAVED = ("checkpoints/step-*", "*/checkpoints/step-*", "*.pt")  # what a run goes on from, also that of a script
KEPT_EVERY = 10.0  # seconds between two writings of the time that a run has taken


def run_folder(runs: Path, folder: str) -> Path:
    """The directory of a run."""
    return runs / folder


def state_file(runs: Path, folder: str) -> Path:
    """Where what is known of a run stands."""
    return runs / f"{folder}.json"


def log_file(runs: Path, folder: str) -> Path:
    """What the run printed."""
    return runs / f"{folder}.log"


def read_state(runs: Path, folder: str) -> dict[str, Any]:
    """What is known of a run; empty before its first start."""
    try:
        return json.loads(state_file(runs, folder).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def has_ended(runs: Path, job: Job) -> bool:
    """Whether a job is finished and its figures are there, or it has diverged.

    What another command has left in its folder does not count, nor what was made of other weights than those that are
    there now.
    """
    state = read_state(runs, job.folder)
    if state.get("command") != job.text or state.get("loads") != _loads(runs, job):
        return False
    return state["exit_code"] == DIVERGED or _is_finished(runs, job.folder, state)


def has_weights(runs: Path, folder: str) -> bool:
    """Whether a run is finished and can be loaded."""
    state = read_state(runs, folder)
    return _is_finished(runs, folder, state) and (run_folder(runs, folder) / "checkpoints").is_dir()


def _is_finished(runs: Path, folder: str, state: dict[str, Any]) -> bool:
    return state.get("exit_code") == 0 and any(run_folder(runs, folder).glob("results*.json"))


def _loads(runs: Path, job: Job) -> dict[str, str | None]:
    """When the runs whose weights a job loads were started, which tells the weights from earlier ones."""
    return {folder: read_state(runs, folder).get("started") for folder in job.needs}


def shares(count: int) -> list[frozenset[int]]:
    """The cores of each of `count` runs at once, which share none where there are enough; empty: all of them.

    TensorFlow starts as many threads as it may use cores; two runs with threads for all of them would slow each other.
    """
    if count == 1 or not hasattr(os, "sched_getaffinity"):
        return [frozenset()] * count
    cores = sorted(os.sched_getaffinity(0))
    if count >= len(cores):
        return [frozenset({cores[number % len(cores)]}) for number in range(count)]
    edges = [number * len(cores) // count for number in range(count + 1)]
    return [frozenset(cores[start:end]) for start, end in pairwise(edges)]


def _begin(cores: frozenset[int]) -> None:
    """In the child: its cores; and SIGTERM, on which a run saves, where its parent is killed (Linux)."""
    if cores:
        os.sched_setaffinity(0, cores)
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def processor_seconds(pid: int) -> float:
    """Processor time of a process that runs, with its children that have ended; 0 where the system has no /proc."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    # proc(5): behind the name, which may hold anything, fields 3 to ...; utime, stime, cutime, cstime are 14 to 17
    ticks = text.rpartition(")")[2].split()[11:15]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


@dataclass
class Process:
    """One run's process.

    Attributes:
        job, runs: what runs, and the folder of all runs.
        cores: those that it may use; empty: all.
        state: what is known of it, with what earlier processes of the same run took.
    """

    job: Job
    runs: Path
    datasets: Path
    cores: frozenset[int] = frozenset()
    state: dict[str, Any] = field(default_factory=dict)

    def start(self) -> None:
        """Starts it in a process group of its own: Ctrl-C reaches this program alone, which passes it on once."""
        folder = run_folder(self.runs, self.job.folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        goes_on = any(any(folder.glob(saved)) for saved in SAVED)  # else what an earlier process did is lost
        self.state = read_state(self.runs, self.job.folder) if goes_on else {}
        for name, sign, here in (
            ("commit", "+", version.commit(ROOT)),
            ("processor", " + ", processor.describe().short),
        ):
            before = [one for one in self.state.get(name, "").split(sign) if one]
            self.state[name] = sign.join(dict.fromkeys([*before, here]))
        now = datetime.datetime.now()
        self.state |= {"date": f"{now.date()}", "started": now.isoformat(), "exit_code": None}
        self.state |= {"command": self.job.text, "loads": _loads(self.runs, self.job)}
        self._before = {name: self.state.get(name, 0.0) for name in ("minutes", "processor_minutes", "memory_mb")}
        self._log = open(log_file(self.runs, self.job.folder), "a", encoding="utf-8")  # noqa: SIM115
        self._size = self._log.tell()
        command = [sys.executable, *self.job.located(self.datasets, self.runs)]
        options: dict[str, Any] = {"stdout": self._log, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
        self._begun = self._kept = time.monotonic()
        begin = partial(_begin, self.cores)
        self._write()  # from now on what an earlier process has left does not count as finished
        self._process = subprocess.Popen(command, cwd=ROOT, process_group=0, preexec_fn=begin, **options)

    def stop(self) -> None:
        """Asks it to save and end."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)

    @property
    def running(self) -> bool:
        """Whether it had not ended when `ended` looked last."""
        return self._process.returncode is None

    def ended(self) -> bool:
        """Looks whether it has ended; what it took is then in the state."""
        if not self.running:
            return True
        pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
        now = time.monotonic()
        self.state["minutes"] = round(self._before["minutes"] + (now - self._begun) / 60, 3)
        if not pid:
            if now - self._kept > KEPT_EVERY:
                self._kept = now
                self._spend(processor_seconds(self._process.pid))
                self._write()
            return False
        code = os.waitstatus_to_exitcode(status)
        self._process.returncode = code
        self._log.close()
        self._spend(usage.ru_utime + usage.ru_stime)
        scale = 1 if sys.platform == "darwin" else 1024
        self.state["memory_mb"] = max(self._before["memory_mb"], round(usage.ru_maxrss * scale / 1e6))
        self.state["exit_code"] = code
        found = re.findall(r"^model +\S+, ([\d,]+) parameters\b", self.log(), re.MULTILINE)
        if found:
            self.state["parameters"] = int(found[-1].replace(",", ""))
        self._write()
        return True

    def _spend(self, seconds: float) -> None:
        self.state["processor_minutes"] = round(self._before["processor_minutes"] + seconds / 60, 3)

    def _write(self) -> None:
        files.write_json(state_file(self.runs, self.job.folder), self.state)

    def log(self) -> str:
        """What it has printed since its start."""
        with open(log_file(self.runs, self.job.folder), encoding="utf-8", errors="replace") as file:
            file.seek(self._size)
            return file.read()

    def last_line(self) -> str:
        """The last line that it has printed."""
        lines = [line for line in re.split(r"[\r\n]+", self.log()) if line.strip()]
        return lines[-1].strip() if lines else "it printed nothing"
