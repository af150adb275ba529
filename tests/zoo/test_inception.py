import numpy as np
import pytest
import tensorflow as tf

import tables
from cli import registry
from common.errors import UserError
from common.nn import losses
from zoo import inception

# Figure 5 of Ioffe & Szegedy 2015: 1x1, 3x3 reduce, 3x3, double 3x3 reduce, double 3x3, pool, projection.
FIGURE_5 = (
    ("3a", 64, 64, 64, 64, 96, "avg", 32),
    ("3b", 64, 64, 96, 64, 96, "avg", 64),
    ("3c", 0, 128, 160, 64, 96, "max", 0),
    ("4a", 224, 64, 96, 96, 128, "avg", 128),
    ("4b", 192, 96, 128, 96, 128, "avg", 128),
    ("4c", 160, 128, 160, 128, 160, "avg", 128),
    ("4d", 96, 128, 192, 160, 192, "avg", 128),
    ("4e", 0, 128, 192, 192, 256, "max", 0),
    ("5a", 352, 192, 320, 160, 224, "avg", 128),
    ("5b", 352, 192, 320, 192, 224, "max", 128),
)


def test_sizes_of_v2():
    assert tables.outputs("inception_v2", "concat") == [
        "inception_3a 28x28x256",
        "inception_3b 28x28x320",
        "inception_3c 14x14x576",
        "inception_4a 14x14x576",
        "inception_4b 14x14x576",
        "inception_4c 14x14x608",
        "inception_4d 14x14x608",
        "inception_4e 7x7x1056",
        "inception_5a 7x7x1024",
        "inception_5b 7x7x1024",
    ]


def test_sizes_of_v3():
    assert [output.split()[1] for output in tables.outputs("inception_v3", "concat")] == (
        ["35x35x256", "35x35x288", "35x35x288"] + ["17x17x768"] * 5 + ["8x8x1280", "8x8x2048", "8x8x2048"]
    )
    rows = {row.name: row for row in tables.summarise("inception_v3").rows}
    stem = [rows[name].output[0] for name in ("conv1", "conv2", "conv3", "pool1", "conv4", "conv5", "pool2")]
    assert stem == [149, 147, 147, 73, 73, 71, 35]
    assert [rows[f"mixed_{module}_7x7_2"].output[-1] for module in ("6b", "6c", "6d", "6e")] == [128, 160, 160, 192]


def test_factorised_windows_of_v3():
    rows = {row.name: row for row in tables.summarise("inception_v3").rows}
    pairs = (("7x7_2", (1, 7)), ("7x7_3", (7, 1)), ("7x7dbl_2", (7, 1)), ("7x7dbl_5", (1, 7)))
    assert {part: rows[f"mixed_6b_{part}"].kernel for part, _ in pairs} == dict(pairs)
    # A 1x7 and a 7x1 see 7 places in width, as a 7x7.
    before, after = rows["mixed_6b_7x7_1"], rows["mixed_6b_7x7_3"]
    assert after.receptive_field - before.receptive_field == 6 * 16  # places are 16 pixels apart
    assert rows["mixed_6b_7x7_2"].parameters == 7 * 128 * 128
    assert rows["mixed_6b_7x7_3"].multiply_adds == 7 * 128 * 192 * 17 * 17


def test_the_auxiliary_head_of_v3():
    heads = {row.name: row for row in tables.summarise("inception_v3").heads}
    sizes = {name: heads[name].output for name in ("aux_pool", "aux_conv1", "aux_conv2", "aux_logits")}
    assert sizes == {"aux_pool": (5, 5, 768), "aux_conv1": (5, 5, 128), "aux_conv2": (1, 1, 768), "aux_logits": (1000,)}
    # 27,161,264 parameters with it, as torchvision's model card has them.
    both = tables.summarise("inception_v3").totals.trainable_parameters + sum(row.parameters for row in heads.values())
    assert both == 27161264
    assert registry.find("inception_v3").auxiliary_weight == 0.4
    model = registry.find("inception_v3").build(auxiliary=True, classes=6, image_size=107)
    assert [tensor.shape[-1] for tensor in model.outputs] == [6, 6]


@pytest.mark.parametrize(
    ("size", "auxiliary", "smallest"), [(74, False, 75), (106, True, 107), (75, False, None), (107, True, None)]
)
def test_the_smallest_image_of_v3(size, auxiliary, smallest):
    build = registry.find("inception_v3").build
    if smallest is None:
        build(classes=3, image_size=size, auxiliary=auxiliary)
    else:
        with pytest.raises(UserError, match=f"--image_size={size}.* is {smallest}"):
            build(classes=3, image_size=size, auxiliary=auxiliary)


@pytest.mark.parametrize("size", [1, 33])
def test_v2_takes_any_size(size):
    model = registry.find("inception_v2").build(classes=4, image_size=size)
    assert model(tf.ones((2, size, size, 3))).shape == (2, 4)


def test_label_smoothing_is_that_of_section_7():
    """q'(k) = (1 - e) delta(k, y) + e / K, and the loss is the cross-entropy H(q', p)."""
    epsilon, label, logits = inception.V3_RECIPE.label_smoothing, 2, np.array([1.0, -2.0, 0.5, 3.0, 0.0])
    assert epsilon == 0.1
    target = np.array([0.02, 0.02, 0.92, 0.02, 0.02])  # 0.1 / 5 everywhere, 0.9 more at the label
    expected = -np.sum(target * np.log(np.exp(logits) / np.exp(logits).sum()))
    found = losses.cross_entropy(tf.constant([label]), tf.constant(logits[None]), epsilon)
    assert float(found[0]) == pytest.approx(expected, rel=1e-6)


def test_recipes():
    v2, v3 = inception.V2_RECIPE, inception.V3_RECIPE
    assert (v2.learning_rate, v2.schedule_every, v2.dropout) == (0.045, pytest.approx(8 / 6), 0.0)
    assert v2.weight_decay == pytest.approx(registry.find("googlenet").recipe.weight_decay / 5)
    assert (v3.optimizer, v3.gamma, v3.epsilon, v3.clip_norm) == ("rmsprop", 0.9, 1.0, 2.0)
    assert (v3.learning_rate, v3.schedule_factor, v3.schedule_every, v3.epochs) == (0.045, 0.94, 2.0, 100)
    assert (v3.batch_size, v3.ema) == (32, 0.9999)


def test_average_pools_count_the_padding_where_they_are_asked_to():
    ones = tf.ones((1, 8, 8, 3))
    for zeros, corner in ((False, 1.0), (True, 4 / 9)):
        image = tf.keras.Input((8, 8, 3))
        model = tf.keras.Model(image, inception.average(image, zeros, "pool"))
        assert float(model(ones)[0, 0, 0, 0]) == pytest.approx(corner)
        assert model.output_shape == (None, 8, 8, 3)


def test_the_same_weights_give_the_same_in_pytorch():
    networks = pytest.importorskip("torch_networks")
    networks.assert_equal_here("inception_v2", lambda net, x: networks.inception_v2(net, x, FIGURE_5), 65)
