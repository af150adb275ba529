"""Interrupted runs: signals, kills and damage; a resumed run equals an undisturbed one."""

import re
import signal
from pathlib import Path

import pytest

import tiny
from common.runs import checkpoints
from common.training import dead_units, logger, loss_scaling, trainer, validation
from training_runs import Killed, events, last_line, read_metrics, same_weights, weights


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, tmp_path):
    tiny.register(monkeypatch, tmp_path)


MIXED = ("--mixup=0.2", "--cutmix=1", "--auto_augment=trivial", "--random_erasing=0.25", "--color_jitter=0.4")
MIXED += ("--hue=0.1", "--turns", "--loss=bce", "--class_weight=balanced", "--sampling=balanced")


@pytest.mark.parametrize(
    "more", [(), pytest.param(MIXED, marks=pytest.mark.slow), pytest.param(("--ema", "0.9"), marks=pytest.mark.slow)]
)
def test_an_interrupted_run_ends_like_an_undisturbed_one(monkeypatch, more):
    settings = ("--save_every", "5", "--log_every", "4", "--schedule", "cosine", *more)
    tiny.start("whole", *settings)

    real, saves = trainer.save, []

    def save_and_die(job, state):
        saves.append(state.step)
        folder = real(job, state)
        if state.step in (10, 25):  # within an epoch and within a log interval, then in the next epoch
            with open(job.run / "metrics.csv", "a") as file:
                file.write(f"{state.step + 2},9,train,0,0,0,0,0,0\n99,torn")  # as a kill later on would leave it
            raise Killed
        return folder

    monkeypatch.setattr(trainer, "save", save_and_die)
    for _ in range(2):
        with pytest.raises(Killed):
            tiny.start("killed", *settings)
    tiny.start("killed", *settings)
    assert saves == [5, 10, 15, 19, 20, 25, 30, 35, 38]
    assert Path("killed/metrics.csv").read_bytes() == Path("whole/metrics.csv").read_bytes()
    assert same_weights("killed", "whole")


@pytest.mark.slow
def test_a_run_in_float16_keeps_its_loss_scale_and_says_what_it_skipped(monkeypatch, capsys):
    monkeypatch.setattr(loss_scaling, "INITIAL_SCALE", 2.0**24)  # overflows until it has come down
    settings = ("--precision", "mixed_float16", "--epochs", "1")
    tiny.start("whole", *settings)
    line = next(line for line in capsys.readouterr().out.splitlines() if " step 19/19 " in line)
    scale, skipped = re.search(r"loss scale (\S+), (\d+) steps skipped", line).groups()
    assert 0 < int(skipped) < 19
    assert float(scale) == pytest.approx(2.0 ** (24 - int(skipped)), rel=1e-5)
    real = trainer.save

    def save_and_die(job, state):
        real(job, state)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save", save_and_die)
        with pytest.raises(Killed):
            tiny.start("killed", *settings, "--save_every", "5")
    tiny.start("killed", *settings, "--save_every", "5")
    assert Path("killed/metrics.csv").read_bytes() == Path("whole/metrics.csv").read_bytes()
    assert same_weights("killed", "whole")
    assert {name.split("/")[0] for name in weights("killed")} == {"loss_scale", "model", "optimizer"}


@pytest.mark.slow
def test_a_run_in_float16_that_was_begun_without_a_loss_scale_gets_one(monkeypatch, capsys):
    real_groups, real_save = trainer.groups, trainer.save

    def save_and_die(job, state):
        real_save(job, state)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "groups", lambda job: {k: v for k, v in real_groups(job).items() if k != "loss_scale"})
        patch.setattr(trainer, "save", save_and_die)
        with pytest.raises(Killed):
            tiny.start("run", "--precision", "mixed_float16", "--epochs", "1", "--save_every", "5")
    tiny.start("run", "--precision", "mixed_float16", "--epochs", "1", "--save_every", "5")
    assert "going on from step 5 of 19" in capsys.readouterr().out
    assert any(name.startswith("loss_scale/") for name in weights("run"))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_at_the_next_step_and_says_how_to_go_on(monkeypatch, capsys, number, code):
    tiny.start("whole")
    real = logger.Interval.add

    def add(self, values, rate):
        real(self, values, rate)
        if self.state.step == 5:
            signal.raise_signal(number)

    monkeypatch.setattr(logger.Interval, "add", add)
    with pytest.raises(SystemExit) as caught:
        tiny.start("stopped")
    assert caught.value.code == code
    said = last_line(capsys)
    assert said.startswith("stopped at step 6 of 38, saved; go on with: python alexnet.py")
    assert checkpoints.newest(Path("stopped")).step == 6
    monkeypatch.setattr(logger.Interval, "add", real)
    tiny.start("stopped")
    assert Path("stopped/metrics.csv").read_bytes() == Path("whole/metrics.csv").read_bytes()
    assert same_weights("stopped", "whole")


