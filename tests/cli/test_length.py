"""How long a run is: raised epochs, patience, a budget of minutes."""

import csv
import json
from pathlib import Path

import pytest

import tiny


@pytest.fixture(autouse=True)
def _inside(monkeypatch, tmp_path):
    tiny.register(monkeypatch, tmp_path)


def rows(run, split="validation"):
    with open(f"{run}/metrics.csv", newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["split"] == split]


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


def test_more_epochs_of_a_cosine_are_refused_and_leave_the_run_as_it_was(capsys):
    tiny.start("run", "--epochs", "1", "--schedule", "cosine")
    before = Path("run/config.json").read_text()
    with pytest.raises(SystemExit) as caught:
        tiny.start("run", "--epochs", "2", "--schedule", "cosine")
    assert caught.value.code == 2
    assert "--epochs=2: the learning rate of cosine depends on the length" in capsys.readouterr().err
    assert Path("run/config.json").read_text() == before


def test_patience_ends_a_run_that_gets_no_better(capsys):
    """At a rate of 1e-9 nothing moves: the first ranked validation stays the best, and two more end the run."""
    still = ("--arch", "tiny_plain", "--learning_rate", "1e-9", "--dropout", "0", "--epochs", "6", "--patience", "2")
    tiny.start("run", *still)
    assert len(rows("run")) == 3
    assert "validation top-1 has not risen in 2 validations: the run ends here" in capsys.readouterr().out
    assert json.loads(Path("run/results.json").read_text())
    tiny.start("run", *still)  # it is finished: only tested again
    assert len(rows("run")) == 3
