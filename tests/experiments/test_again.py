"""What counts as finished and what is run again: other commands, other weights, what only the table has."""

import shutil

import pytest

import comparisons
from experiments import run


@pytest.mark.parametrize("saved", [False, True])
def test_what_starts_from_a_run_that_diverged_is_not_run(tmp_path, capsys, saved):
    runs = (
        'Run("early", {"fault": 3}, script=SCRIPT), Run("late", {"steps": 1}, start="early", script=SCRIPT), '
        'Run("last", {"steps": 3}, start="late", script=SCRIPT)'
    )
    path = comparisons.counting(tmp_path, runs)
    if saved:
        script = (tmp_path / "counter").with_suffix(".py")
        begun = '(folder / "checkpoints").mkdir(exist_ok=True)\nstopped = []'
        script.write_text(comparisons.COUNTER.replace("stopped = []", begun), encoding="utf-8")
    for _ in range(2):
        assert run.main(comparisons.words(path, tmp_path)) == 0
    assert comparisons.starts(tmp_path) == ["0\n"]
    assert [(row["run"], row["outcome"]) for row in comparisons.rows(tmp_path)] == [("early", "diverged")]
    capsys.readouterr()


TESTER = """
import argparse, json
from pathlib import Path

parser = argparse.ArgumentParser()
for name in ("mode", "restore", "crops", "ckpt"):
    parser.add_argument(f"--{name}")
parser.add_argument("--noreport", action="store_true")
options = parser.parse_args()
folder = Path(options.ckpt)
folder.mkdir(parents=True, exist_ok=True)
weights = json.loads((Path(options.restore) / "results.json").read_text())["top1"]
top1 = weights + {"10": 0.2, "dense": 0.3}[options.crops]
(folder / "results.json").write_text(json.dumps({"top1": top1, "split": "test"}))
print("tested")
"""


@pytest.fixture
def tester(tmp_path, monkeypatch) -> None:
    """`train.py --mode test` is a script that adds to the accuracy of the run that it loads."""
    (tmp_path / "train").with_suffix(".py").write_text(TESTER, encoding="utf-8")
    monkeypatch.setattr(run.processes, "ROOT", tmp_path)
    monkeypatch.setattr(run.processes.version, "commit", lambda root: "abc1234")


@pytest.mark.usefixtures("tester")
def test_a_test_that_is_changed_is_made_again(tmp_path, capsys):
    def figure(crops: str) -> float:
        tests = f'Test("views", ("a",), flags={{"crops": "{crops}"}})'
        path = comparisons.counting(tmp_path, 'Run("a", script=SCRIPT)', tests=tests)
        assert run.main(comparisons.words(path, tmp_path)) == 0
        found = {row["run"]: row for row in comparisons.rows(tmp_path)}
        assert f"--crops {crops} " in found["views"]["command"]
        return float(found["views"]["top1"])

    assert (figure("10"), figure("dense"), figure("10")) == (0.7, 0.8, 0.7)
    assert comparisons.starts(tmp_path) == ["0\n"]
    capsys.readouterr()


@pytest.mark.usefixtures("tester")
@pytest.mark.parametrize("how", ["a new test", "--again"])
def test_weights_that_are_made_again_replace_figures_and_tests_of_the_old_ones(tmp_path, capsys, how):
    first, second = (f'Test("{name}", ("a",), flags={{"crops": "{name}"}})' for name in ("10", "dense"))
    comparison = comparisons.counting(tmp_path, 'Run("a", script=SCRIPT)', tests=first)
    assert run.main(comparisons.words(comparison, tmp_path)) == 0
    shutil.rmtree(next(tmp_path.glob("runs/*/seed-0")))
    more = ["--again"]
    if how == "a new test":
        comparison, more = comparisons.counting(tmp_path, 'Run("a", script=SCRIPT)', tests=f"{first}, {second}"), []
    script = (tmp_path / "counter").with_suffix(".py")
    script.write_text(comparisons.COUNTER.replace('"top1": 0.5', '"top1": 0.1'), encoding="utf-8")
    assert run.main(comparisons.words(comparison, tmp_path, *more)) == 0
    wanted = {"a": 0.1, "10": 0.3} | ({} if more else {"dense": 0.4})
    assert {row["run"]: float(row["top1"]) for row in comparisons.rows(tmp_path)} == pytest.approx(wanted)
    capsys.readouterr()


