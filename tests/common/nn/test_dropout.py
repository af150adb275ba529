import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn.dropout import Dropout


def test_dropout_drops_its_share_and_scales_the_rest():
    layer, x = Dropout(0.7), tf.ones((400, 1000))
    y = layer(x, training=True).numpy()

    assert (y == 0).mean() == pytest.approx(0.7, abs=0.004)  # 5 standard deviations
    np.testing.assert_allclose(y[y > 0], 1 / 0.3, rtol=1e-6)
    np.testing.assert_array_equal(layer(x, training=False), x)


def test_dropout_in_bfloat16_drops_the_same_share():
    y = Dropout(0.7, dtype="mixed_bfloat16")(tf.ones((400, 1000), tf.bfloat16), training=True)

    assert y.dtype == tf.bfloat16
    assert np.mean(tf.cast(y, tf.float32) == 0) == pytest.approx(0.7, abs=0.004)


def test_dropout_masks_follow_from_the_seed_and_change_with_every_call():
    def three_masks():
        keras.utils.set_random_seed(5)
        layer = Dropout(0.5)
        return [layer(tf.ones((8, 64)), training=True).numpy() for _ in range(3)]

    first, second = three_masks(), three_masks()

    np.testing.assert_array_equal(first, second)
    assert (first[0] != first[1]).any()
    assert (first[1] != first[2]).any()
