"""How long a run is: raised epochs, patience, a budget of minutes."""

import csv
import dataclasses
import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

import jobs
import tiny
from cli import budget, length
from common import distribution
from common.recipe import Recipe
from common.runs import checkpoints
from common.training import ema, schedules
from training_runs import same_weights


@pytest.fixture(autouse=True)
def _inside(monkeypatch, tmp_path):
    tiny.register(monkeypatch, tmp_path)


def rows(run, split="validation"):
    with open(f"{run}/metrics.csv", newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["split"] == split]


@pytest.mark.slow
def test_more_epochs_on_a_finished_run_are_those_of_one_run_of_that_length():
    tiny.start("grown", "--epochs", "1", "--schedule", "exponential")
    assert json.loads(Path("grown/results.json").read_text())
    tiny.start("grown", "--epochs", "2", "--schedule", "exponential")
    tiny.start("whole", "--epochs", "2", "--schedule", "exponential")

    for split in ("train", "validation", "step"):
        assert rows("grown", split) == rows("whole", split)
    assert json.loads(Path("grown/config.json").read_text())["recipe"]["epochs"] == 2
    grown, whole = (json.loads(Path(f"{run}/results.json").read_text()) for run in ("grown", "whole"))
    assert [grown[name] for name in ("top1", "top5", "loss")] == [whole[name] for name in ("top1", "top5", "loss")]


@pytest.mark.slow
def test_more_epochs_of_a_cosine_are_refused_and_leave_the_run_as_it_was(capsys):
    tiny.start("run", "--epochs", "1", "--schedule", "cosine")
    before = Path("run/config.json").read_text()
    with pytest.raises(SystemExit) as caught:
        tiny.start("run", "--epochs", "2", "--schedule", "cosine")
    assert caught.value.code == 2
    assert "--epochs=2: the learning rate of cosine depends on the length" in capsys.readouterr().err
    assert Path("run/config.json").read_text() == before


@pytest.mark.slow
def test_more_epochs_on_a_finished_ensemble_are_trained(capsys):
    ensemble = ("all", "--ensemble", "1", "--schedule", "constant", "--keep", "1")
    tiny.start(*ensemble, "--epochs", "1")
    tiny.start(*ensemble, "--epochs", "2")
    out = capsys.readouterr().out
    assert "going on from step 19 of 38 (all/seed-0" in out
    assert [int(row["step"]) for row in rows("all/seed-0")] == [19, 38]
    tiny.start(*ensemble, "--epochs", "2")
    assert "all/seed-0 is finished\n" in capsys.readouterr().out


BEST = "run/checkpoints/step-00000038"


@pytest.mark.parametrize(
    ("step", "state", "patience", "tested", "finished"),
    [
        (57, {}, 0, BEST, True),
        (57, {"finished": False}, 0, BEST, False),  # its last validation is still to come
        (57, {}, 0, None, False),
        (57, {}, 0, "run/checkpoints/step-00000019", False),  # the best before epochs were added
        (38, {}, 0, BEST, False),  # of a shorter run
        (38, {"schedule": {"exhausted": True}}, 0, BEST, True),
        (38, {"improved_step": 19}, 1, BEST, True),
        (38, {"improved_step": 19}, 2, BEST, False),
    ],
)
def test_a_run_is_finished_at_its_length_or_where_it_was_ended_and_tested(
    tmp_path, step, state, patience, tested, finished
):
    """Three epochs of 19 steps; the best checkpoint is that of step 38."""
    run = Path("run")
    state = {"step": step, "finished": True, "best_step": 38, "schedule": {}} | state
    for at in {38, step}:
        checkpoints.save(run, state | {"step": at}, {})
    if tested:
        (run / "results.json").write_text(json.dumps({"checkpoint": tested}))
    recipe = Recipe(epochs=3, batch_size=64, patience=patience)
    plan = SimpleNamespace(run=run, config=SimpleNamespace(recipe=recipe, steps=None), data=SimpleNamespace())
    plan.data.splits = {"train": SimpleNamespace(examples=1257)}
    assert length.is_finished(plan, checkpoints.newest(run)) == finished
    by = {0: "--schedule=plateau"}.get(patience, "--patience")
    if finished and step == 38:
        assert length.end(plan, checkpoints.newest(run)) == (
            f"run is finished: {by} ended it at step 38 of 57; train on from it with --restore run and another --ckpt"
        )
    elif finished:
        assert length.end(plan, checkpoints.newest(run)) == "run is finished"


