"""`--accumulate N`: a step in N parts."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import tiny
from common import distribution
from common.nn.normalization import BatchNorm
from common.recipe import Recipe
from common.training import loss_scaling, trainer
from jobs import make_job

RECIPE = Recipe(batch_size=12, learning_rate=0.05, momentum=0.9, weight_decay=0.01, clip_norm=0.5, epochs=1)


def batch(seed: int = 0):
    rng = np.random.default_rng(seed)
    return tf.constant(rng.normal(0, 1, (12, 16, 16, 3)), tf.float32), tf.constant(rng.integers(0, 10, 12), tf.int32)


def stepped(recipe: Recipe, norm: str, steps: int = 2, precision: str = "float32", **more):
    """The model after some steps, and the last step's results."""
    keras.utils.set_random_seed(0)
    with distribution.precision(precision):
        model = tiny.build(dropout=0.0, norm=norm)
    step = trainer.make_train_step(make_job(model, recipe, **more))
    results = [step(*batch(seed)).numpy() for seed in range(steps)]
    return model, results[-1]


@pytest.mark.parametrize("parts", [2, 3, 12])
def test_a_step_in_parts_is_the_step_of_the_whole_batch(parts):
    """Without batch norm nothing depends on the part: the same loss, L2, clipping, top-1 and weights."""
    whole, expected = stepped(RECIPE, "none")
    parted, results = stepped(dataclasses.replace(RECIPE, accumulate=parts), "none")
    np.testing.assert_allclose(results, expected, rtol=1e-4, atol=1e-6)
    for mine, theirs in zip(parted.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max() + 1e-7)


def test_in_float16_the_sum_is_what_is_looked_at():
    scale = loss_scaling.LossScale()
    whole, _ = stepped(RECIPE, "none")
    parted, _ = stepped(dataclasses.replace(RECIPE, accumulate=3), "none", precision="mixed_float16", loss_scale=scale)
    assert scale.skipped == 0
    for mine, theirs in zip(parted.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=0.02 * np.abs(theirs).max() + 1e-3)


def test_batch_norm_sees_a_part():
    """The gradient is the mean of the parts' own, and the statistics move once for each part."""
    recipe = dataclasses.replace(RECIPE, accumulate=3, optimizer="sgd", clip_norm=0.0, weight_decay=0.0)
    keras.utils.set_random_seed(0)
    reference = tiny.build(dropout=0.0, norm="batch")
    before = [variable.numpy() for variable in reference.trainable_variables]
    images, labels = batch()
    total = [np.zeros_like(value) for value in before]
    for part in range(3):
        rows = slice(4 * part, 4 * part + 4)
        with tf.GradientTape() as tape:
            logits = reference(images[rows], training=True)
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels[rows], logits)
            loss = tf.reduce_mean(each)
        for sum_, one in zip(total, tape.gradient(loss, reference.trainable_variables), strict=True):
            sum_ += one.numpy() / 3
    model, _ = stepped(recipe, "batch", steps=1)
    for variable, old, gradient in zip(model.trainable_variables, before, total, strict=True):
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(variable.numpy(), old - 0.05 * gradient, rtol=0, atol=1e-4 * scale + 1e-6)
    norms = [(a, b) for a, b in zip(model.layers, reference.layers, strict=True) if isinstance(a, BatchNorm)]
    assert len(norms) == 2
    for mine, theirs in norms:
        np.testing.assert_allclose(mine.moving_mean.numpy(), theirs.moving_mean.numpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(mine.moving_variance.numpy(), theirs.moving_variance.numpy(), rtol=1e-4, atol=1e-5)


def test_mixed_labels_and_frozen_layers_go_in_parts_too():
    shares = np.full((12, 10), 0.02, np.float32)
    shares[np.arange(12), batch()[1]] += 0.8

    def run(parts):
        keras.utils.set_random_seed(0)
        model = tiny.build(dropout=0.0, norm="none")
        model.get_layer("conv1").trainable = False
        step = trainer.make_train_step(make_job(model, dataclasses.replace(RECIPE, accumulate=parts)))
        return model.get_weights(), step(batch()[0], tf.constant(shares)).numpy(), model.get_weights()

    before, whole, after = run(1)
    _, parted, moved = run(4)
    np.testing.assert_allclose(parted, whole, rtol=1e-4)
    np.testing.assert_array_equal(moved[0], before[0])
    for mine, theirs in zip(moved, after, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max() + 1e-7)


def test_pictures_and_what_belongs_to_them_are_parted_together():
    """Pictures as bytes with four numbers each for the device: what is done to them depends on both."""

    def finish(handed_over):
        pictures, drawn = handed_over
        return tf.cast(pictures, tf.float32) * drawn[:, None, None, :1] - drawn[:, None, None, 1:]

    images, labels = batch()
    numbers = tf.constant(np.random.default_rng(1).normal(0, 1, (12, 4)), tf.float32)
    found = []
    for parts in (1, 3):
        keras.utils.set_random_seed(0)
        job = make_job(
            tiny.build(dropout=0.0, norm="none"), dataclasses.replace(RECIPE, accumulate=parts), finish=finish
        )
        found.append(trainer.make_train_step(job)((tf.cast(images * 20 + 100, tf.uint8), numbers), labels).numpy())
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4, atol=1e-6)
