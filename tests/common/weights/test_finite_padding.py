import keras
import numpy as np
import pytest
import tensorflow as tf

from cli import registry
from common.errors import UserError
from common.input.pipeline import Preprocessing
from common.nn import batch_norm_folding, layers
from common.nn.convolution import MaxPool
from common.weights import export, finite_padding

INPUTS = {
    "relu": lambda x: layers.conv(x, 8, 3, padding=1, name="conv"),
    "norm": lambda x: layers.lrn(layers.conv(x, 8, 3, padding=1, name="conv"), name="norm"),
    "joined": lambda x: layers.concat(
        [layers.relu(x, name="relu"), layers.max_pool(layers.conv(x, 4, 1, name="conv"), 3, 1, 1, name="inner")],
        name="joined",
    ),
    "conv": lambda x: layers.conv(x, 8, 3, padding=1, relu=False, name="conv"),
    "added": lambda x: layers.add(layers.relu(x, name="relu"), layers.conv(x, 3, 1, relu=False, name="conv")),
    "leaky": lambda x: keras.layers.ReLU(negative_slope=0.1)(layers.conv(x, 8, 3, relu=False, name="conv")),
}
FILLS = {"relu": "zero", "norm": "zero", "joined": "zero", "conv": "edge", "added": "edge", "leaky": "edge"}


def network(kind, *, side=12, size=3, padding=1):
    """A pool of stride 2 whose map may be negative or not, and a classifier."""
    keras.utils.set_random_seed(4)
    image = layers.image_input(side)
    x = layers.max_pool(INPUTS[kind](image), size, 2, padding, name="pool")
    x = layers.logits(layers.global_avg_pool(x, name="mean"), 5, name="fc")
    return layers.network(image, x, name="small")


@pytest.mark.parametrize("kind", INPUTS)
def test_a_finite_padding_gives_the_same_values(kind):
    model = network(kind)
    made = finite_padding.finite(model)
    assert made.get_layer("pool").fill == FILLS[kind]
    assert model.get_layer("pool").fill == "never"
    images = np.random.default_rng(1).normal(0.0, 30.0, (4, 12, 12, 3)).astype("float32")
    np.testing.assert_array_equal(made(images), model(images))


@pytest.mark.parametrize(("side", "ceil"), [(9, False), (8, False), (8, True), (9, True)])
def test_the_edge_in_mirror_image_never_wins(side, ceil):
    negative = np.random.default_rng(2).normal(size=(2, side, side, 3)).astype("float32") - 9.0
    padding = 0 if ceil else 1
    np.testing.assert_array_equal(
        MaxPool(3, 2, padding, ceil, fill="edge")(negative), MaxPool(3, 2, padding, ceil)(negative)
    )


def test_padding_by_more_than_half_a_window_is_refused_where_it_might_win():
    with pytest.raises(UserError, match="pool: padded by more than half of its window"):
        finite_padding.finite(network("conv", size=3, padding=2))
    assert finite_padding.finite(network("relu", size=3, padding=2)).get_layer("pool").fill == "zero"


def test_a_network_without_padded_pools_is_left_as_it_is():
    model = network("relu", size=2, padding=0)
    assert finite_padding.finite(model) is model


def answers(content, images):
    """What an 8-bit model says of images (N, S, S, 3) uint8: (N, classes)."""
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (given,), (wanted,) = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for image in images:
        interpreter.set_tensor(given["index"], image[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(wanted["index"])[0])
    scales = [detail["quantization"][0] for detail in interpreter.get_tensor_details()]
    assert max(scales) < 1e4
    return np.stack(found)


@pytest.mark.parametrize("kind", ["relu", "conv"])
def test_whole_numbers_pass_a_padded_pool(kind):
    model, preprocessing = network(kind), Preprocessing(12, 12, (127.0, 127.0, 127.0), (60.0, 60.0, 60.0))
    images = np.random.default_rng(3).integers(0, 256, (24, 12, 12, 3)).astype(np.uint8)
    content = export.to_tflite(model, preprocessing, [image[None].astype(np.float32) for image in images])
    wanted = export.probabilities(model, preprocessing)(images).numpy()
    assert wanted.std(0).max() > 0.02  # the images are told apart
    np.testing.assert_allclose(answers(content, images), wanted, atol=0.03)  # 256 steps a layer


@pytest.mark.slow
def test_whole_numbers_pass_resnet18():
    keras.utils.set_random_seed(4)
    model = registry.find("resnet18").build(classes=10)
    head = model.get_layer("fc")
    head.kernel.assign(head.kernel * 0.2)  # the ten probabilities are all between 0 and 1
    preprocessing = Preprocessing(224, 256, (127.0, 127.0, 127.0), (60.0, 60.0, 60.0))
    rough = np.random.default_rng(3).integers(0, 256, (8, 7, 7, 3))
    images = tf.image.resize(rough, (224, 224), "bicubic").numpy().clip(0, 255).astype(np.uint8)
    model = batch_norm_folding.fold(model)
    content = export.to_tflite(model, preprocessing, [image[None].astype(np.float32) for image in images])
    wanted = export.probabilities(model, preprocessing)(images).numpy()
    assert 0.2 < wanted.max() < 0.95
    found = answers(content, images)
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.98
    np.testing.assert_allclose(found, wanted, atol=0.1)