@pytest.mark.slow
def test_a_kill_in_a_validation_loses_nothing_but_that_validation(monkeypatch):
    tiny.start("whole", "--keep", "1")
    with monkeypatch.context() as patch:
        patch.setattr(validation, "evaluate", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            tiny.start("killed", "--keep", "1")
    checkpoint = checkpoints.newest(Path("killed"))
    assert (checkpoint.step, checkpoint.state["validation_due"]) == (19, True)
    tiny.start("killed", "--keep", "1")
    assert Path("killed/metrics.csv").read_bytes() == Path("whole/metrics.csv").read_bytes()
    assert checkpoints.newest(Path("killed")).state["best_step"] == 38
    assert same_weights("killed", "whole")


@pytest.mark.slow
def test_a_kill_between_a_validation_and_its_checkpoint_does_not_count_it_twice(monkeypatch):
    tiny.start("whole")
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "amend", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            tiny.start("killed")
    assert read_metrics("killed")[-1]["split"] == "validation"
    tiny.start("killed")
    assert Path("killed/metrics.csv").read_bytes() == Path("whole/metrics.csv").read_bytes()
    steps = [step for step, _ in events("killed/tensorboard/validation")["loss"]]
    assert steps == [19, 38]


@pytest.mark.slow
def test_a_signal_ends_a_validation_at_its_next_batch_and_it_is_made_up_for(monkeypatch, capsys):
    tiny.start("whole")
    real, batches = dead_units.WatchedStep.__call__, []

    def call(self, *batch):
        batches.append(1)
        if len(batches) == 2:
            signal.raise_signal(signal.SIGTERM)
        return real(self, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(dead_units.WatchedStep, "__call__", call)
        with pytest.raises(SystemExit) as caught:
            tiny.start("stopped")
    assert caught.value.code == 143
    assert len(batches) == 2  # of three
    assert last_line(capsys).startswith("stopped at step 19 of 38, saved; go on with:")
    assert [row["split"] for row in read_metrics("stopped")][-1] == "train"
    tiny.start("stopped")
    assert Path("stopped/metrics.csv").read_bytes() == Path("whole/metrics.csv").read_bytes()
    assert same_weights("stopped", "whole")


@pytest.mark.slow
def test_with_one_kept_a_damaged_newest_checkpoint_gives_way_to_the_new_ones(monkeypatch, capsys):
    """A run that goes back past a damaged checkpoint keeps what it saves from there on, whose steps are lower."""
    settings = ("--keep", "1", "--save_every", "5", "--epochs", "4")
    tiny.start("whole", *settings)
    real = trainer.save

    def save_and_die(job, state):
        real(job, state)
        if state.step == dying[0]:
            raise Killed

    monkeypatch.setattr(trainer, "save", save_and_die)
    dying = [70]
    with pytest.raises(Killed):
        tiny.start("damaged", *settings)
    assert [folder.name for folder in checkpoints.folders(Path("damaged"))] == ["step-00000070", "step-00000057"]
    (checkpoints.folder_at(Path("damaged"), 70) / "variables.index").write_bytes(b"")
    dying[0] = 65
    with pytest.raises(Killed):
        tiny.start("damaged", *settings)
    assert "going on from step 57 of 76" in capsys.readouterr().out
    assert checkpoints.newest(Path("damaged")).step == 65
    dying[0] = None
    tiny.start("damaged", *settings)
    assert "going on from step 65 of 76" in capsys.readouterr().out
    assert Path("damaged/metrics.csv").read_bytes() == Path("whole/metrics.csv").read_bytes()
    assert same_weights("damaged", "whole")


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint_begins_again(monkeypatch):
    def die(job, state):
        raise Killed

    tiny.start("whole", "--log_every", "4")
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save", die)
        with pytest.raises(Killed):
            tiny.start("killed", "--log_every", "4")
    assert len(read_metrics("killed")) == 5  # and no validation: that comes after the checkpoint
    Path("killed/.config.json.4711").write_text("{")  # as a kill in the midst of writing it leaves
    tiny.start("killed", "--log_every", "4")
    assert Path("killed/metrics.csv").read_bytes() == Path("whole/metrics.csv").read_bytes()
    assert same_weights("killed", "whole")
    assert not Path("killed/.config.json.4711").exists()
    assert len(list(Path("killed/tensorboard").rglob("events.*"))) == 3
