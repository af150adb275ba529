"""Quarter turns and flips against NumPy. The affine maps: test_auto_augment.py."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from common.input import augmentation, geometry

PIXELS = np.arange(5 * 5 * 3, dtype=np.float32).reshape(5, 5, 3)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
@pytest.mark.parametrize("upside_down", [False, True])
def test_turn_is_numpy_s(quarters, upside_down):
    wanted = np.rot90(PIXELS, quarters)
    found = geometry.turn(tf.constant(PIXELS), tf.constant(quarters), tf.constant(upside_down))
    np.testing.assert_array_equal(found, wanted[::-1] if upside_down else wanted)


def test_an_affine_map_of_a_picture_that_is_not_square_is_pil_s():
    pixels = np.random.default_rng(0).integers(0, 256, (11, 23, 3)).astype(np.uint8)
    coefficients = (0.9, 0.3, -2.5, -0.2, 1.1, 1.25)
    wanted = Image.fromarray(pixels).transform(
        (23, 11), Image.Transform.AFFINE, coefficients, Image.Resampling.NEAREST, fillcolor=(1, 2, 3)
    )
    found = geometry.affine(tf.constant(pixels), list(coefficients), tf.constant([1, 2, 3], tf.uint8))
    np.testing.assert_array_equal(found, wanted)


def test_all_quarters_are_drawn_equally_often():
    seeds = tf.data.Dataset.range(800).map(lambda number: tf.stack([tf.constant(7, tf.int64), number]))
    counts = np.bincount(list(seeds.map(augmentation.quarters).as_numpy_iterator()), minlength=4)
    assert len(counts) == 4
    assert counts.min() > 150