@pytest.mark.slow
def test_patience_ends_a_run_that_gets_no_better(capsys):
    """At a rate of 1e-9 nothing moves: the first ranked validation stays the best, and two more end the run."""
    still = ("--arch", "tiny_plain", "--learning_rate", "1e-9", "--dropout", "0", "--epochs", "6", "--patience", "2")
    tiny.start("run", *still)
    assert len(rows("run")) == 3
    assert "validation top-1 has not risen in 2 validations: the run ends here" in capsys.readouterr().out
    assert json.loads(Path("run/results.json").read_text())
    tiny.start("run", *still, "--epochs", "7")  # it is finished: only tested again
    assert len(rows("run")) == 3
    assert "run is finished: --patience ended it at step 57 of 133; train on" in capsys.readouterr().out
    assert json.loads(Path("run/config.json").read_text())["recipe"]["epochs"] == 6
    tiny.start("run", *still)  # the first command is still that of the run


@pytest.mark.parametrize(
    ("seconds", "steps"),
    [
        (100, 80),  # 8 epochs of 5 s and their pauses of 5 s are 80 s of 82; a step more needs 5.5 s
        (104, 82),  # 8 epochs, 2 steps and the pause after them: 86 s
        (103, 80),
        (28.2, 10),  # one epoch: 10 of 10.2 s
        (27.8, 9),  # 9 steps and the pause after them: 9.5 of 9.8 s
        (23.75, 1),  # one step and its pause: 5.5 of 5.75 s
        (23.25, 0),
        (1, 0),
    ],
)
def test_the_steps_that_fit_into_a_time(seconds, steps):
    """18 s go to the test and the end; a step takes 0.5 s, every ten and the last 4 s of validation and 1 of disk."""
    sizes = {"validated": 400, "tested": 1000, "saved_bytes": 200_000_000}
    assert budget.steps_in(seconds, 0.5, 0.01, per_epoch=10, **sizes) == steps
    assert budget.seconds_of_one(0.5, 0.01, **sizes) == pytest.approx(23.5)


def test_without_a_validation_an_epoch_still_ends_with_a_checkpoint():
    """13 s are left: 2 epochs of 5 s and their checkpoints of 1 s; a step more needs 1.5 s."""
    fit = budget.steps_in(31, 0.5, 0.01, validated=0, tested=1000, per_epoch=10, saved_bytes=200_000_000)
    assert fit == 20


def test_minutes_that_hold_no_step_are_refused_and_leave_nothing(monkeypatch, capsys):
    """A test image takes 0.1 s, the digits have 180 to validate and 360 to test: over a minute with 8 s at the end."""
    monkeypatch.setattr(budget, "measure", lambda job: (0.5, 0.1, 1.0))
    with pytest.raises(SystemExit) as caught:
        tiny.start("run", "--minutes", "1", "--schedule", "cosine")
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert "--minutes=1: too short; the start, one step" in error
    assert float(error.split()[-2]) >= 1.1  # 63.5 s and what the start took
    assert error.count("\n") == 1
    assert not Path("run").exists()


def test_a_schedule_is_shortened_as_a_whole():
    recipe = Recipe(epochs=8, schedule="piecewise", schedule_boundaries=(40, 60), warmup="gradual", warmup_epochs=1)
    whole, half = (schedules.make_schedule(schedules.fitted(recipe, share), 10, int(80 * share)) for share in (1, 0.5))
    assert [half.rate(step) for step in range(40)] == pytest.approx([whole.rate(2 * step) for step in range(40)])
    for rule in ("step", "exponential", "inverse_time", "cosine", "linear", "cyclical"):
        recipe = Recipe(epochs=8, schedule=rule, schedule_every=2)
        long, short = (schedules.make_schedule(schedules.fitted(recipe, s), 10, int(80 * s)) for s in (1, 0.5))
        assert [short.rate(step) for step in range(40)] == pytest.approx([long.rate(2 * step) for step in range(40)])


