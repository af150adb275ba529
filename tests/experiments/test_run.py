"""What is run, in which order, what a stop and a failure do; with runs that take no time."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

import comparisons
from experiments import catalogue, run

ROOT = Path(__file__).parents[2]
DIGITS = """
from experiments.design import Budget, Claim, Comparison, Run

COMPARISON = Comparison(
    name="digits",
    title="Digits",
    question="Which?",
    claims=(Claim("Either.", "nobody"),),
    base={"arch": "lenet5", "save_every": 5},
    runs=(Run("he"), Run("glorot", {"initializer": "glorot"})),
    budgets={"small": Budget("4 epochs", {"epochs": 4}, 1)},
    curves=("train_loss",),
)
"""


def test_it_runs_what_is_missing_and_no_more(tmp_path, capsys):
    path = comparisons.counting(tmp_path, 'Run("a", script=SCRIPT), Run("b", {"steps": 3}, script=SCRIPT)', seeds=2)
    assert run.main(comparisons.words(path, tmp_path, "--seeds", "1")) == 0
    assert [(row["run"], row["seed"]) for row in comparisons.rows(tmp_path)] == [("a", "0"), ("b", "0")]
    assert run.main(comparisons.words(path, tmp_path)) == 0
    found = comparisons.rows(tmp_path)
    assert [(row["run"], row["seed"], row["top1"]) for row in found] == [
        *(("a", "0", "0.5"), ("a", "1", "0.6"), ("b", "0", "0.5"), ("b", "1", "0.6")),
    ]
    assert comparisons.starts(tmp_path) == ["0\n"] * 4  # each was started once
    assert {row["parameters"] for row in found} == {"1234"}
    assert all(row["commit"] and row["processor"] and float(row["minutes"]) > 0 for row in found)
    assert all(row["command"].startswith("python ") and str(tmp_path / "runs") not in row["command"] for row in found)
    capsys.readouterr()


def test_runs_that_need_another_wait_for_it(tmp_path, capsys):
    later = 'Run("late", {"steps": 1}, start="early", script=SCRIPT), Run("early", script=SCRIPT)'
    path = comparisons.counting(tmp_path, later)
    assert run.main(comparisons.words(path, tmp_path, "--jobs", "2")) == 0
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("counting")]
    assert [line.split(" seed")[0] for line in printed] == ["counting early"] * 2 + ["counting late"] * 2
    late = next(row for row in comparisons.rows(tmp_path) if row["run"] == "late")
    early = next(row for row in comparisons.rows(tmp_path) if row["run"] == "early")
    assert f"--restore {early['command'].split('--ckpt ')[1]}" in late["command"]


def test_a_run_that_fails_is_one_line_and_the_others_go_on(tmp_path, capfd):
    bad = 'Run("bad", {"fault": 1}, script=SCRIPT), Run("wild", {"fault": 3}, script=SCRIPT), Run("a", script=SCRIPT)'
    path = comparisons.counting(tmp_path, bad)
    assert run.main(comparisons.words(path, tmp_path)) == 1
    told = capfd.readouterr().err.splitlines()
    assert told[0].startswith("counting bad seed 0: failed with exit code 1: the disk is full (")
    assert told[1:] == ["run.py: 1 failed, 0 not run; the same command tries again"]
    assert {row["run"]: row["outcome"] for row in comparisons.rows(tmp_path)} == {"a": "finished", "wild": "diverged"}


def test_a_run_that_ends_as_if_stopped_but_was_not_has_failed(tmp_path, capfd):
    path = comparisons.counting(tmp_path, 'Run("a", {"fault": 143}, script=SCRIPT)')
    assert run.main(comparisons.words(path, tmp_path)) == 1
    assert capfd.readouterr().err.startswith("counting a seed 0: failed with exit code 143: the disk is full (")
    assert comparisons.starts(tmp_path) == ["0\n"]


def test_a_script_that_leaves_no_results_is_not_started_again_and_again(tmp_path, capfd):
    path = comparisons.counting(tmp_path, 'Run("a", script=SCRIPT)')
    script = (tmp_path / "counter").with_suffix(".py")
    script.write_text("print('nothing to do')\n", encoding="utf-8")
    assert run.main(comparisons.words(path, tmp_path)) == 1
    told = capfd.readouterr().err.splitlines()
    assert told[0].startswith("counting a seed 0: ended without results.json: nothing to do (")
    assert told[1] == "run.py: 1 failed, 0 not run; the same command tries again"


@pytest.mark.parametrize("flag", ["--out", "--results"])
def test_a_place_that_cannot_be_written_to_is_told_before_anything_is_run(tmp_path, flag):
    path = comparisons.counting(tmp_path, 'Run("a", script=SCRIPT)')
    (tmp_path / "file").write_text("")
    with pytest.raises(run.UserError, match=rf"^{flag}: .*file.* cannot be written to: "):
        run.main(comparisons.words(path, tmp_path, flag, str(tmp_path / "file/more/results.csv")))
    assert comparisons.starts(tmp_path) == []


def test_a_stop_saves_and_the_same_command_goes_on(tmp_path):
    path = comparisons.counting(tmp_path, 'Run("a", script=SCRIPT), Run("b", {"steps": 9}, script=SCRIPT)', 8, 0.1)
    process = subprocess.Popen(comparisons.command(path, tmp_path), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    begun = next(wait_for(tmp_path, "runs/*/seed-0/place"))
    process.send_signal(signal.SIGTERM)
    assert process.communicate()[1] == "run.py: stopped; the same command goes on\n"
    assert process.returncode == 143
    assert not (tmp_path / "results.csv").exists()
    reached = begun.read_text()
    done = subprocess.run(comparisons.command(path, tmp_path), cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stderr == ""
    assert sorted(comparisons.starts(tmp_path)) == ["0\n", f"0\n{reached}\n"]
    assert [row["run"] for row in comparisons.rows(tmp_path)] == ["a", "b"]


def wait_for(folder: Path, pattern: str):
    """The first file of that name, once it is there."""
    while not (found := [path for path in folder.glob(pattern) if path.read_text()]):
        time.sleep(0.02)
    yield found[0]


def test_dry_run_counts(tmp_path, capsys):
    path = comparisons.counting(tmp_path, 'Run("a", script=SCRIPT), Run("b", {"steps": 3}, script=SCRIPT)', seeds=3)
    assert run.main(comparisons.words(path, tmp_path, "--seeds", "1")) == 0
    capsys.readouterr()
    assert run.main(comparisons.words(path, tmp_path, "--dry_run")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "counting: Counting; budget small (a few steps), 3 seeds"
    assert len(lines) == 1 + 6 + 1
    assert [line.split()[3] for line in lines[1:7]] == ["exists", "0.0", "0.0", "exists", "0.0", "0.0"]
    assert lines[-1] == "  6 runs, 2 exist; about 0 minutes to go"


def test_all_leaves_out_what_says_so(tmp_path, capsys, monkeypatch):
    path = comparisons.counting(tmp_path, 'Run("a", script=SCRIPT)')
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("budgets=", 'left_out="it takes a week", budgets='), encoding="utf-8")
    monkeypatch.setattr(catalogue, "NAMES", (str(path),))
    assert run.main([*comparisons.words(path, tmp_path, "--dry_run")[1:], "all"]) == 0
    assert capsys.readouterr().out == "counting: left out because it takes a week\n"
    assert run.main(comparisons.words(path, tmp_path, "--dry_run")) == 0
    assert "1 runs, 0 exist" in capsys.readouterr().out


def test_all_names_what_has_no_such_budget(tmp_path, capsys, monkeypatch):
    path = comparisons.counting(tmp_path, 'Run("a", script=SCRIPT)')
    other = path.with_stem("other")
    text = path.read_text(encoding="utf-8").replace('name="counting"', 'name="other"')
    other.write_text(text.replace('{"small":', '{"paper":'), encoding="utf-8")
    monkeypatch.setattr(catalogue, "NAMES", (str(path), str(other)))
    words = comparisons.words(path, tmp_path)[1:]
    assert run.main([*words, "all", "--budget", "paper"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "counting: left out because it has no budget paper"
    assert "other a seed 0: started; 0 of 1 done" in printed
    with pytest.raises(run.UserError, match=r"^--budget: 'papr' is not known; did you mean paper\?"):
        run.main([*words, "all", "--budget", "papr"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["shortcut"], "did you mean shortcuts"),
        (["resnet20", "--budget", "small"], "--budget=small: resnet20 has paper"),
        (["shortcuts", "--seeds", "0"], "--seeds and --jobs"),
        ([str(Path("nowhere").with_suffix(".py"))], ".py: no such file"),
    ],
)
def test_a_wrong_command_is_one_line(words, told, tmp_path):
    command = [*comparisons.command(Path(words[0]), tmp_path), *words[1:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (1, 2)
    assert done.stderr.count("\n") == 1
    assert told in done.stderr


def test_a_missing_data_set_is_one_line_and_its_runs_are_left_out(tmp_path, capsys):
    runs = 'Run("a", {"dataset": "cifar10"}, script=SCRIPT), Run("b", script=SCRIPT)'
    path = comparisons.counting(tmp_path, runs)
    words = comparisons.words(path, tmp_path, "--datasets", str(tmp_path / "data"))
    assert run.main([*words, "--dry_run"]) == 0
    told = (
        f"{tmp_path}/data/cifar10: there is no data set here; make it by python data/prepare.py --source tfds:cifar10"
    )
    assert capsys.readouterr().out.startswith(f"needed: {told}")
    assert run.main(words) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"run.py: {told} --out {tmp_path}/data/cifar10",
        "run.py: 0 failed, 1 not run; the same command tries again",
    ]
    assert [row["run"] for row in comparisons.rows(tmp_path)] == ["b"]


@pytest.mark.slow
def test_killed_on_real_digits_it_goes_on_and_ends_with_the_same_table(tmp_path):
    """SIGKILL of run.py in the middle of a run; the figures then are those of an undisturbed pass."""
    path = tmp_path / "digits.py"
    path.write_text(DIGITS, encoding="utf-8")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(comparisons.command(path, whole), cwd=ROOT, check=True)
    process = subprocess.Popen(comparisons.command(path, broken), cwd=ROOT)
    next(wait_for(broken, "runs/*/seed-0/metrics.csv"))
    next(wait_for(broken, "runs/*/seed-0/checkpoints/step-*/state.json"))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    while subprocess.run(comparisons.command(path, broken), cwd=ROOT).returncode:
        time.sleep(1)  # until the orphan has saved and let go of its directory
    spent = {"minutes", "processor_minutes", "memory_mb", "date"}
    tables = [
        [{name: row[name] for name in row.keys() - spent} for row in comparisons.rows(folder)]
        for folder in (whole, broken)
    ]
    assert tables[0] == tables[1]
    assert len(tables[0]) == 2
    assert (whole / "curves/digits.csv").read_text() == (broken / "curves/digits.csv").read_text()
