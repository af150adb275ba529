import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn import all_layers, losses
from common.nn.squeeze_excitation import SqueezeExcitation


def weighted(x, squeeze, squeeze_bias, excite, excite_bias):
    """Equations 2 to 4 of the paper, in NumPy."""
    z = x.mean((1, 2))
    hidden = np.maximum(z @ squeeze + squeeze_bias, 0)
    s = 1 / (1 + np.exp(-(hidden @ excite + excite_bias)))
    return x * s[:, None, None]


@pytest.mark.parametrize(("channels", "hidden"), [(32, 2), (16, 1), (40, 2), (8, 1)])
def test_it_is_the_papers_formula(channels, hidden):
    rng = np.random.default_rng(3)
    x = rng.normal(1.0, 2.0, (3, 5, 4, channels)).astype("float32")
    layer = SqueezeExcitation(16)
    layer.build(x.shape)
    shapes = [(channels, hidden), (hidden,), (hidden, channels), (channels,)]
    assert [tuple(weight.shape) for weight in layer.weights] == shapes
    layer.set_weights([rng.normal(size=shape).astype("float32") for shape in shapes])

    expected = weighted(x.astype("float64"), *(weight.numpy().astype("float64") for weight in layer.weights))
    np.testing.assert_allclose(layer(x), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_costs_and_weight_decay():
    inputs = keras.Input((7, 7, 64))
    layer = SqueezeExcitation(16, name="se")
    model = keras.Model(inputs, layer(inputs))

    assert all_layers.rule(layer).multiply_adds(layer, (7, 7, 64), (7, 7, 64)) == 2 * 64 * 4
    assert [losses.is_weight(variable) for variable in model.trainable_variables] == [True, False, True, False]
    assert next(variable.path for variable in layer.weights) == "se/squeeze/kernel"


def test_bfloat16_is_close():
    rng = np.random.default_rng(4)
    x = rng.normal(0.5, 1.0, (2, 28, 28, 32)).astype("float32")
    exact = SqueezeExcitation(16)
    expected = exact(x).numpy()
    rough = SqueezeExcitation(16, dtype="mixed_bfloat16")
    rough.build(x.shape)
    rough.set_weights(exact.get_weights())
    found = rough(x)
    assert found.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(found, tf.float32), expected, rtol=0, atol=0.02 * np.abs(expected).max())


def test_a_saved_layer_comes_back(tmp_path):
    inputs = keras.Input((6, 6, 32))
    model = keras.Model(inputs, SqueezeExcitation(16)(inputs))
    model.save(tmp_path / "se.keras")
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 32)).astype("float32")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "se.keras")(x), model(x))
