import csv
import dataclasses
import errno
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tiny
from common.runs import checkpoints, locks
from common.training import dead_units, logger, loss_scaling, trainer, validation
from common.training.log_writers import MetricsFile

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, tmp_path):
    tiny.register(monkeypatch, tmp_path)


def last_line(capsys) -> str:
    return capsys.readouterr().out.splitlines()[-1]


def weights(run: str) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(checkpoints.newest(Path(run)).folder / "variables"))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }


def same_weights(one: str, other: str) -> bool:
    mine, theirs = weights(one), weights(other)
    return mine.keys() == theirs.keys() and all(np.array_equal(mine[name], theirs[name]) for name in mine)


def read_metrics(run: str, *splits: str) -> list[dict]:
    with open(Path(run) / "metrics.csv", newline="") as file:
        return [row for row in csv.DictReader(file) if row["split"] in (splits or ("train", "validation"))]


@pytest.mark.parametrize("ema", ["0", pytest.param("0.9", marks=pytest.mark.slow)])
def test_the_test_command_repeats_the_figure_of_the_training(capsys, ema):
    tiny.start("ckpt/tiny", "--ema", ema)
    printed = last_line(capsys)
    trained = json.loads(Path("ckpt/tiny/results.json").read_text())
    tiny.run("--mode", "test", "--arch", "tiny", "--restore", "ckpt/")
    assert last_line(capsys) == printed
    tested = json.loads(Path("ckpt/tiny/results.json").read_text())
    measured = {"dataset", "split", "crops", "scales", "checkpoint", "top1", "top5", "loss"}
    measured |= {"images", "calibration_error"}
    clocked = {"seconds", "images_per_second"}
    assert set(tested) == measured | clocked
    assert {name: tested[name] for name in measured} == {name: trained[name] for name in measured}
    assert (tested["split"], tested["images"]) == ("test", 360)
    assert printed == f"test top1 {tested['top1']:.4f} top5 {tested['top5']:.4f} loss {tested['loss']:.4f} images 360"
    assert tested["top1"] > 0.2  # guessing: 0.1


def test_a_finished_run_is_only_tested_again(capsys):
    tiny.start("run")
    before, printed = Path("run/metrics.csv").read_bytes(), last_line(capsys)
    tiny.start("run")
    assert Path("run/metrics.csv").read_bytes() == before
    assert last_line(capsys) == printed


def test_metrics_rows_are_steps_epochs_and_exact_sums():
    tiny.start("run", "--log_every", "8")
    rows = read_metrics("run")
    assert [(row["step"], row["epoch"], row["split"]) for row in rows] == [
        ("8", "1", "train"),
        ("16", "1", "train"),
        ("19", "1", "train"),  # 1,257 images make 19 batches of 64
        ("19", "1", "validation"),
        ("24", "2", "train"),
        ("32", "2", "train"),
        ("38", "2", "train"),
        ("38", "2", "validation"),
    ]
    for row in rows:
        assert float(row["loss"]) == pytest.approx(float(row["data_loss"]) + float(row["l2_loss"]), rel=1e-6)
    kernels = [value for name, value in weights("run").items() if name.startswith("model/") and "kernel" in name]
    assert len(kernels) == 3
    half_squares = sum(float(np.sum(kernel.astype(np.float64) ** 2)) for kernel in kernels) / 2
    assert float(rows[-1]["l2_loss"]) == pytest.approx(0.001 * half_squares, rel=1e-5)


def test_the_first_fifty_steps_are_logged_one_by_one():
    tiny.start("run", "--epochs", "3", "--log_every", "8")
    rows = read_metrics("run", "step", "train")
    steps = [row for row in rows if row["split"] == "step"]
    assert [int(row["step"]) for row in steps] == list(range(1, 51))
    assert [row["epoch"] for row in steps[18:20]] == ["1", "2"]
    for name in ("data_loss", "l2_loss", "loss", "top1", "top5"):
        means = [row for row in rows if row["split"] == "train"]
        for first, last, row in ((0, 8, means[0]), (8, 16, means[1]), (16, 19, means[2])):
            mean = sum(float(one[name]) for one in steps[first:last]) / (last - first)
            assert float(row[name]) == pytest.approx(mean, rel=1e-12)


