import numpy as np
import pytest
import tensorflow as tf

import tiny
from common import distribution
from common.nn import metrics
from common.training import validation


def test_correct_takes_the_lower_class_in_a_tie():
    scores = tf.constant([[1.0, 3.0, 3.0], [5.0, 0.0, 1.0]])
    assert metrics.correct(tf.constant([1, 0]), scores, 1).numpy().tolist() == [True, True]
    assert metrics.correct(tf.constant([2, 2]), scores, 1).numpy().tolist() == [False, False]
    assert metrics.correct(tf.constant([2, 1]), scores, 2).numpy().tolist() == [True, False]
    assert metrics.correct(tf.constant([0, 1]), scores, 5).numpy().tolist() == [True, True]


def test_counts_are_exact_with_a_ragged_last_batch():
    random = np.random.default_rng(0)
    scores = random.normal(size=(11, 7)).astype(np.float32)
    labels = random.integers(0, 7, 11).astype(np.int32)
    padded_scores, padded_labels = np.zeros((12, 7), np.float32), np.zeros(12, np.int32)
    padded_scores[:11], padded_labels[:11] = scores, labels
    valid, index = np.arange(12) < 11, np.arange(12)
    batches = tf.data.Dataset.from_tensor_slices((padded_scores, padded_labels, valid, index)).batch(4)
    devices = distribution.choose("one")
    step = validation.make_eval_step(lambda images, training: images, devices)  # the images are the logits
    found = validation.evaluate(step, batches, split=None)

    ranks = np.argsort(-scores, axis=1)
    log_softmax = scores - np.log(np.exp(scores.astype(np.float64)).sum(1, keepdims=True))
    assert found.images == 11
    assert found.top1 == np.mean(ranks[:, 0] == labels)
    assert found.top5 == np.mean([label in rank[:5] for label, rank in zip(labels, ranks, strict=True)])
    np.testing.assert_allclose(found.loss, -np.mean(log_softmax[np.arange(11), labels]), rtol=1e-6)
    recalls = [np.mean(ranks[labels == label, 0] == label) for label in np.unique(labels)]
    assert found.balanced_accuracy == pytest.approx(np.mean(recalls), rel=1e-12)


def test_the_line():
    found = metrics.Metrics(0.99722, 1.0, 0.01234, 360, 1.5)
    assert found.line("test", 6) == "test top1 0.9972 top5 1.0000 loss 0.0123 images 360"
    assert found.line("test", 5) == "test top1 0.9972 loss 0.0123 images 360"  # the first five are all of them


def test_balanced_accuracy_is_the_mean_recall_and_printed_where_classes_are_unequal():
    """90 of 100, 2 of 4 and none of no images: (0.9 + 0.5) / 2, where top-1 is 92 of 104."""
    found = metrics.of_classes(np.array([90, 2, 0]), np.array([100, 4, 0]), 1.0, 0.25, 1.5)
    assert found.balanced_accuracy == pytest.approx(0.7)
    assert found.top1 == pytest.approx(92 / 104)
    assert found.images == 104
    assert found.line("test", 3) == "test top1 0.8846 balanced_accuracy 0.7000 loss 0.2500 images 104"
    assert list(found.figures(7)) == ["top1", "balanced_accuracy", "top5", "loss"]
    twice = metrics.of_classes(np.array([3, 2]), np.array([4, 2]), 1.0, 0.25, 1.5)
    assert twice.balanced_accuracy == pytest.approx(0.875)
    assert twice.line("test", 2) == "test top1 0.8333 loss 0.2500 images 6"
    nothing = metrics.of_classes(np.zeros(3), np.zeros(3), 0.0, 0.0, 1.5)
    assert (nothing.top1, nothing.balanced_accuracy, nothing.images) == (0.0, 0.0, 0)


def test_of_shares_the_largest_counts_and_of_equals_the_lower_class():
    shares = tf.constant([[0.2, 0.8, 0.0], [0.5, 0.0, 0.5], [0.0, 0.4, 0.6]])
    assert metrics.largest_share(shares).numpy().tolist() == [1, 0, 2]
    assert metrics.largest_share(tf.constant([2, 0])).numpy().tolist() == [2, 0]


def test_a_pass_that_is_told_to_stop_has_no_result():
    images = tf.zeros((12, 3))
    batches = tf.data.Dataset.from_tensor_slices((images, [0] * 12, [True] * 12, range(12))).batch(4)
    step, asked = validation.make_eval_step(lambda images, training: images, distribution.choose("one")), []

    def stopping(number):
        asked.append(number)
        return number == 2

    assert validation.evaluate(step, batches, None, stopping) is None
    assert asked == [0, 1, 2]


def test_batch_norm_settles_in_five_time_constants():
    assert validation.settling_steps(tiny.build()) == 50  # momentum 0.9
    assert validation.settling_steps(tiny.build(norm="none")) == 0
    frozen = tiny.build()
    for name in ("conv1_bn", "conv2_bn"):
        frozen.get_layer(name).trainable = False
    assert validation.settling_steps(frozen) == 0
