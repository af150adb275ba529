"""CAM and Grad-CAM against NumPy, and on a data set where it is known where the class is."""

import keras
import numpy as np
import pytest

import pointwise
from common.nn import layers
from common.style import styled
from common.visualization import activations, class_activation, scores
from pointwise import close


def test_the_mean_of_a_cam_and_the_bias_are_the_score():
    net, (x, classes) = pointwise.make(), pointwise.pictures()
    found = class_activation.class_activation_map(net.model, x, classes, at_once=3)
    *_, a2, logits = net.forward(x)
    v, bias = net.weights[-2:]
    close(found, np.einsum("nijk,nk->nij", a2, v[:, classes].T))
    close(found.mean((1, 2)) + bias[classes], logits[np.arange(len(x)), classes])


def test_grad_cam_is_its_equations():
    net, (x, classes) = pointwise.make(), pointwise.pictures()
    _, a1, _, _, _ = net.forward(x)
    _, of_a1, _ = net.slopes(x, classes)
    wanted = np.maximum(np.einsum("nijk,nk->nij", a1, of_a1.mean((1, 2))), 0)
    close(class_activation.grad_cam(net.model, x, classes, net.model.get_layer("conv1_relu")), wanted)


def test_grad_cam_is_cam_up_to_scale_where_a_network_ends_in_global_average_pooling():
    net, (x, classes) = pointwise.make(), pointwise.pictures()
    cam = class_activation.class_activation_map(net.model, x, classes)
    close(class_activation.grad_cam(net.model, x, classes), np.maximum(cam, 0) / 16)


def test_with_fully_connected_layers_there_is_grad_cam_alone():
    net, (x, classes) = pointwise.make(flat=True), pointwise.pictures()
    assert class_activation.ending(net.model) is None
    with pytest.raises(ValueError, match="does not end in global average pooling"):
        class_activation.class_activation_map(net.model, x, classes)
    *_, a2, _ = net.forward(x)
    weights = net.weights[-2].reshape(4, 4, 6, 3)[..., classes].mean((0, 1)).T
    close(class_activation.grad_cam(net.model, x, classes), np.maximum(np.einsum("nijk,nk->nij", a2, weights), 0))


@styled(initializer="he")
def class_maps():
    x = image = layers.image_input(8)
    x = layers.max_pool(layers.conv(x, 6, 3, padding=1, name="conv1"), 2, 2, name="pool1")
    x = layers.map_logits(layers.dropout(x, 0.5, name="dropout"), 3, name="conv2")
    return layers.network(image, x, "class_maps")


def test_where_class_maps_are_averaged_cam_is_the_map():
    model = class_maps()
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype(np.float32)
    classes = np.array([0, 1, 2])
    maps = activations.activations(model, model.get_layer("conv2_relu"), x)
    wanted = np.stack([maps[n, :, :, c] for n, c in enumerate(classes)])
    cam = class_activation.class_activation_map(model, x, classes)
    close(cam, wanted)
    close(cam.mean((1, 2)), scores.predict(model, x)[np.arange(3), classes])
    close(class_activation.grad_cam(model, x, classes), wanted / 16)


def test_the_last_map_is_the_one_before_the_last_pool():
    x = image = layers.image_input(8)
    x = layers.conv(x, 4, 3, padding=1, name="conv1")
    x = layers.max_pool(layers.conv(x, 4, 3, padding=1, name="conv2"), 2, 2, name="pool2")
    x = layers.flatten(layers.dropout(x, 0.5, name="dropout"), name="flatten")
    model = layers.network(image, layers.logits(x, 3, name="fc"), "small")
    assert class_activation.last_map(model).name == "conv2_relu"
    x = layers.conv(image, 4, 3, padding=1, name="conv3")
    x = layers.flatten(layers.conv(x, 4, 8, name="conv4"), name="flatten2")  # 1x1: says nothing of places
    model = layers.network(image, layers.logits(x, 3, name="fc2"), "one_place")
    assert class_activation.last_map(model).name == "conv3_relu"


def test_bfloat16_has_nearly_the_same_maps():
    half, (x, classes) = pointwise.make("mixed_bfloat16"), pointwise.pictures()
    full = pointwise.make()
    for method in (class_activation.class_activation_map, class_activation.grad_cam):
        found = method(half.model, x, classes)
        assert found.dtype == np.float32
        close(found, method(full.model, x, classes), share=0.05)


PATCH, SIDE = 7, 24


def planted(count: int, seed: int):
    """Noise with one of four patches in a random corner: pictures, the patch's kind, its corner (top, left)."""
    draw = np.random.default_rng(seed)
    kinds, corners = draw.integers(0, 4, count), draw.integers(0, 2, (count, 2)) * (SIDE - PATCH)
    pictures = draw.normal(0, 0.3, (count, SIDE, SIDE, 3)).astype(np.float32)
    stripes = np.where(np.arange(PATCH) % 2, 1.5, -1.5)
    patches = np.zeros((4, PATCH, PATCH, 3))
    patches[0], patches[1] = stripes[:, None, None], stripes[None, :, None]
    patches[2, ..., 0], patches[3, ..., 2] = 1.5, 1.5
    for picture, kind, (top, left) in zip(pictures, kinds, corners, strict=True):
        picture[top : top + PATCH, left : left + PATCH] += patches[kind]
    return pictures, kinds, corners


@styled(initializer="he")
def small():
    x = image = layers.image_input(SIDE)
    x = layers.conv(x, 16, 3, padding=1, name="conv1")
    x = layers.max_pool(x, 2, 2, name="pool1")
    x = layers.conv(x, 16, 3, padding=1, name="conv2")
    return layers.network(image, layers.logits(layers.global_avg_pool(x, name="pool"), 4, name="fc"), "small")


@pytest.mark.slow
def test_grad_cam_finds_the_patch_that_makes_the_class():
    model = small()
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    pictures, kinds, _ = planted(2000, seed=0)
    model.fit(pictures, kinds, batch_size=64, epochs=6, verbose=0)
    pictures, kinds, corners = planted(400, seed=1)
    assert (scores.predict(model, pictures).argmax(1) == kinds).mean() > 0.97
    maps = class_activation.enlarge(class_activation.grad_cam(model, pictures, kinds), SIDE)
    rows, columns = np.unravel_index(maps.reshape(400, -1).argmax(1), (SIDE, SIDE))
    found = np.stack([rows, columns], 1) - corners
    assert ((found >= 0) & (found < PATCH)).all(1).mean() >= 0.95  # by chance 0.09
