"""What follows training, on a network of each file of the residual families: features, export, training on."""

from pathlib import Path

import numpy as np
import pytest

import images
import train
from cli import registry, setup
from common.runs import checkpoints
from common.runs import config as runs

NETWORKS = (
    ("inception_v2", 33),
    ("inception_v3", 107),
    ("preresnet50", 33),
    ("wrn16_8", 8),
    ("resnext50_32x4d", 33),
    ("resnet110_stochastic_depth", 8),
    ("se_resnet20", 8),
)


def weights(run):
    """Of a run's best checkpoint, by variable."""
    config = runs.read(Path(run))
    model = setup.build_model(registry.find(config.arch), config)
    checkpoints.restore_weights(checkpoints.best(Path(run)), model)
    return {variable.path: variable.numpy() for variable in model.trainable_variables}


@pytest.mark.slow
@pytest.mark.parametrize(("arch", "size"), NETWORKS)
def test_features_export_and_training_on(monkeypatch, tmp_path, capsys, arch, size):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train.py"])
    images.tree(Path("pictures"), {"ash": 20, "elm": 20, "oak": 20})
    images.tree(Path("others"), dict.fromkeys("abcde", 12), seed=500)
    steps = ["--batch_size", "8", "--epochs", "1", "--validation_share", "0.2"]

    def run(mode, *arguments):
        train.main(None, ["--mode", mode, *arguments])

    run("train", "--arch", arch, "--image_size", str(size), "--dataset", "pictures", "--ckpt", "run", *steps)
    run("features", "--restore", "run", "--out", "features")
    run("export", "--restore", "run", "--export_format", "saved_model,keras,tflite,onnx", "--out", "files", "--verify")
    run("train", "--restore", "run", "--freeze", "conv", "--dataset", "others", "--ckpt", "further", *steps)
    run("summary", "--arch", arch, "--image_size", str(size), "--classes", "7")

    found = np.load("features/features.npz")["features"]
    assert np.isfinite(found).all()
    assert found.shape[1] == registry.find(arch).build(classes=3, image_size=size).get_layer("fc").kernel.shape[0]
    before, after = weights("run"), weights("further")
    assert after["fc/kernel"].shape[1] == 5
    for name in after.keys() & before.keys():
        if not name.startswith(("fc/", "aux_")):
            np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    assert f"{size}x{size}x3 -> 7 classes" in capsys.readouterr().out
