import keras
import numpy as np
import tensorflow as tf

from common import distribution
from common.nn import layers
from common.training import dead_units, validation


def network() -> keras.Model:
    """Two rectified layers of 4 and 10 units, and an auxiliary classifier with a third of its own."""
    image = keras.Input((2, 2, 3), name="image")
    x = keras.layers.ReLU(name="relu1")(keras.layers.Conv2D(4, 1, name="conv1")(image))
    x = layers.fc(layers.flatten(x), 10, name="fc2")
    main = keras.layers.Dense(3, name="fc3")(x)
    return keras.Model(image, [main, keras.layers.Dense(3, name="aux")(layers.fc(x, 5, name="aux_fc"))])


def batches(images: np.ndarray, valid: int) -> tf.data.Dataset:
    count = len(images)
    labels, index = np.zeros(count, np.int32), np.arange(count)
    return tf.data.Dataset.from_tensor_slices((images, labels, index < valid, index)).batch(2)


def test_units_that_are_zero_for_all_valid_images_are_counted():
    model, images = network(), np.random.default_rng(0).uniform(0, 1, (6, 2, 2, 3)).astype(np.float32)
    conv, fc = model.get_layer("conv1"), model.get_layer("fc2")
    conv.kernel.assign(np.abs(conv.kernel.numpy()))  # images are positive: so is every map
    conv.bias.assign([0.0, -1e3, 0.0, 0.0])  # but this one
    fc.bias.assign([-1e3, -1e3, *[1e3] * 8])
    # A unit that only the last place of one image excites is alive; one that only padding excites is dead.
    images[3, 1, 1] = 50.0
    images[5] = 50.0
    conv.bias.assign([0.0, -1e3, -10.0, 0.0])
    kernel = conv.kernel.numpy()
    kernel[:, :, :, 2] = 0.1  # 15 - 10 there, 0.3 - 10 elsewhere
    conv.kernel.assign(kernel)
    step = dead_units.WatchedStep(model, distribution.choose("one"))
    found = validation.evaluate(step, batches(images, 5), None)
    assert step.take() == [dead_units.Dead("relu1", 1, 4), dead_units.Dead("fc2_relu", 2, 10)]
    assert step.take() == []

    plain = validation.make_eval_step(model, distribution.choose("one"))
    expected = validation.evaluate(plain, batches(images, 5), None)
    assert (found.top1, found.top5, found.loss, found.images) == (
        expected.top1, expected.top5, expected.loss, 5
    )  # fmt: skip
    conv.bias.assign([0.0, -1e3, -20.0, 0.0])  # now only the image that fills up the batch would excite the third
    images[3, 1, 1] = 1.0
    validation.evaluate(step, batches(images, 5), None)
    assert step.take()[0] == dead_units.Dead("relu1", 2, 4)


def test_a_layer_is_named_once_and_only_with_more_than_a_tenth_dead():
    step = dead_units.WatchedStep(network(), distribution.choose("one"))
    few, many = dead_units.Dead("conv1_relu", 1, 10), dead_units.Dead("fc6_relu", 500, 4096)
    assert step.remark([few, dead_units.Dead("fc6_relu", 0, 4096)]) is None
    line = step.remark([few, many])
    assert "fc6_relu 500 of 4096" in line
    assert "conv1_relu" not in line
    assert "\n" not in line
    assert step.remark([few, many]) is None
    assert "conv1_relu 2 of 10" in step.remark([dead_units.Dead("conv1_relu", 2, 10), many])


def test_the_share_of_all_units():
    assert dead_units.share([dead_units.Dead("a", 1, 10), dead_units.Dead("b", 5, 30)]) == 6 / 40
    assert dead_units.share([]) == 0.0


def test_a_network_without_relu_is_watched_for_nothing():
    inputs = keras.Input((2, 2, 3))
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))
    step = dead_units.WatchedStep(model, distribution.choose("one"))
    found = validation.evaluate(step, batches(np.ones((2, 2, 2, 3), np.float32), 2), None)
    assert found.images == 2
    assert step.take() == []