def test_the_seed_decides_everything():
    tiny.start("one", "--epochs", "1", "--seed", "3")
    tiny.start("same", "--epochs", "1", "--seed", "3")
    tiny.start("other", "--epochs", "1", "--seed", "4")
    assert Path("one/metrics.csv").read_bytes() == Path("same/metrics.csv").read_bytes()
    assert same_weights("one", "same")
    assert Path("one/metrics.csv").read_bytes() != Path("other/metrics.csv").read_bytes()
    assert not same_weights("one", "other")


def test_the_best_is_the_highest_top1_and_among_equals_the_lowest_loss(monkeypatch):
    validated = iter([(0.5, 1.0), (0.75, 0.9), (0.75, 0.7), (0.75, 0.8), (0.7, 0.1)])
    real = validation.evaluate

    def evaluate(step, batches, split, stopping):
        top1, loss = next(validated)
        return dataclasses.replace(real(step, batches, split, stopping), top1=top1, loss=loss)

    monkeypatch.setattr(validation, "evaluate", evaluate)
    tiny.start("run", "--epochs", "5")
    assert json.loads(Path("run/results.json").read_text())["checkpoint"] == "run/checkpoints/step-00000057"


@pytest.mark.parametrize("ema", ["0", pytest.param("0.9", marks=pytest.mark.slow)])
def test_an_interrupted_run_ends_like_an_undisturbed_one(monkeypatch, ema):
    settings = ("--save_every", "5", "--log_every", "4", "--schedule", "cosine", "--ema", ema)
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


class Killed(BaseException):
    """A kill at the place where it is raised."""


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


def test_young_batch_norms_are_validated_but_not_ranked(monkeypatch, capsys):
    """Momentum 0.9 settles in 50 steps; here an epoch has 19. The highest top-1 comes at step 19."""
    validated = iter([(0.9, 0.1), (0.8, 0.1), (0.5, 1.0), (0.4, 1.0)])
    real = validation.evaluate

    def evaluate(step, batches, split, stopping):
        top1, loss = next(validated)
        return dataclasses.replace(real(step, batches, split, stopping), top1=top1, loss=loss)

    monkeypatch.setattr(validation, "evaluate", evaluate)
    tiny.start("run", "--epochs", "4")
    lines = [line for line in capsys.readouterr().out.splitlines() if ": validation top1" in line]
    assert [line.split("images 180")[1] for line in lines] == [
        ", not ranked: batch norm's moving statistics settle in 50 steps, so far there were 19",
        ", not ranked: batch norm's moving statistics settle in 50 steps, so far there were 38",
        ", the best so far",
        "",
    ]
    assert json.loads(Path("run/results.json").read_text())["checkpoint"] == "run/checkpoints/step-00000057"


def test_without_batch_norm_every_validation_is_ranked(capsys):
    tiny.start("run", "--arch", "tiny_plain", "--epochs", "1")
    assert ", the best so far" in capsys.readouterr().out


def test_the_start_says_what_the_run_is_too_short_for_and_which_part_trains_at_which_rate(capsys):
    tiny.start("first", "--schedule", "piecewise", "--schedule_boundaries", "30,32000,48000")
    assert "\nnote: piecewise drops at 32,000 and 48,000 steps, but the run has 38\n" in capsys.readouterr().out
    tiny.start("second", "--restore", "first", "--epochs", "1", "--freeze", "conv1", "--head_learning_rate", "0.125")
    assert "\ntraining conv1 frozen; conv1_bn to conv2_bn (3 layers) at 0.02; fc at 0.125\n" in capsys.readouterr().out


def test_another_recipe_in_the_same_directory_is_refused(capsys):
    tiny.start("run", "--epochs", "1")
    with pytest.raises(SystemExit) as caught:
        tiny.start("run", "--epochs", "1", "--learning_rate", "0.5", "--seed", "1")
    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert "learning_rate: 0.02 -> 0.5" in error
    assert "seed: 0 -> 1" in error
    assert error.count("\n") == 1


def test_a_second_process_on_the_same_run_is_refused(capsys):
    with locks.hold(Path(".lock"), "run"):
        Path("run").mkdir()
        Path(".lock").rename("run/.lock")
        with pytest.raises(SystemExit) as caught:
            tiny.start("run")
    error = capsys.readouterr().err
    assert caught.value.code == 1
    assert f"--ckpt=run is in use by process {os.getpid()} on {socket.gethostname()}" in error
    assert error.count("\n") == 1


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


