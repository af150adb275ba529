"""What is read from a run directory, and how it is kept."""

import json
from pathlib import Path

import pytest

import comparisons
from experiments import results, work
from experiments.design import Budget, Claim, Comparison, Run

COMPARISON = Comparison(
    name="made",
    title="Made",
    question="Which?",
    claims=(Claim("None.", "nobody"),),
    base={"arch": "lenet5"},
    runs=(Run("b"), Run("a", {"epochs": 2})),
    budgets={"small": Budget("some", {}, 2)},
    curves=("train_loss", "validation_top1"),
)
METRICS = """\
step,epoch,split,learning_rate,data_loss,l2_loss,loss,top1,top5
1,1,step,0.1,9,0,9,0,0
10,1,train,0.1,2,0.5,2.5,0.2,0.6
15,1,train,0.1,1.5,0.5,2.0,0.3,0.7
15,1,validation,0.1,1.4,0.5,1.9,0.5,0.9
20,2,train,0.1,1.2,0.5,1.7,0.4,0.8
30,2,train,0.1,0.9,0.5,1.4,0.7,0.9
30,2,validation,0.1,1.6,0.5,2.1,0.45,0.9
3"""
STATE = {
    "commit": "abc1234", "processor": "a processor", "date": "2026-01-02", "minutes": 1.5, "processor_minutes": 2.25,
    "memory_mb": 700, "exit_code": 0, "parameters": 1234,
}  # fmt: skip


@pytest.fixture
def run(tmp_path) -> Path:
    (tmp_path / "metrics.csv").write_text(METRICS)
    (tmp_path / "config.json").write_text(json.dumps({"precision": "mixed_bfloat16"}))
    found = {"top1": 0.43, "loss": 1.65, "images": 360, "split": "test", "seconds": 2, "gain": {"top1_over_mean": 0.01}}
    (tmp_path / "results.json").write_text(json.dumps(found))
    return tmp_path


def job(name: str = "a", seed: int = 0) -> work.Job:
    return work.training(COMPARISON, "small", COMPARISON.run(name), seed)


def test_a_script_says_its_precision_with_its_results(run):
    (run / "config.json").unlink()
    assert results.of_run(job(), run, STATE)["precision"] == "float32"
    found = json.loads((run / "results.json").read_text())
    (run / "results.json").write_text(json.dumps(found | {"precision": "mixed_bfloat16"}))
    assert results.of_run(job(), run, STATE)["precision"] == "mixed_bfloat16"


def test_the_figures_of_a_run(run):
    row = results.of_run(job(), run, STATE)
    assert row["command"] == job().text
    wanted = {"top1": "0.43", "loss": "1.65", "over_mean": "0.01", "images": "360", "split": "test", "steps": "30"}
    wanted |= {"epochs": "2", "best_validation": "0.5", "parameters": "1234", "minutes": "1.5", "memory_mb": "700"}
    wanted |= {"precision": "mixed_bfloat16", "outcome": "finished", "top5": ""}
    # the last epoch's steps 16 to 20 and 21 to 30: (5 * 1.2 + 10 * 0.9) / 15, (5 * 0.4 + 10 * 0.7) / 15
    wanted |= {"train_loss": "1", "train_top1": "0.6"}
    assert {name: row[name] for name in wanted} == wanted
    assert set(row) == set(results.COLUMNS)
    assert results.is_of(row, STATE)
    assert not results.is_of(row, STATE | {"minutes": 1.6})


def test_a_run_that_diverged_has_no_result(run):
    row = results.of_run(job(), run, STATE | {"exit_code": 3})
    assert (row["outcome"], row["top1"], row["loss"]) == ("diverged", "", "")


def test_the_results_of_another_protocol_are_found(tmp_path):
    (tmp_path / "results-10crops.json").write_text("{}")
    assert results.results_file(tmp_path).name == "results-10crops.json"


def test_curves(run):
    points = results.curves_of(COMPARISON, run)
    found = [(point["series"], point["x"], point["y"]) for point in points]
    assert found == [
        *(("train_loss", "5.5", "2"), ("train_loss", "13", "1.5"), ("train_loss", "18", "1.2")),  # steps 1-10, 11-15
        *(("train_loss", "25.5", "0.9"), ("validation_top1", "15", "0.5"), ("validation_top1", "30", "0.45")),
    ]


def test_a_point_of_training_stands_at_the_middle_of_its_steps():
    """Steps 1 to 20, 21 to 39, and the fortieth alone, which counts as one of twenty."""
    found = results.at_middles([(20, 1.0), (39, 2.0), (40, 4.0), (60, 0.5)])
    assert found == [(10.5, 1.0), (30.5, pytest.approx((19 * 2.0 + 4.0) / 20)), (50.5, 0.5)]
    assert results.at_middles([]) == []


def test_thinning_takes_means_of_neighbours():
    points = [(step, float(step)) for step in range(1, 101)]
    found = results.thinned(points, 4)
    assert found == [(13.0, 13.0), (38.0, 38.0), (63.0, 63.0), (88.0, 88.0)]
    assert results.thinned(points[:4], 4) == points[:4]


