"""Where places of a map look, against gradients and against the counting of the summary."""

import numpy as np
import pytest
import tensorflow as tf

from cli import registry
from common.nn import cost, layers
from common.visualization.receptive_field import Field, fields


def chain():
    """Windows of every kind, with positive weights, so that a gradient is where a place looks."""
    x = image = layers.image_input(40)
    x = layers.conv(x, 2, 5, stride=2, padding=(2, 1), relu=False, name="conv1")
    x = layers.avg_pool(x, 3, 2, padding=1, name="pool1")
    wide = layers.conv(x, 2, (1, 5), relu=False, name="wide")
    plain = layers.conv(x, 2, 3, padding=1, relu=False, name="plain")
    x = layers.zero_pad(layers.concat([wide, plain], name="both"), 1, name="pad")
    x = layers.conv(x, 2, 3, stride=2, relu=False, name="conv2")
    model = layers.network(image, x, "chain")
    for weight in model.weights:
        weight.assign(tf.ones(weight.shape))
    return model


@pytest.mark.parametrize("place", [(0, 0), (2, 1), (4, 4)])
def test_a_place_depends_on_the_pixels_of_its_field(place):
    model = chain()
    picture = tf.ones((1, 40, 40, 3))
    with tf.GradientTape() as tape:
        tape.watch(picture)
        value = tf.reduce_sum(model(picture)[0, place[0], place[1]])
    rows, columns = np.nonzero(tape.gradient(value, picture).numpy()[0].sum(-1))
    for field, number, touched in zip(fields(model.layers[-1]), place, (rows, columns), strict=True):
        begin, end = field.pixels(number)
        assert (max(begin, 0), min(end, 40)) == (touched.min(), touched.max() + 1)


def test_by_hand():
    """AlexNet's first layers: conv 11/4, pool 3/2, conv 5/1 padded by 2."""
    image = layers.image_input(227)
    conv1 = layers.conv(image, 1, 11, stride=4, name="conv1")
    pool1 = layers.max_pool(conv1, 3, 2, name="pool1")
    conv2 = layers.conv(pool1, 1, 5, padding=2, name="conv2")
    model = layers.network(image, conv2, "start")
    assert fields(model.get_layer("conv1")) == (Field(0, 11, 4), Field(0, 11, 4))
    assert fields(model.get_layer("pool1")) == (Field(0, 19, 8), Field(0, 19, 8))
    assert fields(model.get_layer("conv2")) == (Field(-16, 51, 8), Field(-16, 51, 8))


@pytest.mark.parametrize(("arch", "size"), [("resnet20", 32), ("googlenet", 47)])
def test_fields_are_as_wide_as_the_summary_counts(arch, size):
    model = registry.find(arch).build(classes=3, image_size=size)
    for row in cost.measure(cost.ordered(model.outputs), size):
        if len(row.output) == 3:
            assert fields(model.get_layer(row.name))[1].size == row.receptive_field, row.name