def test_what_was_trained_to_measure_the_speed_is_undone_to_the_bit(monkeypatch):
    recipe = dataclasses.replace(tiny.RECIPE, epochs=1, batch_size=8, optimizer="adam")
    model = tiny.build(dropout=0.25)
    pictures, labels = tf.random.stateless_normal((8, 16, 16, 3), (1, 2)), tf.range(8)
    batches = tf.data.Dataset.from_tensors((pictures, labels)).repeat()
    own = {"training": lambda _: batches, "splits": {"train": None}, "average": ema.WeightAverage(model, 0.5)}
    made = jobs.make_job(model, recipe, **own)
    variables = [v for owner in (model, made.optimizer, made.average) for v in owner.variables]
    before = [variable.numpy() for variable in variables]
    with budget.untrained(made):
        budget.seconds_per_step(made)
        changed = [not np.array_equal(variable.numpy(), old) for variable, old in zip(variables, before, strict=True)]
        assert sum(changed) > len(variables) // 2  # and dropout's seed, whose share of them is one
        assert any("seed" in variable.path for variable, one in zip(variables, changed, strict=True) if one)
    for variable, old in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)


def test_several_workers_end_the_measurement_of_the_speed_together(monkeypatch):
    """By the clock of whichever is first over: it is asked before each step, since a step waits for all of them."""
    asked, taken = [], []

    def any_worker(value):
        asked.append(value)
        return len(asked) == 5  # the first call traces it; before the fourth step another worker's time is over

    monkeypatch.setattr(distribution, "make_any", lambda devices: any_worker)
    monkeypatch.setattr(budget, "make_train_step", lambda job: lambda *batch: tf.constant(taken.append(1) or 0.0))
    batches = tf.data.Dataset.from_tensors((tf.zeros((8, 16, 16, 3)), tf.range(8))).repeat()
    recipe = dataclasses.replace(tiny.RECIPE, epochs=1)
    made = jobs.make_job(tiny.build(), recipe, training=lambda _: batches, splits={"train": None})
    each, _ = budget.seconds_per_step(made, most=10, seconds=1e6)
    assert len(taken) == 1 + 3
    assert asked == [False] * 5
    assert each > 0


@pytest.mark.slow
def test_a_run_fitted_into_minutes_is_that_of_its_length(monkeypatch):
    """Whether or not the speed was measured on its network before."""
    budgeted = ("--minutes", "5", "--schedule", "cosine", "--ema", "0.9")
    monkeypatch.setattr(budget, "steps_in", lambda *_: 19)
    monkeypatch.setattr(budget, "STEPS", 2)
    tiny.start("measured", *budgeted)
    monkeypatch.setattr(budget, "measure", lambda job: (0.5, 0.01, 1.0))
    tiny.start("told", *budgeted)
    assert rows("measured", "step") == rows("told", "step")
    assert rows("measured") == rows("told")
    assert same_weights("measured", "told")


@pytest.mark.slow
def test_a_run_is_fitted_into_minutes_once_and_ends_in_the_midst_of_an_epoch(monkeypatch, capsys):
    monkeypatch.setattr(budget, "measure", lambda job: (0.5, 0.01, 1.0))
    monkeypatch.setattr(budget, "steps_in", lambda *_: 30)
    budgeted = ("--minutes", "5", "--schedule", "cosine", "--epochs", "3")  # 30 of 57 steps
    tiny.start("run", *budgeted)
    out = capsys.readouterr().out
    assert "30 steps (1.6 epochs), which fit into 5 minutes" in out
    assert json.loads(Path("run/config.json").read_text())["steps"] == 30
    assert [int(row["step"]) for row in rows("run")] == [19, 30]
    assert [int(row["epoch"]) for row in rows("run")] == [1, 2]
    last = float(rows("run", "train")[-1]["learning_rate"])
    assert last == pytest.approx(0.02 * (1 + math.cos(math.pi * 29 / 30)) / 2)

    monkeypatch.setattr(budget, "fit", None)  # a run that goes on, or is tested again, keeps its length
    tiny.start("run", *budgeted)
    assert "test top1" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        tiny.start("run", "--minutes", "6", "--schedule", "cosine", "--epochs", "3")
    assert "minutes: 5.0 -> 6.0" in capsys.readouterr().err


def test_a_dry_run_of_minutes_says_how_many_steps_fit(monkeypatch, capsys):
    monkeypatch.setattr(budget, "measure", lambda job: (0.5, 0.01, 1.0))
    monkeypatch.setattr(budget, "steps_in", lambda *_: 30)
    rule = ("--schedule", "piecewise", "--schedule_boundaries", "20,100")
    tiny.start("run", "--dry_run", "--minutes", "5", "--epochs", "3", *rule)
    out = capsys.readouterr().out
    assert "30 steps (1.6 epochs), which fit into 5 minutes" in out
    assert "\nnote: piecewise drops at 53 steps, but the run has 30\n" in out  # 100 of 57 steps are 53 of 30
    assert " for 30 steps (" in out.splitlines()[-1]
    assert not Path("run").exists()
