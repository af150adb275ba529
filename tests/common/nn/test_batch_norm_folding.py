from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

import resnet34
import tiny
from cli import registry
from common.nn import batch_norm_folding, graph_rewrite, layers
from common.nn.convolution import Conv
from common.nn.normalization import BatchNorm
from common.style import styled


def stir(model, images):
    """Statistics of these images, and a gamma, beta and bias of its own for every channel, as training would leave."""
    random = np.random.default_rng(0)
    model(images, training=True)
    for variable in model.variables:
        if variable.path.endswith("gamma"):
            variable.assign(random.uniform(0.7, 1.3, variable.shape))
        elif variable.path.endswith(("beta", "bias")):
            variable.assign(random.normal(0.0, 0.2, variable.shape))


def count(model, kind):
    return sum(isinstance(layer, kind) for layer in model.layers)


@styled(initializer="he", norm="batch")
def small(block, shortcut):
    """The ImageNet form with two stages of two narrow blocks."""
    x = image = layers.image_input(33)
    x = layers.max_pool(layers.conv(x, 8, 7, stride=2, padding=3, name="conv1"), 3, 2, padding=1, name="pool1")
    x = layers.global_avg_pool(resnet34.stages(x, block, shortcut, (8, 16), (2, 2)), name="pool5")
    return layers.network(image, layers.logits(x, 7, name="fc"), "small")


@pytest.mark.parametrize(
    ("block", "shortcut", "style"),
    [
        (resnet34.basic, "B", {}),
        (resnet34.basic, "A", {"batch_norm": "global"}),
        (resnet34.basic, "none", {}),  # a plain network
        (resnet34.bottleneck, "B", {}),
        (partial(resnet34.bottleneck, stride_in="3x3"), "C", {}),
        (None, None, None),  # resnet20 as it is
    ],
)
def test_predictions_stay(block, shortcut, style):
    model = small(block, shortcut, **style) if block else registry.find("resnet20").build(classes=7, image_size=33)
    random = np.random.default_rng(1)
    images = random.normal(0, 60, (6, 33, 33, 3)) + random.normal(0, 60, (6, 1, 1, 3))
    images = images.astype(np.float32)
    stir(model, images)
    fc = model.get_layer("fc")
    fc.bias.assign_sub(tf.reduce_mean(model(images), 0))  # or one class would have it all
    before = [value.copy() for value in model.get_weights()]
    folded = batch_norm_folding.fold(model)
    assert count(folded, BatchNorm) == 0
    assert count(folded, Conv) == count(model, Conv)
    wanted, found = (tf.nn.softmax(m(images, training=False)).numpy() for m in (model, folded))
    assert np.ptp(wanted, axis=0).max() > 0.01  # the images are told apart
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    for value, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, old)


def test_kernel_and_bias_are_the_formulas():
    image = layers.image_input(4)
    x = layers.conv(image, 2, 1, relu=False, name="conv")
    model = layers.network(image, layers.batch_norm(x, epsilon=0.5, name="norm"), "both")
    kernel = np.arange(6, dtype=np.float32).reshape(1, 1, 3, 2)
    model.get_layer("conv").set_weights([kernel, np.array([1.0, 2.0])])
    model.get_layer("norm").set_weights([np.array(v) for v in ([3.0, 4.0], [5.0, 6.0], [7.0, 8.0], [3.5, 15.5])])
    found = batch_norm_folding.fold(model).get_layer("conv").get_weights()
    # scales 3 / sqrt(3.5 + 0.5) = 1.5 and 4 / sqrt(15.5 + 0.5) = 1
    np.testing.assert_allclose(found[0], kernel * [1.5, 1.0], rtol=1e-7)
    np.testing.assert_allclose(found[1], [(1 - 7) * 1.5 + 5, (2 - 8) * 1 + 6], rtol=1e-7)


def test_what_is_read_twice_and_what_follows_no_convolution_stays():
    image = layers.image_input(4)
    a = layers.batch_norm(image, name="first")
    b = layers.conv(a, 3, 1, relu=False, name="read_twice")
    c = layers.batch_norm(b, name="beside")
    d = layers.conv(layers.add(b, c, name="add"), 3, 1, bias=False, relu=False, name="last")
    model = layers.network(image, [layers.batch_norm(d, name="folds"), d], "mixed")
    only_once = layers.network(image, model.outputs[0], "once")
    pixels = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    stir(model, pixels)
    assert batch_norm_folding.fold(model) is model  # d is an output too
    folded = batch_norm_folding.fold(only_once)
    assert [layer.name for layer in folded.layers if isinstance(layer, BatchNorm)] == ["first", "beside"]
    np.testing.assert_allclose(folded(pixels), only_once(pixels), atol=1e-5)


def test_a_network_without_batch_norm_is_returned():
    model = tiny.build(norm="none")
    assert batch_norm_folding.fold(model) is model


def test_precision_is_kept():
    with_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = tiny.build()
    finally:
        keras.config.set_dtype_policy(with_policy)
    folded = batch_norm_folding.fold(model)
    assert folded.get_layer("conv1").compute_dtype == "bfloat16"
    assert folded.get_layer("conv1").variable_dtype == "float32"
    assert folded.get_layer("fc").compute_dtype == "float32"


def test_the_main_path_leaves_the_auxiliary_classifiers_out():
    model = registry.find("googlenet").build(classes=5, image_size=79, auxiliary=True)
    main = graph_rewrite.main_path(model)
    images = np.random.default_rng(0).normal(0, 60, (2, 79, 79, 3)).astype(np.float32)
    np.testing.assert_array_equal(main(images), model(images)[0])
    assert not [layer.name for layer in main.layers if layer.name.startswith("aux")]
    assert graph_rewrite.main_path(main) is main
