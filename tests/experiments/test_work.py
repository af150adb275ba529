"""From flags to commands and folders; ensembles; the best of a group."""

import dataclasses
from pathlib import Path

import pytest

import comparisons
from common.errors import UserError
from experiments import estimate, work
from experiments.design import Budget, Claim, Comparison, Run, Test

RATES = (0.1, 0.2, 0.4)
COMPARISON = Comparison(
    name="made",
    title="Made",
    question="Which?",
    claims=(Claim("None.", "nobody"),),
    base={"arch": "lenet5", "dataset": "cifar10", "epochs": 4, "flip": False},
    runs=(
        Run("a", {"epochs": 8}, budgets={"small": {"schedule_boundaries": (3, 5)}}),
        Run("b", {"dataset": "digits"}, start="a"),
        *(Run(f"rate-{rate}", {"learning_rate": rate}, group="rates") for rate in RATES),
    ),
    tests=(Test("two", ("a",), 2, {"crops": "10"}), Test("both", ("a", "b")), Test("five", ("a",), 5)),
    budgets={"small": Budget("some", {"epochs": 2, "warmup": None}), "paper": Budget("all")},
)


def test_what_comes_later_wins():
    flags = work.flags_of(COMPARISON, "small", COMPARISON.run("a"))
    assert flags == {
        **{"arch": "lenet5", "dataset": "cifar10", "epochs": 8, "flip": False, "warmup": None},
        "schedule_boundaries": (3, 5),
    }
    assert work.flags_of(COMPARISON, "small", COMPARISON.run("b"))["epochs"] == 2
    assert work.flags_of(COMPARISON, "paper", COMPARISON.run("b"))["epochs"] == 4


def test_a_training_command():
    job = work.training(COMPARISON, "small", COMPARISON.run("a"), 7)
    assert job.text == (
        "python train.py --mode train --log_every 20 --keep 1 --noreport --dataset datasets/cifar10 --arch lenet5 "
        f"--epochs 8 --noflip --schedule_boundaries 3,5 --seed 7 --ckpt experiments/runs/{job.folder}"
    )
    assert (job.images, job.dataset, job.seed) == (8 * 45000, "cifar10", "7")
    words = job.located(Path("/data sets"), Path("/runs"))
    assert words[words.index("--dataset") + 1] == "/data sets/cifar10"
    assert words[-1] == f"/runs/{job.folder}"


def test_without_validation_an_epoch_has_its_images_too():
    run = Run("whole", {"epochs": 3, "validation_share": 0})
    comparison = dataclasses.replace(COMPARISON, runs=(*COMPARISON.runs, run))
    assert work.training(comparison, "small", run, 0).images == 3 * 50000


def test_the_command_of_a_script_and_what_it_trains_on():
    flags = {"epochs": 5, "rates": (1, 2)}
    scripts = (
        Run("trains", flags, script="experiments/spread.py"),
        Run("looks", {"epochs": None}, script="experiments/spread.py"),
    )
    comparison = dataclasses.replace(COMPARISON, base={"dataset": "cifar10"}, runs=scripts, tests=())
    trains, looks = (work.training(comparison, "paper", run, 3) for run in scripts)
    assert trains.text == (
        "python experiments/spread.py --dataset datasets/cifar10 --epochs 5 --rates 1,2 --seed 3 "
        f"--ckpt experiments/runs/{trains.folder}"
    )
    assert (trains.trains, trains.images) == (True, 5 * 45000)
    assert (looks.trains, looks.images) == (False, 0)


def test_a_run_from_another_loads_the_same_seed():
    first, second = (work.training(COMPARISON, "small", COMPARISON.run(name), 2) for name in "ab")
    assert second.needs == (first.folder,)
    assert f"--restore experiments/runs/{first.folder}" in second.text
    assert "--dataset" not in second.text


def test_ensembles_are_choices_of_consecutive_seeds():
    two, both, five = COMPARISON.tests
    assert two.groups(3) == [(0, 1), (1, 2), (2, 0)]
    assert two.groups(2) == [(0, 1)]
    assert both.groups(3) == [(0,), (1,), (2,)]
    assert both.groups(1) == [(0,)]
    assert five.groups(5) == [(0, 1, 2, 3, 4)]
    assert five.groups(3) == []
    job = work.testing(COMPARISON, "small", two, (2, 0))
    folders = [work.training(COMPARISON, "small", COMPARISON.run("a"), seed).folder for seed in (2, 0)]
    assert job.needs == tuple(folders)
    assert f"--restore experiments/runs/{folders[0]},experiments/runs/{folders[1]} " in job.text
    assert job.located(Path("d"), Path("/x"))[4] == f"/x/{folders[0]},/x/{folders[1]}"
    assert (job.seed, job.images) == ("2+0", 10000 * 2 * 10)