def test_again_runs_what_only_the_table_has(tmp_path, capsys):
    path = comparisons.counting(tmp_path, 'Run("a", script=SCRIPT)')
    assert run.main(comparisons.words(path, tmp_path)) == 0
    elsewhere = tmp_path / "elsewhere"
    assert run.main(comparisons.words(path, tmp_path, "--out", str(elsewhere))) == 0
    assert not list(elsewhere.glob("*"))  # the table has it
    assert capsys.readouterr().out.endswith(
        "results.csv; nothing was run; --again with another folder as --out repeats them\n"
    )
    assert run.main(comparisons.words(path, tmp_path, "--out", str(elsewhere), "--again")) == 0
    assert run.main(comparisons.words(path, tmp_path, "--out", str(elsewhere), "--again")) == 0
    assert [path.read_text() for path in elsewhere.glob("*/seed-0/starts")] == ["0\n"]
    assert len(comparisons.rows(tmp_path)) == 1
    capsys.readouterr()


def test_a_run_whose_directory_was_removed_is_run_again(tmp_path, capsys):
    path = comparisons.counting(tmp_path, 'Run("a", script=SCRIPT)')
    assert run.main(comparisons.words(path, tmp_path)) == 0
    shutil.rmtree(next(tmp_path.glob("runs/*/seed-0")))  # what is known of it stays
    (tmp_path / "results.csv").unlink()
    assert run.main(comparisons.words(path, tmp_path)) == 0
    assert comparisons.starts(tmp_path) == ["0\n"]
    assert len(comparisons.rows(tmp_path)) == 1
    capsys.readouterr()


def test_dry_run_knows_what_is_got_for_nothing_and_what_is_run_again(tmp_path, capsys):
    chain = 'Run("early", script=SCRIPT), Run("middle", {"steps": 1}, start="early", script=SCRIPT)'
    path = comparisons.counting(tmp_path, chain)
    assert run.main(comparisons.words(path, tmp_path)) == 0
    folders = {row["run"]: row["command"].rpartition("runs/")[2] for row in comparisons.rows(tmp_path)}
    late = ', Run("late", {"steps": 3}, start="middle", script=SCRIPT)'
    text = path.read_text(encoding="utf-8")
    other = path.with_stem("other")
    other.write_text(text.replace('name="counting"', 'name="other"').replace(chain, chain + late), encoding="utf-8")

    def listed(*more: str) -> list[str]:
        capsys.readouterr()
        assert run.main(comparisons.words(other, tmp_path, "--dry_run", *more)) == 0
        return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()[1:]]

    first = listed()
    assert first[0] == f"early seed 0 has ended experiments/runs/{folders['early']}"
    assert first[1] == f"middle seed 0 has ended experiments/runs/{folders['middle']}"
    assert first[2].startswith("late seed 0 0.2 minutes experiments/runs/")
    assert first[3].startswith("3 runs, 2 exist; about 0 minutes")
    shutil.rmtree(tmp_path / "runs")  # the figures are in the table of the first comparison, the weights are gone
    again = listed()
    for line, name in zip(again[:2], ("early", "middle"), strict=True):
        assert line.startswith(f"{name} seed 0 0.")
        assert line.endswith(f"minutes, again: its weights are gone experiments/runs/{folders[name]}")
    assert again[3].startswith("3 runs, 2 exist; about ")
    assert run.main(comparisons.words(other, tmp_path)) == 0
    assert len(comparisons.rows(tmp_path)) == 5
    assert len(comparisons.starts(tmp_path)) == 3


def test_the_same_command_in_another_comparison_is_not_run_again(tmp_path, capsys):
    first = comparisons.counting(tmp_path, 'Run("a", script=SCRIPT)')
    assert run.main(comparisons.words(first, tmp_path)) == 0
    text = first.read_text().replace('name="counting"', 'name="other"').replace('Run("a"', 'Run("again"')
    other = first.with_stem("other")
    other.write_text(text.replace("runs=(Run", 'runs=(Run("more", {"steps": 1}, script=SCRIPT), Run'))
    (tmp_path / "runs").rename(tmp_path / "gone")
    assert run.main(comparisons.words(other, tmp_path)) == 0
    found = {(row["comparison"], row["run"]): row for row in comparisons.rows(tmp_path)}
    assert found.keys() == {("counting", "a"), ("other", "again"), ("other", "more")}
    assert found["other", "again"]["top1"] == found["counting", "a"]["top1"] == "0.5"
    assert len(comparisons.starts(tmp_path)) == 1
    capsys.readouterr()
