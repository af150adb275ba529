"""Training several seeds by one command, and keeping snapshots at the ends of learning-rate cycles."""

import json
from pathlib import Path

import pytest

import tiny
from cli import flags
from common.errors import UserError
from common.runs import checkpoints
from common.runs import config as runs
from common.training import trainer


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, tmp_path):
    tiny.register(monkeypatch, tmp_path)


def steps(run: str) -> list[int]:
    return sorted(int(folder.name.removeprefix("step-")) for folder in checkpoints.folders(Path(run)))


CYCLES = ("--schedule", "sgdr", "--schedule_every", "0.5", "--epochs", "3", "--keep", "1")


@pytest.mark.slow
def test_a_checkpoint_stays_for_every_cycle():
    tiny.start("run", *CYCLES, "--snapshots", "--save_every", "7")
    ends = [10, 19, 28, 38, 48, 57]  # every half of 19 steps: 9.5, 19, 28.5 ... , halves to the even step
    best = json.loads(Path("run/results.json").read_text())["checkpoint"]
    assert set(steps("run")) == {*ends, int(best[-8:])}
    assert [int(folder.name[-8:]) for folder in checkpoints.snapshots(Path("run"))] == ends


@pytest.mark.slow
def test_snapshots_survive_a_resume_that_does_not_ask_for_them(monkeypatch):
    class Killed(BaseException):
        pass

    real = trainer.save

    def save_and_die(job, state):
        real(job, state)
        if state.step == 28:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save", save_and_die)
        with pytest.raises(Killed):
            tiny.start("run", *CYCLES, "--snapshots")
    tiny.start("run", *CYCLES)
    assert {10, 19, 28} <= set(steps("run"))
    assert [int(folder.name[-8:]) for folder in checkpoints.snapshots(Path("run"))] == [10, 19, 28]


def test_no_cycles_no_snapshots(capsys):
    with pytest.raises(SystemExit) as caught:
        tiny.start("run", "--snapshots", "--schedule", "cosine")
    assert caught.value.code == 2
    assert "--snapshots: --schedule=cosine has no cycles; use sgdr or cyclical" in capsys.readouterr().err
    assert not Path("run").exists()


def test_in_training_snapshots_take_no_value():
    with pytest.raises(UserError, match="--snapshots=last:5: in training it takes no value"):
        flags.parse(["--mode", "train", "--snapshots", "last:5"])


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (["--snapshots"], "all"),
        (["--snapshots", "--seed", "3"], "all"),
        (["--snapshots=all"], "all"),
        ([], None),
    ],
)
def test_snapshots_may_stand_alone(arguments, value):
    assert flags.parse(["--mode", "train", *arguments]).snapshots == value


@pytest.mark.slow
def test_an_ensemble_is_trained_member_by_member_and_goes_on_where_it_was(monkeypatch, capsys):
    class Killed(BaseException):
        pass

    real = trainer.save

    def save_and_die(job, state):
        real(job, state)
        if str(job.run) == "all/seed-6" and state.step == 19:
            raise Killed

    arguments = ("all", "--ensemble", "2", "--seed", "5")
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save", save_and_die)
        with pytest.raises(Killed):
            tiny.start(*arguments)
    first = Path("all/seed-5/results.json").stat().st_mtime_ns
    capsys.readouterr()
    tiny.start(*arguments)
    said = capsys.readouterr().out
    assert "all/seed-5 is finished" in said
    assert "going on from step 19 of 38 (all/seed-6" in said
    assert said.splitlines()[-1].endswith("--mode test --restore all")
    assert Path("all/seed-5/results.json").stat().st_mtime_ns == first
    assert runs.members(Path("all")) == ["seed-5", "seed-6"]
    configs = [runs.read(Path("all") / name) for name in ("seed-5", "seed-6")]
    assert [(config.seed, config.data_seed) for config in configs] == [(5, 5), (6, 5)]
    # Each is what its own command trains.
    tiny.start("alone", "--seed", "6")
    assert Path("alone/metrics.csv").read_bytes() == Path("all/seed-6/metrics.csv").read_bytes()
    metrics = [(Path("all") / name / "metrics.csv").read_bytes() for name in ("seed-5", "seed-6")]
    assert metrics[0] != metrics[1]


def test_an_ensemble_wants_a_directory_of_its_own(capsys):
    tiny.start("run", "--epochs", "1")
    with pytest.raises(SystemExit) as caught:
        tiny.start("run", "--ensemble", "2")
    assert caught.value.code == 2
    assert "--ckpt=run is not empty and holds no ensemble" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "{}", '{"members": []}', '{"members": [1]}'])
def test_a_damaged_ensemble_file_is_named(tmp_path, text):
    (tmp_path / "ensemble.json").write_text(text)
    with pytest.raises(UserError, match=r"ensemble\.json: damaged"):
        runs.members(tmp_path)
