import dataclasses
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import tiny
from cli import setup
from common import distribution
from common.training import logger, validation
from training_runs import last_line, read_metrics, same_weights, weights

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, tmp_path):
    tiny.register(monkeypatch, tmp_path)


@pytest.mark.parametrize("ema", ["0", pytest.param("0.9", marks=pytest.mark.slow)])
def test_the_test_command_repeats_the_figure_of_the_training(capsys, ema):
    tiny.start("ckpt/tiny", "--ema", ema)
    printed = last_line(capsys)
    trained = json.loads(Path("ckpt/tiny/results.json").read_text())
    tiny.run("--mode", "test", "--arch", "tiny", "--restore", "ckpt/")
    assert last_line(capsys) == printed
    tested = json.loads(Path("ckpt/tiny/results.json").read_text())
    measured = {"dataset", "split", "crops", "scales", "checkpoint", "top1", "balanced_accuracy", "top5", "loss"}
    measured |= {"images", "calibration_error"}
    clocked = {"seconds", "images_per_second"}
    assert set(tested) == measured | clocked
    assert {name: tested[name] for name in measured} == {name: trained[name] for name in measured}
    assert (tested["split"], tested["images"]) == ("test", 360)
    assert printed == f"test top1 {tested['top1']:.4f} top5 {tested['top5']:.4f} loss {tested['loss']:.4f} images 360"
    assert tested["top1"] > 0.2  # guessing: 0.1


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_seed_decides_everything():
    tiny.start("one", "--epochs", "1", "--seed", "3")
    tiny.start("same", "--epochs", "1", "--seed", "3")
    tiny.start("other", "--epochs", "1", "--seed", "4")
    assert Path("one/metrics.csv").read_bytes() == Path("same/metrics.csv").read_bytes()
    assert same_weights("one", "same")
    assert Path("one/metrics.csv").read_bytes() != Path("other/metrics.csv").read_bytes()
    assert not same_weights("one", "other")


@pytest.mark.slow
def test_the_best_is_the_highest_top1_and_among_equals_the_lowest_loss(monkeypatch):
    validated = iter([(0.5, 1.0), (0.75, 0.9), (0.75, 0.7), (0.75, 0.8), (0.7, 0.1)])
    real = validation.evaluate

    def evaluate(step, batches, split, stopping):
        top1, loss = next(validated)
        return dataclasses.replace(real(step, batches, split, stopping), top1=top1, loss=loss)

    monkeypatch.setattr(validation, "evaluate", evaluate)
    tiny.start("run", "--epochs", "5")
    assert json.loads(Path("run/results.json").read_text())["checkpoint"] == "run/checkpoints/step-00000057"


@pytest.mark.slow
def test_young_batch_norms_are_validated_but_not_ranked(monkeypatch, capsys):
    """Momentum 0.9 settles in 50 steps; here an epoch has 19. The highest top-1 comes at step 19.

    The plateau, whose patience is 3, does not count from there either.
    """
    validated = iter([(0.9, 0.1), (0.8, 0.1), (0.5, 1.0), (0.4, 1.0)])
    real = validation.evaluate

    def evaluate(step, batches, split, stopping):
        top1, loss = next(validated)
        return dataclasses.replace(real(step, batches, split, stopping), top1=top1, loss=loss)

    monkeypatch.setattr(validation, "evaluate", evaluate)
    tiny.start("run", "--epochs", "4")
    out = capsys.readouterr().out
    assert "learning rate 0.02 ->" not in out
    lines = [line for line in out.splitlines() if ": validation top1" in line]
    assert [line.split("images 180")[1] for line in lines] == [
        ", not ranked: batch norm's moving statistics settle in 50 steps, so far there were 19",
        ", not ranked: batch norm's moving statistics settle in 50 steps, so far there were 38",
        ", the best so far",
        "",
    ]
    assert json.loads(Path("run/results.json").read_text())["checkpoint"] == "run/checkpoints/step-00000057"


@pytest.mark.slow
def test_without_batch_norm_every_validation_is_ranked(capsys):
    tiny.start("run", "--arch", "tiny_plain", "--epochs", "1")
    assert ", the best so far" in capsys.readouterr().out


def test_the_start_says_what_the_run_is_too_short_for_and_which_part_trains_at_which_rate(capsys):
    tiny.start("first", "--schedule", "piecewise", "--schedule_boundaries", "30,32000,48000")
    assert "\nnote: piecewise drops at 32,000 and 48,000 steps, but the run has 38\n" in capsys.readouterr().out
    tiny.start("second", "--restore", "first", "--epochs", "1", "--freeze", "conv1", "--head_learning_rate", "0.125")
    assert "\ntraining conv1 frozen; conv1_bn to conv2_bn (3 layers) at 0.02; fc at 0.125\n" in capsys.readouterr().out


@pytest.mark.slow
def test_a_loss_at_chance_is_said_once(monkeypatch, capsys):
    monkeypatch.setattr(logger, "CHANCE_STEPS", 10)
    tiny.start("run", "--epochs", "1", "--learning_rate", "1e-12", "--initializer", "gaussian")
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
    assert len(warnings) == 1
    assert "ln(10) = 2.303" in warnings[0]


@pytest.mark.slow
def test_the_start_says_why_auto_chose_the_precision(monkeypatch, capsys):
    def devices_line(*more):
        tiny.start("precise", "--dry_run", *more)
        return next(line for line in capsys.readouterr().out.splitlines() if line.startswith("devices"))

    monkeypatch.setattr(distribution, "bfloat16_units", lambda: None)
    assert devices_line().endswith("one CPU, float32 (auto: nothing here is faster in bfloat16)")
    assert devices_line("--precision", "float32").endswith("one CPU, float32")
    monkeypatch.setattr(distribution, "bfloat16_units", lambda: "AVX-512 BF16")
    assert devices_line("--precision", "float32").endswith("one CPU, float32")
    monkeypatch.setattr(setup, "build_model", partial(in_float32, setup.build_model))  # it may not compute in bfloat16
    assert devices_line().endswith("one CPU, mixed_bfloat16 (auto: AVX-512 BF16 is faster in it)")


def in_float32(build, architecture, config):
    return build(architecture, dataclasses.replace(config, precision="float32"))


def test_a_dry_run_prints_everything_and_writes_nothing(capsys):
    tiny.start("run", "--dry_run", "--label_smoothing", "0.125")
    out = capsys.readouterr().out
    assert not Path("run").exists()
    for text in ("tiny, 2,", "1,257 train, 180 validation, 360 test", "batch_size: 64", "for 38 steps"):
        assert text in out
    assert "label_smoothing: 0.125" in out
    assert out.splitlines()[-1].startswith("expecting ")


@pytest.mark.slow
def test_training_may_start_from_another_runs_weights(capsys):
    tiny.start("first")
    best = json.loads(Path("first/results.json").read_text())
    tiny.start("second", "--restore", "first", "--epochs", "1", "--learning_rate", "1e-9", "--dropout", "0")
    assert "12 variables taken; new layers: none" in capsys.readouterr().out
    # At this rate nothing moves but batch norm's statistics.
    assert float(read_metrics("second")[-1]["top1"]) == pytest.approx(best["top1"], abs=0.1)
    assert float(read_metrics("second")[0]["loss"]) < 0.9 * float(read_metrics("first")[0]["loss"])


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
