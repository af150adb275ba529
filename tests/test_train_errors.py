"""What `--mode train` and `--mode test` refuse, and how: one line, the exit code, nothing lost."""

import errno
import os
import shutil
import socket
from pathlib import Path

import pytest
import tensorflow as tf

import tiny
from cli import budget
from common.runs import checkpoints, locks
from common.training.metrics_file import MetricsFile
from training_runs import same_weights


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, tmp_path):
    tiny.register(monkeypatch, tmp_path)


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


def damaged_digits(keep: float, split: str = "train") -> str:
    """A copy of the digits of which a split's shard has nothing but zeros behind the share `keep`, its length kept."""
    tiny.start("first", "--dry_run")
    shutil.copytree("datasets/digits", "damaged")
    shard = Path(f"damaged/{split}-00000-of-00001.tfrecord")
    content = shard.read_bytes()
    shard.write_bytes(content[: int(len(content) * keep)] + bytes(len(content) - int(len(content) * keep)))
    return str(shard)


@pytest.mark.parametrize(
    ("split", "more"),
    [
        ("train", ("--dry_run",)),
        pytest.param("train", ("--minutes", "5"), marks=pytest.mark.slow),
        ("validation", ("--minutes", "5")),
        ("train", ("--class_weight", "balanced", "--validation_share", "0")),  # which counts the images of each class
    ],
)
def test_damage_that_is_met_before_the_training_is_named_too(monkeypatch, capsys, split, more):
    monkeypatch.setattr(budget, "STEPS", 2)
    shard = damaged_digits(0.0, split)
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        tiny.start("run", "--dataset", "damaged", "--schedule", "constant", *more)
    error = capsys.readouterr().err
    assert caught.value.code == 1
    assert f"{Path(shard).name}: damaged at record 0" in error
    assert len([line for line in error.splitlines() if not line.startswith("searching ")]) == 1
    assert not Path("run").exists()


def test_a_shard_damaged_half_way_is_named(capsys):
    shard = damaged_digits(0.5)
    with pytest.raises(SystemExit) as caught:
        tiny.start("run", "--dataset", "damaged")
    error = capsys.readouterr().err
    assert caught.value.code == 1
    assert f"{Path(shard).name}: damaged at record" in error
    assert len([line for line in error.splitlines() if not line.startswith("searching ")]) == 1
