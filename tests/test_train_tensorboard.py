"""What a run writes for TensorBoard."""

import re
import struct

import pytest
import tensorflow as tf

import tiny
from training_runs import events, read_metrics


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, tmp_path):
    tiny.register(monkeypatch, tmp_path)


def number(value) -> float:
    return float(tf.make_ndarray(value.tensor))


def test_in_tensorboard_training_and_validation_share_their_charts():
    tiny.start("run", "--epochs", "1")
    train, validated = events("run/tensorboard/train"), events("run/tensorboard/validation")
    losses = {"data_loss", "l2_loss", "loss", "top1", "top5"}
    assert set(train) == losses | {"learning_rate", "images_per_second", "data_wait_share", "augmented_inputs"}
    assert set(validated) == losses | {"dead_units", "balanced_accuracy", "conv1"}
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


@pytest.mark.slow
def test_histograms_of_the_weights_and_norms_of_the_gradients_come_on_request():
    tiny.start("run", "--histograms", "--log_gradients")
    rows = read_metrics("run")
    found = events("run/tensorboard/train")
    for tag in ("global_gradient_norm", "gradient_norm/conv1/kernel", "update_ratio/fc/kernel"):
        assert [step for step, _ in found[tag]] == [10, 19, 20, 30, 38]
        assert all(0 < number(value) < 1e4 for _, value in found[tag])
    tiny.start("plain")
    assert [float(row["loss"]) for row in read_metrics("plain")] == pytest.approx([float(row["loss"]) for row in rows])
    found = events("run/tensorboard/validation")
    assert [step for step, _ in found["fc/kernel"]] == [19, 38]
    edges = tf.make_ndarray(found["fc/kernel"][0][1].tensor)
    assert edges[:, 2].sum() == 64 * 10  # every weight is in one of the intervals