def rows(*scores: float | None) -> list:
    """A row of the first seed of each rate; None: it diverged."""
    jobs = [work.training(COMPARISON, "small", COMPARISON.run(f"rate-{rate}"), 0) for rate in RATES]
    return [
        comparisons.row(job, best_validation="" if score is None else score)
        | ({} if score is not None else {"outcome": "diverged"})
        for job, score in zip(jobs, scores, strict=False)
    ]


def test_only_the_best_of_a_group_has_more_seeds():
    jobs, unsettled = work.jobs(COMPARISON, "small", 3, rows(0.5, 0.7))
    assert unsettled == 2
    assert [job.seed for job in jobs if job.line.startswith("rate")] == ["0", "0", "0"]
    jobs, unsettled = work.jobs(COMPARISON, "small", 3, rows(0.5, 0.7, None))
    assert unsettled == 0
    assert [(job.line, job.seed) for job in jobs if job.line.startswith("rate")] == [
        *(("rate-0.1", "0"), ("rate-0.2", "0"), ("rate-0.4", "0"), ("rate-0.2", "1"), ("rate-0.2", "2")),
    ]


def test_seeds_that_are_asked_for_win_over_those_of_a_line():
    line = dataclasses.replace(COMPARISON.run("a"), seeds=2)
    comparison = dataclasses.replace(COMPARISON, runs=(line,), tests=())
    counts = {seeds: len(work.jobs(comparison, "small", seeds, [])[0]) for seeds in (None, 1, 5)}
    assert counts == {None: 2, 1: 1, 5: 5}


def test_a_row_of_another_command_is_not_a_result():
    job = work.training(COMPARISON, "small", COMPARISON.run("a"), 0)
    assert work.is_row_of(comparisons.row(job), job)
    assert not work.is_row_of({**comparisons.row(job), "command": job.text.replace("8", "9")}, job)


def test_what_diverged_is_not_tested():
    job = work.training(COMPARISON, "small", COMPARISON.run("a"), 1)
    gone = {**comparisons.row(job), "outcome": "diverged"}
    found = [job.seed for job in work.jobs(COMPARISON, "small", 3, [gone])[0] if job.line == "two"]
    assert found == ["2+0"]


def test_the_time_of_a_run_is_that_of_the_same_with_other_seeds():
    jobs = [work.training(COMPARISON, "small", COMPARISON.run("a"), seed) for seed in (0, 1, 7)]
    rows = [{**comparisons.row(job), "minutes": minutes} for job, minutes in zip(jobs, ("2", "4"), strict=False)]
    known = estimate.measured(rows)
    assert estimate.minutes(jobs[2], known) == 3
    longer = dataclasses.replace(COMPARISON, runs=(Run("a", {"epochs": 9}),), tests=())
    assert estimate.minutes(work.training(longer, "small", longer.runs[0], 7), known) != 3
    pairs = [work.testing(COMPARISON, "small", COMPARISON.tests[0], seeds) for seeds in ((0, 1), (1, 2))]
    known = estimate.measured([{**comparisons.row(pairs[0]), "minutes": "0.5"}])
    assert estimate.minutes(pairs[1], known) == 0.5


def test_a_data_set_that_is_not_known_is_one_line():
    run = Run("a", {"dataset": "cifar-10"})
    with pytest.raises(UserError, match=r"^dataset: 'cifar-10' is not known; did you mean cifar10\?"):
        work.training(COMPARISON, "small", run, 0)


def test_every_line_has_its_first_seed_before_any_has_its_second():
    comparison = dataclasses.replace(COMPARISON, runs=COMPARISON.runs[:2])
    found = [(job.line, job.seed) for job in work.jobs(comparison, "small", 2, [])[0]]
    assert found == [
        *(("a", "0"), ("b", "0"), ("both", "0")),
        *(("a", "1"), ("b", "1"), ("two", "0+1"), ("both", "1")),
    ]


def test_what_is_left_out_is_not_run_nor_what_needs_it():
    first, *others = COMPARISON.runs
    left_out = dataclasses.replace(first, left_out="it takes a day")
    comparison = dataclasses.replace(COMPARISON, runs=(left_out, *others))
    jobs, unsettled = work.jobs(comparison, "small", 3, [])
    assert [job.line for job in jobs] == ["rate-0.1", "rate-0.2", "rate-0.4"]  # b starts from a, the tests load it
    assert unsettled == 2


def test_a_rate_that_is_left_out_is_not_waited_for():
    *others, last = COMPARISON.runs
    comparison = dataclasses.replace(COMPARISON, runs=(*others, dataclasses.replace(last, left_out="it diverges")))
    assert work.best_of_group(comparison, "small", "rates", rows(0.5, 0.7)).name == "rate-0.2"
