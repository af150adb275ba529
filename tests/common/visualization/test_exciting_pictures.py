"""Peaks of units and what they see, on pictures with one bright place."""

import numpy as np
import tensorflow as tf

from common.nn import layers
from common.visualization import exciting_pictures


def bright(places):
    """Black pictures (N, 12, 12, 3), each with a bright pixel."""
    pictures = np.zeros((len(places), 12, 12, 3), np.float32)
    for number, (row, column) in enumerate(places):
        pictures[number, row, column] = number + 1
    return pictures


def network():
    x = image = layers.image_input(12)
    x = layers.conv(x, 2, 3, padding=1, relu=False, name="conv")
    model = layers.network(image, x, "one")
    kernel = np.zeros((3, 3, 3, 2), np.float32)
    kernel[1, 1, :, 0], kernel[1, 1, :, 1] = 1.0, -1.0
    model.set_weights([kernel, np.zeros(2)])
    return model


def test_the_strongest_come_first_with_the_place_of_their_peak():
    places = [(3, 4), (0, 11), (7, 7), (11, 0)]
    model = network()
    found = exciting_pictures.peaks(model, model.get_layer("conv"), bright(places), at_once=3)
    assert found.strongest(0, 3).tolist() == [3, 2, 1]
    np.testing.assert_allclose(found.values[:, 0], [3, 6, 9, 12])
    np.testing.assert_array_equal(found.places[:, 0], places)
    assert exciting_pictures.highest(found.values, 1) == [0]


def test_values_without_a_map_have_no_place():
    values, places = exciting_pictures.peaks_of(tf.constant([[1.0, 2.0]]))
    assert values.numpy().tolist() == [[1, 2]]
    assert places.numpy().tolist() == [[[0, 0], [0, 0]]]


def test_what_is_seen_is_cut_out_and_filled_up_beyond_the_edge():
    layer = network().get_layer("conv")
    picture = np.arange(12 * 12 * 3, dtype=np.uint8).reshape(12, 12, 3)
    np.testing.assert_array_equal(exciting_pictures.seen(picture, layer, (5, 6)), picture[4:7, 5:8])
    corner = exciting_pictures.seen(picture, layer, (0, 11), beyond=9)
    assert corner.shape == (3, 3, 3)
    assert (corner[0] == 9).all()
    assert (corner[:, 2] == 9).all()
    np.testing.assert_array_equal(corner[1:, :2], picture[:2, 10:])


def test_a_field_larger_than_the_picture_is_the_picture():
    x = image = layers.image_input(12)
    x = layers.conv(x, 1, 13, padding=6, name="wide")
    layer = layers.network(image, x, "wide").get_layer("wide")
    picture = np.ones((12, 12, 3), np.uint8)
    assert exciting_pictures.seen(picture, layer, (0, 0)).shape == (12, 12, 3)
