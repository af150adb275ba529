"""The operations of RandAugment and TrivialAugment against PIL's, on a photograph and on odd pictures."""

import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps
from sklearn.datasets import load_sample_image

from common.input import auto_augment

FILL = (124, 116, 104)


def photograph() -> np.ndarray:
    return np.asarray(Image.fromarray(load_sample_image("china.jpg")).resize((61, 61)))


FLAT = np.full((9, 9, 3), (10, 200, 77), np.uint8)
FEW = (np.random.default_rng(0).integers(0, 3, (12, 12, 3)) * 90 + 20).astype(np.uint8)
PICTURES = {"photograph": photograph(), "flat": FLAT, "few values": FEW}


def affine(image: Image.Image, *coefficients: float) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, coefficients, Image.Resampling.NEAREST, fillcolor=FILL)


PIL = {
    "Identity": lambda image, m: image,
    "ShearX": lambda image, m: affine(image, 1, m, 0, 0, 1, 0),
    "ShearY": lambda image, m: affine(image, 1, 0, 0, m, 1, 0),
    "TranslateX": lambda image, m: affine(image, 1, 0, -int(m), 0, 1, 0),
    "TranslateY": lambda image, m: affine(image, 1, 0, 0, 0, 1, -int(m)),
    "Rotate": lambda image, m: image.rotate(m, Image.Resampling.NEAREST, fillcolor=FILL),
    "Brightness": lambda image, m: ImageEnhance.Brightness(image).enhance(1 + m),
    "Color": lambda image, m: ImageEnhance.Color(image).enhance(1 + m),
    "Contrast": lambda image, m: ImageEnhance.Contrast(image).enhance(1 + m),
    "Sharpness": lambda image, m: ImageEnhance.Sharpness(image).enhance(1 + m),
    "Posterize": lambda image, m: ImageOps.posterize(image, int(m)),
    "Solarize": lambda image, m: ImageOps.solarize(image, m),
    "AutoContrast": lambda image, m: ImageOps.autocontrast(image),
    "Equalize": lambda image, m: ImageOps.equalize(image),
}
MOVED = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")


@tf.function(reduce_retracing=True)
def ours(image, number, magnitude):
    return auto_augment.apply(image, number, magnitude, tf.constant(FILL, tf.float32))


def check(name: str, pixels: np.ndarray, magnitude: float) -> None:
    number = list(auto_augment.OPERATIONS).index(name)
    found = ours(tf.constant(pixels, tf.float32), tf.constant(number), tf.constant(magnitude, tf.float32)).numpy()
    wanted = np.asarray(PIL[name](Image.fromarray(pixels), float(np.float32(magnitude))), np.float32)
    if name in MOVED:
        np.testing.assert_array_equal(found, wanted)
    else:
        np.testing.assert_array_equal(found, found.round())
        assert np.abs(found - wanted).max() <= 1
        assert (found != wanted).mean() < 0.01  # where a product lies within rounding of a whole number


@pytest.mark.parametrize("name", PIL)
@pytest.mark.parametrize("kind", PICTURES)
def test_each_operation_is_pil_s(name, kind):
    for policy in ("rand", "trivial"):
        operation = auto_augment.OPERATIONS[name]
        magnitudes = operation.magnitudes(policy, PICTURES[kind].shape[0])
        for place in (0, 7, 19, 30):
            for sign in (1, -1) if operation.signed else (1,):
                check(name, PICTURES[kind], sign * magnitudes[place])


def test_a_quarter_turn_by_the_rotation_is_exact():
    check("Rotate", PICTURES["photograph"], 90.0)


def test_the_ranges_are_torchvision_s():
    """RandAugment at M = 9 of 224 pixels, and both ends of each operation of TrivialAugment."""
    nine = {name: one.magnitudes("rand", 224)[9] for name, one in auto_augment.OPERATIONS.items()}
    moved = {"ShearX": 0.09, "ShearY": 0.09, "TranslateX": 30.453, "TranslateY": 30.453, "Rotate": 9.0}
    enhanced = dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), 0.27)
    others = {"Posterize": 7.0, "Solarize": 178.5, "Identity": 0.0, "AutoContrast": 0.0, "Equalize": 0.0}
    assert nine == pytest.approx(moved | enhanced | others, abs=1e-3)
    ends = {name: one.magnitudes("trivial", 64)[[0, 30]].tolist() for name, one in auto_augment.OPERATIONS.items()}
    assert ends["ShearY"] == pytest.approx([0, 0.99])
    assert ends["TranslateX"] == [0, 32]
    assert ends["Rotate"] == [0, 135]
    assert ends["Contrast"] == pytest.approx([0, 0.99])
    assert ends["Posterize"] == [8, 2]
    assert ends["Solarize"] == [255, 0]
    assert list(auto_augment.OPERATIONS["Posterize"].magnitudes("trivial", 64)[:9]) == [8, 8, 8, 7, 7, 7, 7, 7, 6]


@pytest.mark.parametrize("policy", ["trivial", "rand"])
def test_operations_bins_and_signs_are_drawn_alike(policy):
    def drawn(number):
        seed = tf.stack([tf.constant(3, tf.int64), number])
        return tf.stack([tf.stack([tf.cast(o, tf.float32), m]) for o, m in auto_augment.draw(policy, 64, 2, 9, seed)])

    found = next(iter(tf.data.Dataset.range(4200).map(drawn).batch(4200))).numpy()
    assert found.shape == (4200, 1 if policy == "trivial" else 2, 2)
    counts = np.bincount(found[..., 0].astype(int).ravel(), minlength=14)
    expected = found[..., 0].size / 14
    assert np.abs(counts - expected).max() < 5 * math.sqrt(expected)
    turned = found[found[..., 0] == 5][:, 1]  # Rotate
    assert abs((turned > 0).mean() - (turned < 0).mean()) < 0.2
    sizes = np.unique(np.abs(turned).round(3))
    wanted = [9.0] if policy == "rand" else np.linspace(0, 135, 31)
    np.testing.assert_allclose(sizes, wanted, atol=1e-2)
    if policy == "rand":  # with replacement
        assert abs((found[:, 0, 0] == found[:, 1, 0]).mean() - 1 / 14) < 0.02


def test_a_picture_is_rounded_first_and_the_same_seed_gives_the_same_picture():
    pixels = tf.constant(PICTURES["photograph"], tf.float32) + 0.4
    apply = tf.function(lambda number: auto_augment.augment(pixels, "rand", 2, 9, FILL, tf.stack([7, number])))
    pictures = [apply(tf.constant(number)).numpy() for number in range(12)]
    for number, picture in enumerate(pictures):
        np.testing.assert_array_equal(picture, apply(tf.constant(number)).numpy())
        np.testing.assert_array_equal(picture, picture.round())
        assert picture.min() >= 0
        assert picture.max() <= 255
    assert len({picture.tobytes() for picture in pictures}) > 8