def test_a_run_whose_loss_is_not_finite_has_diverged(run):
    """Also where it does not say so by its exit code, as a script may."""
    found = json.loads((run / "results.json").read_text())
    (run / "results.json").write_text(json.dumps(found | {"loss": float("nan")}))
    (run / "metrics.csv").write_text(METRICS.replace("30,2,train,0.1,0.9,", "30,2,train,0.1,nan,"))
    row = results.of_run(job(), run, STATE)
    assert (row["outcome"], row["top1"], row["loss"], row["train_loss"]) == ("diverged", "", "", "")
    points = results.curves_of(COMPARISON, run)
    assert [point["x"] for point in points if point["series"] == "train_loss"] == ["5.5", "13", "18"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda lines: [*lines, lines[2]], "line 4: repeats line 3; mend or remove it"),
        (lambda lines: [*lines[:2], "<<<<<<< HEAD\n", lines[2]], "line 3: it does not have as many values as"),
        (lambda lines: [*lines[:2], lines[2][:40]], "line 3: it does not have as many values as"),
        (lambda lines: [*lines[:2], lines[2].replace(",0.2,", ",0.2x,")], "line 3: top1 is '0.2x', not a number; mend"),
        (lambda lines: [*lines[:2], lines[2].replace(",0.2,", ",nan,")], "line 3: top1 is 'nan', not a number"),
        (
            lambda lines: [*lines[:2], lines[2].replace(",finished,", ",Finished,")],
            "line 3: outcome is 'Finished', not",
        ),
        (lambda lines: [*lines[:2], lines[2].replace(",b,1,", ",b,one,")], "line 3: seed is 'one', not a number or"),
        (lambda lines: [*lines[:2], lines[2].replace(",b,1,", ",b,,")], "line 3: seed is '', not a number or"),
        (lambda lines: [*lines[:2], lines[2].replace(",2026-01-02,2,", ",2026-01-02,,")], "line 3: it has no minutes"),
        (lambda lines: [*lines[:2], "\udcff\n"], ": cannot be read as text ("),
    ],
)
def test_a_damaged_line_is_named(tmp_path, change, told):
    """As a merge, a full disk or an editor leaves it."""
    path = tmp_path / "results.csv"
    for one, top1 in ((job("a"), 0.1), (job("b", 1), 0.2)):
        results.add(COMPARISON, one, comparisons.row(one, top1=top1), [], path, tmp_path)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[1:] = sorted(lines[1:], key=lambda line: ",a," not in line)
    path.write_text("".join(change(lines)), encoding="utf-8", errors="surrogateescape")
    with pytest.raises(results.UserError) as caught:
        results.read(path)
    assert str(caught.value).startswith(str(path))
    assert told in str(caught.value)
    assert caught.value.exit_code == 1


def test_a_damaged_point_is_named(tmp_path):
    point = {"series": "train_loss", "x": "1", "y": "2"}
    results.add(COMPARISON, job(), comparisons.row(job()), [point], tmp_path / "results.csv", tmp_path)
    path = tmp_path / "made.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",1,2", ",1,two"), encoding="utf-8")
    with pytest.raises(results.UserError, match=r"made\.csv, line 2: y is 'two', not a number"):
        results.read_curves("made", tmp_path)


def test_a_row_comes_after_its_points(tmp_path):
    """Where these cannot be written, the run is not finished: its row would hide that they are missing."""
    (tmp_path / "made.csv").write_text("damaged", encoding="utf-8")
    with pytest.raises(results.UserError, match=r"made\.csv: its columns are not"):
        results.add(COMPARISON, job(), comparisons.row(job()), [], tmp_path / "results.csv", tmp_path)
    assert results.read(tmp_path / "results.csv") == []


def test_points_of_an_earlier_run_do_not_stay(tmp_path):
    point = {"series": "train_loss", "x": "1", "y": "2"}
    for points in ([point], []):  # the second one diverged at once
        results.add(COMPARISON, job(), comparisons.row(job()), points, tmp_path / "results.csv", tmp_path)
    assert results.read_curves("made", tmp_path) == []


def test_tests_of_a_run_are_removed_and_no_others(tmp_path):
    path, folder = tmp_path / "results.csv", job().folder
    commands = {
        "1": f"python train.py --mode test --restore {work.RUNS}/{folder} --ckpt x",
        "2": f"python train.py --mode test --restore {work.RUNS}/other/seed-0,{work.RUNS}/{folder} --ckpt x",
        "3": f"python train.py --mode test --restore {work.RUNS}/{folder}1,{work.RUNS}/other/seed-0 --ckpt x",
        "4": f"python train.py --mode train --restore {work.RUNS}/{folder} --ckpt x",
    }
    for seed, command in commands.items():
        row = {**comparisons.row(job("b", int(seed))), "command": command}
        results.add(COMPARISON, job("b", int(seed)), row, [], path, tmp_path)
    results.forget(job(), path)
    assert [row["seed"] for row in results.read(path)] == ["3", "4"]


def test_a_row_takes_the_place_of_the_one_before(tmp_path):
    path, folder = tmp_path / "results.csv", tmp_path / "curves"
    point = {"series": "train_loss", "x": "1", "y": "2"}
    for one, top1 in ((job("a"), 0.1), (job("b", 1), 0.2), (job("b"), 0.3), (job("a"), 0.4)):
        results.add(COMPARISON, one, comparisons.row(one, top1=top1), [point | {"y": str(top1)}], path, folder)
    assert sorted((row["run"], row["seed"], row["top1"]) for row in results.read(path)) == [
        *(("a", "0", "0.4"), ("b", "0", "0.3"), ("b", "1", "0.2")),
    ]
    assert [(point["run"], point["seed"], point["y"]) for point in results.read_curves("made", folder)] == [
        *(("b", "0", "0.3"), ("b", "1", "0.2"), ("a", "0", "0.4")),
    ]
