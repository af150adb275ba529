"""The moving average of weights: its formula, its place in the model, its way through a checkpoint.

Under two replicas it is tested with the optimizers, in test_optimizers_replicas.py.
"""

import keras
import numpy as np
import tensorflow as tf

from common.runs import checkpoints
from common.training import ema


def small_model():
    inputs = keras.Input((2,))
    x = keras.layers.BatchNormalization(name="norm")(keras.layers.Dense(2, name="fc1")(inputs))
    return keras.Model(inputs, keras.layers.Dropout(0.5)(x))


def test_weight_average_against_its_formula():
    model = small_model()
    average = ema.WeightAverage(model, 0.3)
    followed = [v for v in model.variables if "seed" not in v.path]
    assert [v.path for v in average.variables] == [v.path for v in followed]
    assert {v.path.split("/")[-1] for v in followed} == {
        "kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"
    }  # fmt: skip
    rng = np.random.default_rng(2)
    expected = [np.zeros(v.shape) for v in followed]
    for t in range(8):
        decay = [0.0, 1 / 10, 2 / 11, 3 / 12, 0.3, 0.3, 0.3, 0.3][t]
        for index, variable in enumerate(followed):
            variable.assign(rng.normal(size=variable.shape))
            expected[index] = decay * expected[index] + (1 - decay) * variable.numpy()
        average.update(tf.constant(t + 1, tf.int64))
    for found, wanted in zip(average.variables, expected, strict=True):
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5, atol=1e-6)


def test_weight_average_takes_the_models_place_and_gives_it_back():
    model = small_model()
    average = ema.WeightAverage(model, 0.9)
    averaged = [v.numpy() for v in average.variables]
    kernel = model.get_layer("fc1").kernel
    kernel.assign([[np.float32(0.1), 2.0], [3.0, 1e-30]])
    own = kernel.numpy()
    with average.swapped():
        np.testing.assert_array_equal(kernel.numpy(), averaged[0])
    np.testing.assert_array_equal(kernel.numpy(), own)
    np.testing.assert_array_equal(average.variables[0].numpy(), averaged[0])


def test_averages_can_be_restored_over_a_model(tmp_path):
    model = small_model()
    average = ema.WeightAverage(model, 0.9)
    model.get_layer("fc1").bias.assign([5.0, 6.0])
    average.update(tf.constant(1))
    model.get_layer("fc1").bias.assign([7.0, 8.0])
    saved = checkpoints.save(tmp_path, {"step": 1}, {"model": model.variables, "average": average.variables})
    other = small_model()
    into = ema.WeightAverage(other, 0.9)
    paths = {v.path for v in into.variables}
    group = [v for v in other.variables if v.path in paths]
    checkpoints.restore(checkpoints.open_checkpoint(saved), {"average": group})
    np.testing.assert_array_equal(other.get_layer("fc1").bias.numpy(), [5.0, 6.0])
