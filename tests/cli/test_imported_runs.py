"""A weight file in place of a run: tested, and trained on from."""

import hashlib
import io
import json
import lzma
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import foreign
import tiny
import train
from cli import flags, plan, setup
from data import prepare


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    tiny.register(monkeypatch, tmp_path)


@pytest.fixture
def cifar_file():
    state = foreign.resnet_state((3, 3, 3), stem=3, widths=(16, 32, 64), projections=False, classes=10)
    np.savez("resnet.npz", **state)
    return state


def test_a_weight_file_is_tested_like_a_run(cifar_file, capsys):
    arguments = ("--mode", "test", "--arch", "resnet20", "--restore", "resnet.npz")
    with pytest.raises(SystemExit) as caught:
        train.main("resnet34", list(arguments))
    assert caught.value.code == 2
    assert "--dataset is needed" in capsys.readouterr().err

    train.main("resnet34", [*arguments[:2], *arguments[4:], "--dataset", "digits"])
    (run,) = Path("ckpt/imported").glob("resnet20-resnet-*")
    results = json.loads((run / "results-digits.json").read_text())
    split = setup.open_data("digits", 0).splits["test"]
    pixels, labels = [], []
    for encoded, label, _ in split.serialized(None).map(split.parse).as_numpy_iterator():
        picture = Image.open(io.BytesIO(encoded)).convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)
        pixels.append(np.asarray(picture, np.float64) / 255)
        labels.append(label)
    x = (np.stack(pixels) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    scores = foreign.resnet(cifar_file, x.transpose(0, 3, 1, 2))
    assert results["images"] == 360
    assert results["top1"] == pytest.approx(np.mean(scores.argmax(1) == labels))
    scores -= scores.max(1, keepdims=True)
    losses = np.log(np.exp(scores).sum(1)) - scores[np.arange(360), labels]
    assert results["loss"] == pytest.approx(losses.mean(), rel=1e-4)


def test_a_file_for_other_classes_is_said_to_be_so(capsys):
    state = foreign.resnet_state((3, 3, 3), stem=3, widths=(16, 32, 64), projections=False, classes=7)
    np.savez("seven.npz", **state)
    with pytest.raises(SystemExit):
        train.main("resnet34", ["--mode", "test", "--restore", "seven.npz", "--dataset", "digits"])
    error = capsys.readouterr().err
    assert "10 classes" in error
    assert "are for 7" in error


def started(*more):
    """The configuration of a training that starts from the weight file."""
    return plan.make(flags.parse(["--mode", "train", "--restore", "resnet.npz", *more]), "resnet34").config


def test_training_on_brings_the_preprocessing_along(cifar_file):
    config = started()
    assert config.arch == "resnet20"  # as in the file: --arch is not given
    assert config.preprocessing["mean"] == pytest.approx((123.675, 116.28, 103.53))
    assert config.preprocessing["std"] == pytest.approx((58.395, 57.12, 57.375))
    assert config.preprocessing["interpolation"] == "lab"  # as the training pictures
    assert config.imported is None
    assert config.started_from == {
        "path": os.path.abspath("resnet.npz"),
        "sha256": hashlib.sha256(Path("resnet.npz").read_bytes()).hexdigest(),
    }
    own = started("--arch", "resnet20", "--mean", "channel").preprocessing
    assert own["mean"] == tuple(setup.open_data("digits", 0).info.mean)
    assert own["std"] == pytest.approx((58.395, 57.12, 57.375))
    assert not Path("ckpt").exists()  # what is only looked at is not written


REAL = os.environ.get("REAL_DATA_DIR")


@pytest.mark.slow
@pytest.mark.skipif(not REAL or not Path(REAL, "resnet20-cifar10.npz").exists(), reason="REAL_DATA_DIR is not set")
def test_the_published_resnet20_reaches_its_accuracy_on_cifar10():
    with lzma.open(Path(REAL, "cifar10.npz.xz")) as packed, np.load(io.BytesIO(packed.read())) as arrays:
        few = slice(0, None, 500)
        chosen = {"x_train": arrays["x_train"][few], "y_train": arrays["y_train"][few]}
        np.savez("cifar10.npz", **chosen, **{name: arrays[name] for name in ("x_test", "y_test", "classes")})
    assert prepare.main(["--source", "cifar10.npz", "--out", "cifar10", "--workers", "0"]) == 0
    file = str(Path(REAL, "resnet20-cifar10.npz"))
    train.main("resnet34", ["--mode", "test", "--restore", file, "--dataset", "cifar10"])
    (run,) = Path("ckpt/imported").glob("resnet20-*")
    results = json.loads((run / "results-cifar10.json").read_text())
    assert results["images"] == 10_000
    assert results["top1"] == pytest.approx(0.9173, abs=0.0005)