@pytest.mark.parametrize("where", ["checkpoints.save", pytest.param("MetricsFile.add", marks=pytest.mark.slow)])
def test_a_full_disk_is_one_line_and_leaves_the_last_checkpoint(monkeypatch, capsys, where):
    """TensorFlow's and Python's ways of saying ENOSPC, while the third checkpoint or the row of step 16 is written."""
    owner, name = {"checkpoints.save": (tf.train.Checkpoint, "write"), "MetricsFile.add": (MetricsFile, "add")}[where]
    real, calls = getattr(owner, name), []

    def full(*arguments, **options):
        calls.append(1)
        if owner is MetricsFile and any(row["step"] > 15 for row in arguments[1:]):
            raise OSError(errno.ENOSPC, "No space left on device")
        if owner is not MetricsFile and len(calls) == 3:
            raise tf.errors.ResourceExhaustedError(None, None, "run/variables.data; No space left on device")
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, full)
        with pytest.raises(SystemExit) as caught:
            tiny.start("run", "--save_every", "5")
    error = capsys.readouterr().err
    assert caught.value.code == 1
    assert error.startswith("alexnet.py: run: writing failed (")
    assert "No space left on device" in error
    assert error.count("\n") == 1
    assert checkpoints.newest(Path("run")).step == {"checkpoints.save": 10, "MetricsFile.add": 15}[where]
    assert not list(Path("run/checkpoints").glob(".writing*"))
    tiny.start("whole", "--save_every", "5")
    tiny.start("run", "--save_every", "5")
    assert same_weights("run", "whole")
    assert Path("run/metrics.csv").read_bytes() == Path("whole/metrics.csv").read_bytes()


def test_a_directory_that_cannot_be_made_is_one_line(capsys):
    Path("file").touch()
    with pytest.raises(SystemExit) as caught:
        tiny.start("file/run")
    assert caught.value.code == 1
    assert capsys.readouterr().err == "alexnet.py: --ckpt=file/run: Not a directory\n"


def test_a_directory_that_holds_something_else_is_refused(capsys):
    Path("photos").mkdir()
    Path("photos/cat.jpg").touch()
    with pytest.raises(SystemExit) as caught:
        tiny.start("photos")
    assert caught.value.code == 2
    assert "photos is not empty" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_stops_before_it_is_saved(capsys):
    with pytest.raises(SystemExit) as caught:
        tiny.start("run", "--learning_rate", "1e30", "--save_every", "1", "--log_every", "50")
    error = capsys.readouterr().err
    assert caught.value.code == 3
    assert "learning rate 1e+30" in error
    step = int(error.split("at step ")[1].split(",")[0])
    for folder in checkpoints.folders(Path("run")):
        assert checkpoints.open_checkpoint(folder).step < step


def test_a_loss_at_chance_is_said_once(monkeypatch, capsys):
    monkeypatch.setattr(logger, "CHANCE_STEPS", 10)
    tiny.start("run", "--epochs", "1", "--learning_rate", "1e-12", "--initializer", "gaussian")
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
    assert len(warnings) == 1
    assert "ln(10) = 2.303" in warnings[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--restore", "nowhere/"), "--restore=nowhere/: no such directory"),
        (("--restore", "."), "--restore=.: there is no run in this directory"),
        ((), "--mode=test needs --restore"),
    ],
)
def test_test_mode_says_what_is_missing(capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        tiny.run("--mode", "test", *arguments)
    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert message in error
    assert error.count("\n") == 1


def damaged_digits(keep: float) -> str:
    """A copy of the digits whose training shard is cut in the middle, its length declared accordingly."""
    tiny.start("first", "--dry_run")
    shutil.copytree("datasets/digits", "damaged")
    shard = Path("damaged/train-00000-of-00001.tfrecord")
    content = shard.read_bytes()
    shard.write_bytes(content[: int(len(content) * keep)] + bytes(len(content) - int(len(content) * keep)))
    return str(shard)


def test_a_shard_damaged_half_way_is_named(capsys):
    shard = damaged_digits(0.5)
    with pytest.raises(SystemExit) as caught:
        tiny.start("run", "--dataset", "damaged")
    error = capsys.readouterr().err
    assert caught.value.code == 1
    assert f"{Path(shard).name}: damaged at record" in error
    assert len([line for line in error.splitlines() if not line.startswith("searching ")]) == 1


def test_a_dry_run_prints_everything_and_writes_nothing(capsys):
    tiny.start("run", "--dry_run", "--label_smoothing", "0.125")
    out = capsys.readouterr().out
    assert not Path("run").exists()
    for text in ("tiny, 2,", "1,257 train, 180 validation, 360 test", "batch_size               64", "for 38 steps"):
        assert text in out
    assert "label_smoothing          0.125" in out
    assert out.splitlines()[-1].startswith("expecting ")


def test_training_may_start_from_another_runs_weights(capsys):
    tiny.start("first")
    best = json.loads(Path("first/results.json").read_text())
    tiny.start("second", "--restore", "first", "--epochs", "1", "--learning_rate", "1e-9", "--dropout", "0")
    assert "12 variables taken; new layers: none" in capsys.readouterr().out
    # At this rate nothing moves but batch norm's statistics.
    assert float(read_metrics("second")[-1]["top1"]) == pytest.approx(best["top1"], abs=0.1)
    assert float(read_metrics("second")[0]["loss"]) < 0.9 * float(read_metrics("first")[0]["loss"])


def events(folder: str) -> dict[str, list]:
    """Every value in a folder of TensorBoard's events, and the graph, by tag: (step, value)."""
    found = {}
    for path in Path(folder).glob("events.*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            if event.graph_def:
                found["graph"] = [(event.step, tf.compat.v1.GraphDef.FromString(event.graph_def))]
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value))
    return found


