import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import tiny
from common.nn import losses, metrics
from common.recipe import Recipe
from common.training import run_state, trainer
from data.digits import load
from jobs import make_job


def made_job(recipe: Recipe) -> run_state.Job:
    keras.utils.set_random_seed(0)
    return make_job(tiny.build(initializer="he", dropout=0.0), recipe)


@pytest.fixture(scope="module")
def digits():
    images, labels = load()
    images = tf.image.resize(images[:64].astype(np.float32) - 128.0, (16, 16))
    return images, tf.constant(labels[:64], tf.int32)


def test_one_batch_is_learnt_by_heart(digits):
    recipe = Recipe(batch_size=64, learning_rate=0.01, weight_decay=0.0, epochs=1)
    made = made_job(recipe)
    step = trainer.make_train_step(made)
    results = [step(*digits).numpy() for _ in range(120)]
    assert results[0][0] > np.log(10) - 0.5
    assert results[-1][0] < 0.05
    assert results[-1][3] == 1.0  # top-1 of the batch


def test_a_step_is_the_slides_formula(digits):
    """v = 0.9 v + g and w -= a v with g of cross-entropy / N + lambda/2 ||W||^2."""
    recipe = Recipe(batch_size=64, learning_rate=0.01, momentum=0.9, weight_decay=0.1, epochs=1)
    made = made_job(recipe)
    kernel = made.model.get_layer("fc").kernel
    before, bias = kernel.numpy().astype(np.float64), made.model.get_layer("fc").bias.numpy().astype(np.float64)
    inside = keras.Model(made.model.inputs, made.model.get_layer("fc").input)
    # Training mode, so that batch norm sees the batch; its moving statistics do not enter.
    features = inside(digits[0], training=True).numpy().astype(np.float64)
    scores = features @ before + bias
    shares = np.exp(scores - scores.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    one_hot = np.eye(10)[digits[1].numpy()]
    gradient = features.T @ (shares - one_hot) / 64 + 0.1 * before
    others = sum(
        np.sum(v.numpy().astype(np.float64) ** 2) for v in made.model.trainable_variables if v.path.endswith("/kernel")
    )

    made.optimizer.learning_rate.assign(0.01)
    data_loss, l2_loss, loss, top1, top5 = trainer.make_train_step(made)(*digits).numpy()

    np.testing.assert_allclose(kernel.numpy(), before - 0.01 * gradient, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(data_loss, -np.mean(np.log(np.sum(shares * one_hot, 1))), rtol=1e-4)
    np.testing.assert_allclose(l2_loss, 0.1 / 2 * others, rtol=1e-5)
    np.testing.assert_allclose(loss, data_loss + l2_loss, rtol=1e-6)
    assert top1 == np.mean(scores.argmax(1) == digits[1].numpy())
    assert top5 == np.mean([y in s.argsort()[-5:] for y, s in zip(digits[1].numpy(), scores, strict=True)])


def test_auxiliary_classifiers_count_with_their_weight():
    scores = np.random.default_rng(0).normal(size=(3, 4, 10)).astype(np.float32)
    labels = np.array([1, 2, 3, 4], np.int32)
    each = losses.data_loss(labels, [tf.constant(part) for part in scores], auxiliary_weight=0.3).numpy()
    log_softmax = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    wanted = -(log_softmax[0] + 0.3 * log_softmax[1] + 0.3 * log_softmax[2])[np.arange(4), labels]
    np.testing.assert_allclose(each, wanted, rtol=1e-5)
    assert metrics.main_logits([1, 2, 3]) == 1


@pytest.mark.parametrize("loss", ["cross_entropy", "bce", "focal"])
def test_a_step_on_mixed_labels_counts_against_the_larger_share(digits, loss):
    images, labels = digits
    shares = 0.7 * np.eye(10, dtype=np.float32)[labels] + 0.3 * np.eye(10, dtype=np.float32)[labels.numpy()[::-1]]
    recipe = Recipe(batch_size=64, learning_rate=0.01, weight_decay=0.0, epochs=1, loss=loss, label_smoothing=0.1)
    weights = np.linspace(0.5, 2.0, 10).astype(np.float32)
    made = dataclasses.replace(made_job(recipe), class_weights=weights)
    scores = made.model(images, training=True)
    each = losses.data_loss(tf.constant(shares), scores, 0.1, loss=loss).numpy()
    data_loss, _, _, top1, _ = trainer.make_train_step(made)(images, tf.constant(shares)).numpy()
    np.testing.assert_allclose(data_loss, np.mean(each * (shares @ weights)), rtol=1e-4)
    assert top1 == pytest.approx(np.mean(scores.numpy().argmax(1) == shares.argmax(1)), abs=1e-6)
