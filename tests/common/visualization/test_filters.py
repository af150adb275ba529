"""First filters and activations of a tiny network."""

import numpy as np

import pointwise
from common.nn import layers
from common.visualization import activations, filters
from pointwise import close


def test_filters_are_scaled_about_grey_and_turned_to_rgb():
    image = layers.image_input(5)
    model = layers.network(image, layers.conv(image, 2, 3, name="conv"), "one")
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 2)).astype(np.float32)
    model.set_weights([kernel, np.zeros(2)])
    found = filters.first_filters(model)
    assert found.shape == (2, 3, 3, 3)
    for number in range(2):
        one = kernel[..., number]
        np.testing.assert_allclose(found[number], 0.5 + one / (2 * np.abs(one).max()), atol=1e-6)
    np.testing.assert_array_equal(filters.first_filters(model, "bgr"), found[..., ::-1])
    assert filters.first_convolution(model).name == "conv"


def test_activations_are_the_layers_values():
    net, (x, _) = pointwise.make(), pointwise.pictures()
    *_, a2, logits = net.forward(x)
    close(activations.activations(net.model, net.model.get_layer("conv2_relu"), x, at_once=3), a2)
    close(activations.activations(net.model, net.model.get_layer("fc"), x), logits)


def test_the_last_layer_of_each_size():
    x = image = layers.image_input(16)
    x = layers.max_pool(layers.conv(x, 4, 3, padding=1, name="conv1"), 2, 2, name="pool1")
    x = layers.lrn(layers.conv(x, 4, 3, padding=1, name="conv2"), name="norm2")
    x = layers.max_pool(layers.conv(x, 4, 3, padding=1, name="conv3"), 2, 2, name="pool3")
    x = layers.conv(x, 4, 4, name="conv4")  # 1x1
    model = layers.network(image, layers.logits(layers.flatten(x, name="flatten"), 2, name="fc"), "small")
    assert [layer.name for layer in activations.last_of_each_size(model)] == ["conv1_relu", "conv3_relu"]
