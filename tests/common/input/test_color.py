"""Changes of colour against PIL, colorsys and NumPy, on a photograph."""

import colorsys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance
from sklearn.datasets import load_sample_image

from common.input import color


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.asarray(Image.fromarray(load_sample_image("flower.jpg")).resize((40, 30)))


def test_grey_is_pil_s_exactly(pixels):
    random = np.random.default_rng(1).integers(0, 256, (50, 60, 3)).astype(np.uint8)
    for one in (pixels, random, np.full((2, 2, 3), 255, np.uint8)):
        wanted = np.asarray(Image.fromarray(one).convert("L"), np.float32)
        np.testing.assert_array_equal(color.grey(tf.constant(one, tf.float32))[..., 0], wanted)


@pytest.mark.parametrize(
    ("change", "enhance"),
    [
        (color.brightness, ImageEnhance.Brightness),
        (color.contrast, ImageEnhance.Contrast),
        (color.saturation, ImageEnhance.Color),
        (color.sharpness, ImageEnhance.Sharpness),
    ],
)
@pytest.mark.parametrize("factor", [0.0, 0.35, 1.0, 1.4, 1.9])
def test_a_blend_is_pil_s_before_it_drops_the_fraction(pixels, change, enhance, factor):
    found = change(tf.constant(pixels, tf.float32), tf.constant(factor)).numpy()
    wanted = np.asarray(enhance(Image.fromarray(pixels)).enhance(factor), np.float32)
    assert (found - wanted).min() > -0.01
    assert (found - wanted).max() < 1.01


@pytest.mark.parametrize("shift", [-0.5, -0.1, 0.0, 0.07, 0.5])
def test_hue_is_turned_in_hsv(pixels, shift):
    found = color.hue(tf.constant(pixels, tf.float32), tf.constant(shift)).numpy()
    for row, column in ((0, 0), (10, 20), (15, 5), (29, 39), (20, 20)):
        h, s, v = colorsys.rgb_to_hsv(*(pixels[row, column] / 255.0))
        wanted = 255 * np.array(colorsys.hsv_to_rgb((h + shift) % 1.0, s, v))
        np.testing.assert_allclose(found[row, column], wanted, atol=0.02)


def test_the_factor_of_brightness_is_uniform_in_its_range():
    pixels = tf.constant([[[100.0, 100.0, 100.0]]])  # contrast and saturation leave a single grey as it is
    seeds = tf.data.Dataset.range(600).map(lambda number: tf.stack([tf.constant(7, tf.int64), number]))
    found = np.array([x for x in seeds.map(lambda s: color.jitter(pixels, 0.4, s)[0, 0, 0]).as_numpy_iterator()]) / 100
    assert 0.6 - 0.01 <= found.min() < 0.62
    assert 1.38 < found.max() <= 1.4 + 0.01
    assert abs(found.mean() - 1) < 0.03


def test_jitter_is_the_three_changes_one_after_another(pixels):
    image, seed = tf.constant(pixels, tf.float32), tf.constant([7, 3], tf.int64)
    factors = 0.7 + 0.6 * tf.random.stateless_uniform([3], seed).numpy()
    wanted = color.saturation(color.contrast(color.brightness(image, factors[0]), factors[1]), factors[2])
    np.testing.assert_allclose(color.jitter(image, 0.3, seed), wanted, atol=1e-2)
