import csv
import dataclasses
import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tiny
from common.runs import checkpoints, locks
from common.training import logger, trainer, validation
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


def read_metrics(run: str) -> list[dict]:
    with open(Path(run) / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("ema", ["0", pytest.param("0.9", marks=pytest.mark.slow)])
def test_the_test_command_repeats_the_figure_of_the_training(capsys, ema):
    tiny.start("ckpt/tiny", "--ema", ema)
    printed = last_line(capsys)
    trained = json.loads(Path("ckpt/tiny/results.json").read_text())
    tiny.run("--mode", "test", "--arch", "tiny", "--restore", "ckpt/")
    assert last_line(capsys) == printed
    tested = json.loads(Path("ckpt/tiny/results.json").read_text())
    measured = {"split", "crops", "scales", "checkpoint", "top1", "top5", "loss", "images", "calibration_error"}
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

    def evaluate(step, batches, split):
        metrics = real(step, batches, split)
        if metrics.images == 360:
            return metrics
        top1, loss = next(validated)
        return dataclasses.replace(metrics, top1=top1, loss=loss)

    monkeypatch.setattr(validation, "evaluate", evaluate)
    tiny.start("run", "--epochs", "5")
    assert json.loads(Path("run/results.json").read_text())["checkpoint"] == "run/checkpoints/step-00000057"


@pytest.mark.parametrize("ema", ["0", pytest.param("0.9", marks=pytest.mark.slow)])
def test_an_interrupted_run_ends_like_an_undisturbed_one(monkeypatch, ema):
    settings = ("--save_every", "5", "--log_every", "4", "--schedule", "cosine", "--ema", ema)
    tiny.start("whole", *settings)

    class Killed(BaseException):
        pass

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


def test_a_signal_saves_at_the_next_step_and_says_how_to_go_on(monkeypatch, capsys):
    tiny.start("whole")
    real = logger.Interval.add

    def add(self, values):
        real(self, values)
        if self.state.step == 5:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(logger.Interval, "add", add)
    tiny.start("stopped")
    said = last_line(capsys)
    assert said.startswith("stopped at step 6 of 38, saved; go on with: python alexnet.py")
    assert checkpoints.newest(Path("stopped")).step == 6
    monkeypatch.setattr(logger.Interval, "add", real)
    tiny.start("stopped")
    assert Path("stopped/metrics.csv").read_bytes() == Path("whole/metrics.csv").read_bytes()
    assert same_weights("stopped", "whole")


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
    class Killed(BaseException):
        pass

    def die(job, state):
        raise Killed

    tiny.start("whole", "--log_every", "4")
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save", die)
        with pytest.raises(Killed):
            tiny.start("killed", "--log_every", "4")
    assert len(read_metrics("killed")) == 6
    Path("killed/.config.json.4711").write_text("{")  # as a kill in the midst of writing it leaves
    tiny.start("killed", "--log_every", "4")
    assert Path("killed/metrics.csv").read_bytes() == Path("whole/metrics.csv").read_bytes()
    assert same_weights("killed", "whole")
    assert not Path("killed/.config.json.4711").exists()
    assert len(list(Path("killed/tensorboard").glob("events.*"))) == 1


@pytest.mark.parametrize("where", ["checkpoints.save", pytest.param("MetricsFile.add", marks=pytest.mark.slow)])
def test_a_full_disk_is_one_line_and_leaves_the_last_checkpoint(monkeypatch, capsys, where):
    """TensorFlow's and Python's ways of saying ENOSPC, while the second checkpoint or row is written."""
    owner, name = {"checkpoints.save": (tf.train.Checkpoint, "write"), "MetricsFile.add": (MetricsFile, "add")}[where]
    real, calls = getattr(owner, name), []

    def full(*arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            if owner is MetricsFile:
                raise OSError(errno.ENOSPC, "No space left on device")
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
    assert error.count("\n") == 1


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


def test_tensorboard_holds_every_curve_and_picture():
    tiny.start("run", "--epochs", "1")
    found = {}
    for path in Path("run/tensorboard").glob("events.*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, tf.make_ndarray(value.tensor)))
    losses = {"data_loss", "l2_loss", "loss", "top1", "top5"}
    wanted = {f"{split}/{name}" for split in ("train", "validation") for name in losses}
    wanted |= {
        "run/learning_rate",
        "run/images_per_second",
        "run/data_wait_share",
        "recipe",
        "augmented_inputs",
        "conv1",
    }
    assert wanted <= set(found)
    assert [step for step, _ in found["train/loss"]] == [10, 19]
    assert all(value > 0 for _, value in found["run/images_per_second"])
    rows = read_metrics("run")
    assert float(found["validation/top1"][0][1]) == pytest.approx(float(rows[-1]["top1"]))
    assert b"learning_rate | 0.02" in found["recipe"][0][1].item()


def test_help_answers_fast_and_without_tensorflow():
    code = (
        "import sys, runpy\nsys.argv = ['alexnet.py', '--help']\n"
        "try:\n    runpy.run_path('alexnet.py', run_name='__main__')\n"
        "except SystemExit as stop:\n    print('code', stop.code, 'tensorflow' in sys.modules)\n"
    )
    start = time.perf_counter()
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert time.perf_counter() - start < 10  # a second on a quiet machine; TensorFlow's import alone is several
    assert result.stdout.endswith("code 0 False\n")
    for flag in ("--mode", "--weight_decay", "--schedule_boundaries", "--restore", "--precision"):
        assert f"  {flag}" in result.stdout
