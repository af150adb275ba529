import json
import math
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import resnet34
import train
from cli import registry
from common import distribution
from common.training import trainer
from zoo import stochastic_depth


@pytest.mark.slow
def test_the_network_is_resnet110_with_its_blocks_at_risk():
    architecture = registry.find("resnet110_stochastic_depth")
    model = architecture.build(classes=10, image_size=8)
    survivals = [layer.survival for layer in model.layers if layer.name.endswith("_survival")]

    assert len(survivals) == 54
    assert (survivals[0], survivals[26], survivals[53]) == pytest.approx((1 - 0.5 / 54, 0.75, 0.5))
    assert sum(survivals) == pytest.approx(40.25)
    assert architecture.defaults["stochastic_depth"] == 0.5


def test_recipe():
    recipe = stochastic_depth.RECIPE
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate, recipe.weight_decay) == (500, 128, 0.1, 1e-4)
    assert (recipe.optimizer, recipe.momentum, recipe.schedule_factor) == ("nesterov", 0.9, 0.1)
    assert recipe.schedule_boundaries == (250 * (45000 // 128), 375 * (45000 // 128))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(
    ("arch", "size", "options"),
    [
        ("resnet50", 33, {}),
        ("preresnet50", 33, {}),
        ("resnet50v2", 33, {}),
        ("wrn16_8", 8, {"dropout": 0.3}),
        ("wide_resnet50_2", 33, {}),
        ("resnext50_32x4d", 33, {}),
        ("se_resnet50", 33, {}),
        ("resnet20", 8, {"shortcut": "dropout", "norm": "group"}),
    ],
)
def test_every_kind_of_block_may_be_left_out(arch, size, options, precision):
    """A step in which nearly all late blocks are: finite, the last one without a gradient, the first layer with one."""
    keras.utils.set_random_seed(1)
    with distribution.precision(precision):
        model = registry.find(arch).build(classes=5, image_size=size, stochastic_depth=0.01, **options)
    last = [layer.name for layer in model.layers if layer.name.endswith("_survival")][-1].removesuffix("_survival")
    images = tf.random.stateless_normal((4, size, size, 3), [1, 2])

    @tf.function
    def step(images):
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits([0, 1, 2, 3], logits))
        return loss, tape.gradient(loss, model.trainable_variables)

    loss, gradients = step(images)

    assert np.isfinite(loss)
    found = {variable.path: np.abs(g.numpy()) for variable, g in zip(model.trainable_variables, gradients, strict=True)}
    assert all(np.isfinite(g).all() for g in found.values())
    assert found[f"{last}_conv2/kernel"].max() == 0
    assert found["conv1/kernel"].max() > 0


def run(*arguments):
    small = ["--arch", "resnet20", "--image_size", "8", "--batch_size", "64", "--epochs", "2"]
    train.main("resnet34", ["--mode", "train", *small, "--stochastic_depth", "0.5", *arguments])


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["resnet34.py"])


class KilledError(Exception):
    pass


@pytest.mark.slow
def test_a_run_that_was_killed_ends_like_an_undisturbed_one(monkeypatch):
    """The blocks that are left out are drawn from a state that checkpoints keep."""
    run("--ckpt", "whole", "--save_every", "5")
    save = trainer.save

    def save_and_die(job, state):
        folder = save(job, state)
        if state.step == 5:
            raise KilledError
        return folder

    monkeypatch.setattr(trainer, "save", save_and_die)
    with pytest.raises(KilledError):
        run("--ckpt", "killed", "--save_every", "5")
    run("--ckpt", "killed", "--save_every", "5")

    assert Path("killed/metrics.csv").read_bytes() == Path("whole/metrics.csv").read_bytes()
    assert json.loads(Path("killed/config.json").read_text())["options"]["stochastic_depth"] == 0.5


def test_xla_is_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        run("--jit")
    assert caught.value.code == 2
    assert "--jit: XLA has no batches without images" in capsys.readouterr().err


@pytest.mark.slow
def test_all_replicas_leave_out_the_same_blocks():
    """With the statistics of the global batch, a block that only one of them left out would have none."""
    settings = ["--arch=resnet20", "--image_size=8", "--batch_size=64", "--epochs=3", "--stochastic_depth=0.5"]
    devices = ["--strategy=mirrored", "--virtual_devices=2", "--batch_norm=global"]
    script = Path(resnet34.__file__)
    done = subprocess.run([sys.executable, script, "--mode=train", *settings, *devices], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = json.loads(Path("ckpt/resnet20/results.json").read_text())
    assert math.isfinite(results["loss"])
    assert results["top1"] > 0.2
