import keras
import numpy as np
import pytest
import tensorflow as tf

from cli import registry
from common.nn import batch_norm_folding, fully_convolutional, layers, metrics
from common.nn.convolution import MaxPool


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 60, shape).astype(np.float32)


def built(name, size):
    options = {"auxiliary": True} if name == "googlenet" else {}
    return registry.find(name).build(classes=7, image_size=size, initializer="he", **options)


@pytest.mark.parametrize(
    ("name", "size"),
    [("alexnet", 67), ("vgg11", 64), ("googlenet", 79), ("resnet20", 32)],
)
def test_on_one_crop_the_scores_are_those_of_the_fully_connected_form(name, size):
    model = built(name, size)
    pictures = noise(2, size, size, 3)
    wanted = metrics.main_logits(model(pictures)).numpy()
    converted = fully_convolutional.convert(model)
    found = converted(pictures).numpy()
    assert found.shape == (2, 1, 1, 7)
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(found[:, 0, 0] / scale, wanted / scale, atol=1e-5)
    # Larger pictures. VGG for 64 pixels has a 2x2 window, on 4x6 maps at 128x192. GoogLeNet rounds up: 97 pixels, then
    # 49, 24, 12, 6 and 3; 130: 65, 32, 16, 8 and 4; 79: 40, 20, 10, 5 and 2, the window. ResNet-20's window is 8x8, on
    # 9x10 maps at 34x38.
    larger = {"vgg11": ((128, 192), (3, 5)), "googlenet": ((97, 130), (2, 3)), "resnet20": ((34, 38), (2, 3))}
    if name in larger:
        sides, places = larger[name]
        assert converted(noise(1, *sides, 3)).shape == (1, *places, 7)


def windows(model, picture, stride):
    """The fully connected form on every window of its size: (rows, columns, classes)."""
    size = model.inputs[0].shape[1]
    height, width = picture.shape[:2]
    return np.array(
        [
            [
                model(picture[None, top : top + size, left : left + size]).numpy()[0]
                for left in range(0, width - size + 1, stride)
            ]
            for top in range(0, height - size + 1, stride)
        ]
    )


@pytest.mark.parametrize("pooled", [False, True])
def test_the_map_holds_the_score_of_every_window(pooled):
    """Without padding nothing outside a window is seen, so the map is exactly the scores of all windows."""
    image = layers.image_input(8)
    x = layers.conv(image, 4, 3, name="conv")  # 6x6
    x = layers.max_pool(x, 2, 2, name="pool")  # 3x3
    if pooled:
        x = layers.global_avg_pool(x, name="average")
    else:
        x = layers.fc(layers.flatten(x, name="flatten"), 6, name="fc1")
    model = layers.network(image, layers.logits(x, 5, name="fc2"), "small")
    for index, variable in enumerate(model.trainable_variables):
        variable.assign(noise(*variable.shape, seed=index) / 60)
    picture = noise(12, 17, 3)
    found = fully_convolutional.convert(model)(picture[None]).numpy()[0]
    wanted = windows(model, picture, 2)
    assert found.shape == (3, 5, 5)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("padding", [0, 1])
def test_pools_that_round_up_do_so_at_any_size(padding):
    fixed = MaxPool(3, 2, padding, ceil=True)
    anysize = tf.function(MaxPool(3, 2, padding, ceil=True), input_signature=[tf.TensorSpec((1, None, None, 2))])
    for side in (5, 6, 7, 8):
        maps = -np.abs(noise(1, side, side + 1, 2))  # padding must not win over negative values
        np.testing.assert_array_equal(anysize(maps), fixed(maps))


def test_a_folded_network_converts_too():
    model = registry.find("resnet20").build(classes=4, image_size=16)
    model(noise(4, 16, 16, 3), training=True)
    pictures = noise(2, 16, 24, 3, seed=1)
    both = fully_convolutional.convert(batch_norm_folding.fold(model))
    assert not [layer for layer in both.layers if layer.name.endswith("_bn")]
    np.testing.assert_allclose(both(pictures), fully_convolutional.convert(model)(pictures), rtol=1e-3, atol=1e-3)


def test_a_map_that_is_not_square_is_refused():
    image = keras.Input((8, 6, 3))
    model = layers.network(image, layers.logits(layers.flatten(image), 2), "oblong")
    with pytest.raises(ValueError, match="8x6, not square"):
        fully_convolutional.convert(model)
