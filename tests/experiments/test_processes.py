"""What is known of a run: where, by which code, how long; over stops and kills."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

import comparisons
from experiments import catalogue, processes, run, work

STATE = {"commit": "abc1234", "processor": "an old one, AVX2", "minutes": 100, "processor_minutes": 150,
         "memory_mb": 1, "exit_code": 143, "date": "2026-01-02"}  # fmt: skip


@pytest.fixture
def process(tmp_path, monkeypatch) -> processes.Process:
    """A run of the counting comparison, started before by another commit on another processor."""
    comparison = catalogue.find(str(comparisons.counting(tmp_path, 'Run("a", script=SCRIPT)')))
    job = work.training(comparison, "small", comparison.run("a"), 0)
    (tmp_path / job.folder).mkdir(parents=True)
    processes.state_file(tmp_path, job.folder).write_text(json.dumps(STATE), encoding="utf-8")
    monkeypatch.setattr(processes.version, "commit", lambda root: "def5678")
    monkeypatch.setattr(processes.processor, "describe", lambda: SimpleNamespace(short="a new one, AMX"))
    return processes.Process(job, tmp_path, tmp_path / "data")


def ended(process: processes.Process) -> dict:
    process.start()
    while not process.ended():
        time.sleep(0.01)
    return processes.read_state(process.runs, process.job.folder)


@pytest.mark.parametrize("saved", ["checkpoints/step-00000007", "ours-seed0/checkpoints/step-00000007", "torch.pt"])
def test_what_goes_on_names_all_that_it_was_run_by(process, saved):
    (process.runs / process.job.folder / saved).mkdir(parents=True)
    for _ in range(2):  # each once
        state = ended(process)
        assert (state["commit"], state["processor"]) == ("abc1234+def5678", "an old one, AVX2 + a new one, AMX")
    assert 100 < state["minutes"] < 120
    assert 150 < state["processor_minutes"] < 170


def test_what_begins_anew_has_nothing_of_the_run_before(process):
    """Its folder was removed, or it was killed before its first checkpoint."""
    (process.runs / process.job.folder / "checkpoints").mkdir()
    state = ended(process)
    assert (state["commit"], state["processor"]) == ("def5678", "a new one, AMX")
    assert 0 < state["minutes"] < 20
    assert 0 < state["processor_minutes"] < 20


def test_from_its_start_on_what_an_earlier_process_left_does_not_count(process):
    """Also where it is killed at once."""
    folder = process.runs / process.job.folder
    (folder / "checkpoints/step-00000007").mkdir(parents=True)
    assert ended(process)["exit_code"] == 0
    assert processes.has_ended(process.runs, process.job)
    assert processes.has_weights(process.runs, process.job.folder)
    process.job = dataclasses.replace(process.job, command=(*process.job.command, "--pause", "100"))
    assert not processes.has_ended(process.runs, process.job)  # of another command
    (folder / "place").unlink()
    process.start()
    process._process.kill()
    process._process.wait()
    assert not processes.has_ended(process.runs, process.job)
    assert not processes.has_weights(process.runs, process.job.folder)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc")
def test_processor_time_is_kept_while_it_runs(process, monkeypatch):
    monkeypatch.setattr(processes, "KEPT_EVERY", 0.0)
    monkeypatch.setattr(processes, "processor_seconds", lambda pid: 90.0)
    process.job = dataclasses.replace(process.job, command=(*process.job.command, "--pause", "100"))
    process.start()
    assert not process.ended()
    assert processes.read_state(process.runs, process.job.folder)["processor_minutes"] == 1.5
    process._process.kill()
    process._process.wait()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc")
def test_the_processor_time_of_a_process():
    command = "import time\nwhile time.process_time() < 0.3: pass\nprint(1, flush=True)\ntime.sleep(100)"
    with subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"1\n"
        used = processes.processor_seconds(child.pid)
        child.kill()
    assert 0.25 < used < 5
    assert processes.processor_seconds(2**30) == 0.0


def test_cores_are_shared_out(monkeypatch):
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda pid: {2, 3, 5, 7, 9}, raising=False)
    assert processes.shares(1) == [frozenset()]  # a run alone may use all
    assert [sorted(cores) for cores in processes.shares(2)] == [[2, 3], [5, 7, 9]]
    assert [sorted(cores) for cores in processes.shares(5)] == [[2], [3], [5], [7], [9]]
    assert [sorted(cores) for cores in processes.shares(6)] == [[2], [3], [5], [7], [9], [2]]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system does not bind processes to cores")
def test_runs_at_once_have_cores_of_their_own(tmp_path, capsys):
    path = comparisons.counting(tmp_path, 'Run("a", script=SCRIPT), Run("b", {"steps": 3}, script=SCRIPT)')
    every = sorted(os.sched_getaffinity(0))

    def used(*more: str) -> list[list[int]]:
        assert run.main(comparisons.words(path, tmp_path, *more)) == 0
        return sorted(json.loads(file.read_text()) for file in tmp_path.glob("runs/*/seed-0/cores"))

    if len(every) > 1:
        first, second = used("--jobs", "2")
        assert sorted(first + second) == every
    else:
        assert used("--jobs", "2") == [every, every]
    shutil.rmtree(tmp_path / "runs")
    assert used("--again") == [every, every]
    assert sorted(os.sched_getaffinity(0)) == every
    capsys.readouterr()
