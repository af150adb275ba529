"""The spread of untrained activations against a second way to compute it."""

import json
import random

import numpy as np
import tensorflow as tf

from cli import registry
from experiments import spread


def test_the_first_layers_spread_is_that_of_its_convolution(tmp_path):
    images = spread.pictures(32)
    assert images.shape == (64, 32, 32, 3)
    assert abs(images.mean()) < 1e-3
    random.seed(3)  # LeNet-5 averages the colours and divides by 200 first
    kernel = registry.find("lenet5").build(classes=10, image_size=32, initializer="he").get_layer("c1").kernel
    by_hand = tf.nn.conv2d(images[..., :1] / 200, kernel, 1, "VALID").numpy()
    random.seed(3)
    found = spread.spread("lenet5", "he", images)
    assert [number for number, _ in found] == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(found[0][1], by_hand.std(), rtol=1e-3)


def test_small_weights_let_the_signal_die(tmp_path):
    spread.main(["--arch", "lenet5", "--initializer", "gaussian,he", "--ckpt", str(tmp_path / "run")])
    curves = json.loads((tmp_path / "run/results.json").read_text())["curves"]
    small, he = (dict(curves[f"lenet5-{name}"]) for name in ("gaussian", "he"))
    assert he[5] > 100 * small[5]
    assert he[5] > he[1] / 10
