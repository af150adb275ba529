import keras
import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from common.nn import initializers, layers
from common.style import styled


@pytest.mark.parametrize(
    ("name", "deviation"),
    [("gaussian", 0.01), ("glorot", np.sqrt(2 / (9 * 64 + 9 * 128))), ("he", np.sqrt(2 / (9 * 64)))],
)
def test_initializers_have_the_deviation_of_their_formula(name, deviation):
    drawn = initializers.make_initializer(name)((3, 3, 64, 128)).numpy()

    assert drawn.std() == pytest.approx(deviation, rel=0.02)
    assert abs(drawn.mean()) < 0.02 * deviation * 5


def test_an_unknown_initializer_is_refused():
    with pytest.raises(UserError, match=r"did you mean glorot\?"):
        initializers.make_initializer("glorott")


def test_an_image_below_the_smallest_is_refused():
    with pytest.raises(UserError, match="--image_size=31 is too small for this network; the smallest that fits is 32"):
        layers.image_input(31, smallest=32)


@styled(initializer="glorot")
def every_layer():
    x = image = layers.image_input(20)
    x = layers.conv(x, 8, 3, 2, 1, name="conv1")
    x = layers.lrn(x, k=1.5, n=3, alpha=1e-3, beta=0.5, name="norm1")
    x = layers.conv(x, 8, 3, 1, 1, groups=2, bias=False, name="conv2")
    x = layers.relu(layers.batch_norm(x, 0.8, 1e-3, True, name="bn"), name="relu")
    x = layers.add(layers.max_pool(x, 3, 1, 1, name="pool1"), x, name="add")
    x = layers.concat([x, layers.padded_identity(x, 12, 1, name="identity")], name="concat")
    x = layers.max_pool(x, 3, 2, ceil=True, name="pool2")
    x = layers.avg_pool(x, 2, 2, name="pool3")
    x = layers.dropout(layers.fc(layers.flatten(x, name="flat"), 16, name="fc1"), 0.3, name="drop")
    return layers.network(image, layers.logits(x, 5, name="fc2"), name="every")


def test_a_saved_network_is_the_same_network(rng, tmp_path):
    model = every_layer()
    x = rng.normal(size=(2, 20, 20, 3)).astype("float32")

    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")

    assert [layer.get_config() for layer in again.layers] == [layer.get_config() for layer in model.layers]
    np.testing.assert_array_equal(again(x), model(x))


@pytest.mark.usefixtures("bfloat16")
def test_mixed_precision_computes_in_bfloat16_and_keeps_weights_and_logits_in_float32(rng):
    model = every_layer()
    computed = {layer.name: tf.as_dtype(layer.output.dtype) for layer in model.layers}

    assert {name for name, dtype in computed.items() if dtype == tf.float32} == {"image", "fc2"}
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    x = tf.constant(rng.normal(size=(4, 20, 20, 3)), tf.float32)
    with tf.GradientTape() as tape:
        y = model(x, training=True)
        loss = tf.reduce_mean(y**2)
    assert y.dtype == tf.float32
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
    ):
        assert gradient.dtype == tf.float32, variable.path
        assert np.isfinite(gradient.numpy()).all(), variable.path
