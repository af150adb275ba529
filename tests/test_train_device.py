"""`--device_normalise on`: the program trains and tests on bytes, and says and keeps what it does."""

import json
from pathlib import Path

import numpy as np
import pytest

import tiny
from common import distribution
from common.runs import config as runs


@pytest.fixture
def here(tmp_path, monkeypatch):
    tiny.register(monkeypatch, tmp_path)
    return tmp_path


SHORT = ("--epochs=1", "--noreport")


@pytest.mark.slow
def test_a_run_on_bytes_keeps_them_and_rounds_by_little(here, capsys):
    """Brightness and contrast leave 0..255 and are done in the step; digits are resized to 16 pixels, and rounded."""
    light = ("--brightness=0.1", "--contrast=0.1")
    tiny.start("plain", *SHORT, *light)
    assert "normalising bytes" not in capsys.readouterr().out
    tiny.start("bytes", *SHORT, *light, "--device_normalise=on")
    assert "normalising bytes" in capsys.readouterr().out
    assert [runs.read(Path(run)).device_normalise for run in ("plain", "bytes")] == ["off", "on"]
    losses = [
        np.loadtxt(Path(run, "metrics.csv"), delimiter=",", skiprows=1, usecols=4)[:5] for run in ("plain", "bytes")
    ]
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.05)
    assert (losses[0] != losses[1]).any()


def test_what_bytes_cannot_say_is_one_line(here, capsys, monkeypatch):
    both = ("--brightness=0.1", "--mixup=0.2")
    with pytest.raises(SystemExit) as ended:
        tiny.start("run", *SHORT, *both, "--device_normalise=on")
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--device_normalise=on: --contrast, --brightness and --pca_lighting come before" in error


@pytest.mark.slow
def test_what_keeps_a_gpu_from_it_is_said(here, capsys, monkeypatch):
    monkeypatch.setattr(distribution, "normalises", lambda name: True)
    tiny.start("run", *SHORT, "--brightness=0.1", "--mixup=0.2")
    assert "note: pictures are normalised before they go to the device: --contrast" in capsys.readouterr().out
    assert runs.read(Path("run")).device_normalise == "off"


@pytest.mark.slow
def test_resuming_keeps_the_place_unless_another_is_asked_for(here, capsys):
    tiny.start("run", *SHORT, "--device_normalise=on")
    tiny.start("run", *SHORT)
    with pytest.raises(SystemExit):
        tiny.start("run", *SHORT, "--device_normalise=off")
    assert "device_normalise: on -> off" in capsys.readouterr().err


@pytest.mark.slow
def test_tests_features_and_predictions_take_bytes_too(here, capsys):
    tiny.start("run", *SHORT)
    figures, features = [], []
    for where in ("off", "on"):
        tiny.run("--mode=test", "--restore=run", "--noreport", f"--device_normalise={where}")
        figures.append(json.loads(Path("run/results.json").read_text()))
        tiny.run("--mode=features", "--restore=run", f"--out={where}", f"--device_normalise={where}")
        with np.load(Path(where, "features.npz")) as found:
            features.append(found["features"])
    assert figures[0]["top1"] == pytest.approx(figures[1]["top1"], abs=0.01)
    assert figures[0]["loss"] == pytest.approx(figures[1]["loss"], rel=0.01)
    np.testing.assert_allclose(features[1], features[0], atol=0.05 * np.abs(features[0]).max())
