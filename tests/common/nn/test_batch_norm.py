"""Batch normalisation on one device against its formula."""

import numpy as np
import pytest
import tensorflow as tf

from common.nn.normalization import BatchNorm


def batch_norm(channels=3, **arguments):
    layer = BatchNorm(**arguments)
    layer.build((None, 4, 4, channels))
    layer.gamma.assign(np.linspace(0.5, 1.5, channels))
    layer.beta.assign(np.linspace(-1.0, 1.0, channels))
    return layer


def normalised(x, mean, variance, epsilon=1e-5):
    channels = x.shape[-1]
    scaled = (x - np.array(mean)) / np.sqrt(np.array(variance) + epsilon)
    return scaled * np.linspace(0.5, 1.5, channels) + np.linspace(-1.0, 1.0, channels)


def test_batch_norm_normalises_by_the_batch_in_training(rng):
    x = rng.normal(3.0, 2.0, size=(8, 4, 4, 3)).astype("float32")

    y = batch_norm()(x, training=True)

    np.testing.assert_allclose(y, normalised(x, x.mean((0, 1, 2)), x.var((0, 1, 2))), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("epsilon", [1e-5, 1e-3])
def test_batch_norm_uses_its_epsilon_as_given(rng, epsilon):
    x = rng.normal(0.0, 1e-3, size=(64, 4, 4, 1)).astype("float32")  # a variance below epsilon
    layer = batch_norm(1, epsilon=epsilon)

    y = layer(x, training=True).numpy()

    assert y.std() == pytest.approx(0.5 * x.std() / np.sqrt(x.var() + epsilon), rel=1e-3)


def test_moving_statistics_begin_with_the_first_batch_and_then_move_by_a_tenth(rng):
    layer = batch_norm()
    first, second = rng.normal([[[[1, 2, 3]]]], 2.0, size=(2, 8, 4, 4, 3)).astype("float32")

    layer(first, training=True)
    np.testing.assert_allclose(layer.moving_mean, first.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, first.var((0, 1, 2), ddof=1), rtol=1e-5)
    layer(second, training=True)
    np.testing.assert_allclose(layer.moving_mean, 0.9 * first.mean((0, 1, 2)) + 0.1 * second.mean((0, 1, 2)), rtol=1e-5)
    expected = 0.9 * first.var((0, 1, 2), ddof=1) + 0.1 * second.var((0, 1, 2), ddof=1)
    np.testing.assert_allclose(layer.moving_variance, expected, rtol=1e-5)


def test_batch_norm_tests_with_the_moving_statistics_and_leaves_them(rng):
    layer = batch_norm()
    layer.moving_mean.assign([1.0, -2.0, 0.5])
    layer.moving_variance.assign([4.0, 0.25, 1.0])
    x = rng.normal(size=(2, 4, 4, 3)).astype("float32")

    y = layer(x, training=False)

    np.testing.assert_allclose(y, normalised(x, [1.0, -2.0, 0.5], [4.0, 0.25, 1.0]), rtol=1e-4, atol=1e-5)
    layer.trainable = False  # frozen: the same in training
    np.testing.assert_array_equal(layer(x, training=True), y)
    np.testing.assert_array_equal(layer.moving_mean, np.float32([1.0, -2.0, 0.5]))


def test_batch_norm_has_the_gradient_of_its_formula(rng):
    layer, x = batch_norm(), tf.constant(rng.normal(size=(4, 4, 4, 3)), tf.float32)
    weights = tf.constant(rng.normal(size=(4, 4, 4, 3)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(layer(x, training=True) * weights)
    found = tape.gradient(loss, [x, *layer.trainable_variables])

    gamma, beta = layer.gamma.numpy(), layer.beta.numpy()
    with tf.GradientTape() as tape:
        sources = [x, tf.constant(gamma), tf.constant(beta)]
        tape.watch(sources)
        mean, variance = tf.nn.moments(x, [0, 1, 2])
        scaled = (x - mean) * tf.math.rsqrt(variance + 1e-5) * sources[1] + sources[2]
        loss = tf.reduce_sum(scaled * weights)
    for one, other in zip(found, tape.gradient(loss, sources), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("bfloat16")
def test_batch_norm_in_bfloat16_keeps_exact_statistics(rng):
    x = tf.cast(rng.normal(3.0, 2.0, size=(8, 4, 4, 3)), tf.bfloat16)
    layer = batch_norm()
    wide = tf.cast(x, tf.float32).numpy()

    y = layer(x, training=True)

    assert y.dtype == tf.bfloat16
    np.testing.assert_allclose(layer.moving_mean, wide.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, wide.var((0, 1, 2), ddof=1), rtol=1e-5)
    expected = normalised(wide, wide.mean((0, 1, 2)), wide.var((0, 1, 2)))
    np.testing.assert_allclose(tf.cast(y, tf.float32), expected, rtol=0.01, atol=0.01)