def number(value) -> float:
    return float(tf.make_ndarray(value.tensor))


def test_in_tensorboard_training_and_validation_share_their_charts():
    tiny.start("run", "--epochs", "1")
    train, validated = events("run/tensorboard/train"), events("run/tensorboard/validation")
    losses = {"data_loss", "l2_loss", "loss", "top1", "top5"}
    assert set(train) == losses | {"learning_rate", "images_per_second", "data_wait_share", "augmented_inputs"}
    assert set(validated) == losses | {"dead_units", "conv1"}
    assert [step for step, _ in train["loss"]] == [10, 19]
    assert all(number(value) > 0 for _, value in train["images_per_second"])
    rows = read_metrics("run")
    assert number(train["loss"][0][1]) == pytest.approx(float(rows[0]["loss"]))
    assert number(validated["top1"][0][1]) == pytest.approx(float(rows[-1]["top1"]))


def test_tensorboard_has_the_recipe_the_best_figures_and_the_graph():
    tiny.start("run", "--epochs", "1", "--learning_rate", "0.125")
    found = events("run/tensorboard")
    assert b"| learning_rate | 0.125 |" in tf.make_ndarray(found["recipe"][0][1].tensor).item()
    content = found["_hparams_/session_start_info"][0][1].metadata.plugin_data.content
    assert re.search(rb"learning_rate.{1,6}" + re.escape(struct.pack("<d", 0.125)), content, re.DOTALL)
    for name, value in ((b"arch", b"tiny"), (b"optimizer", b"momentum")):
        assert re.search(name + rb".{1,6}" + value, content, re.DOTALL)
    shown = found["_hparams_/experiment"][0][1].metadata.plugin_data.content
    best = read_metrics("run")[-1]
    for name, column in (("best_top1", "top1"), ("best_loss", "data_loss")):
        assert name.encode() in shown
        assert number(found[name][0][1]) == pytest.approx(float(best[column]))
    nodes = {node.name: list(node.input) for node in found["graph"][0][1].node}
    assert nodes["conv1_bn"] == ["conv1"]
    assert len(nodes) == 12


def test_histograms_of_the_weights_come_on_request():
    tiny.start("run", "--histograms")
    found = events("run/tensorboard/validation")
    assert [step for step, _ in found["fc/kernel"]] == [19, 38]
    edges = tf.make_ndarray(found["fc/kernel"][0][1].tensor)
    assert edges[:, 2].sum() == 64 * 10  # every weight is in one of the intervals


def test_help_answers_without_tensorflow():
    """Whose import takes several seconds; what is left is below one."""
    code = (
        "import sys, runpy\nsys.argv = ['alexnet.py', '--help']\n"
        "try:\n    runpy.run_path('alexnet.py', run_name='__main__')\n"
        "except SystemExit as stop:\n    print('code', stop.code, 'tensorflow' in sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.endswith("code 0 False\n")
    for flag in ("--mode", "--weight_decay", "--schedule_boundaries", "--restore", "--precision"):
        assert f"  {flag}" in result.stdout
