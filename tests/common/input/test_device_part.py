"""Pictures handed over as bytes and normalised afterwards, against the same pictures normalised in the pipeline."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import record_files
from common.input import datasets, device_part, images, pipeline
from common.recipe import Recipe

WHOLE = Recipe(crop="none", resize=12, flip=True, turns=True)  # pictures are 12x16, so nothing is resized
LIT = {"eigenvalues": (0.2, 0.05, 0.01), "eigenvectors": ((0.6, 0.8, 0.0), (-0.8, 0.6, 0.0), (0.0, 0.0, 1.0))}
LIGHTS = {"contrast": 0.4, "brightness": 0.2, "pca_lighting": 0.5}
SIZE = 12


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> datasets.Dataset:
    folder = record_files.prepared(tmp_path_factory.mktemp("made"), train=10, validation=5)
    opened = datasets.open_dataset(str(folder))
    return dataclasses.replace(opened, info=dataclasses.replace(opened.info, mean=(110.3, 120.6, 99.5), **LIT))


def both(data, recipe, **more):
    """Three batches as ever, and as bytes: pairs of (normalised, handed over, normalised afterwards)."""
    prepared = pipeline.preprocessing(recipe, data.info, SIZE, data.path)
    prepared = dataclasses.replace(prepared, **more)
    finish = device_part.finisher(prepared)
    settings = {"batch_size": 4, "seed": 3}
    made = [
        pipeline.training(data.splits["train"], prepared, recipe, data.info, as_bytes=as_bytes, **settings).take(3)
        for as_bytes in (False, True)
    ]
    for (pictures, labels), (handed_over, same) in zip(*made, strict=True):
        np.testing.assert_allclose(same, labels, atol=1e-6)
        yield pictures.numpy(), handed_over, finish(handed_over).numpy()


def test_rounding_is_to_the_nearest_whole_number():
    values = np.array([0, 0.49, 0.5, 1.2, 127.5, 254.4, 254.6, 255], np.float32)
    np.testing.assert_array_equal(images.to_bytes(tf.constant(values)), np.floor(values + np.float32(0.5)))
    assert images.to_bytes(tf.constant(values)).dtype == tf.uint8


@pytest.mark.parametrize(
    ("recipe", "more"),
    [
        (WHOLE, {}),
        (WHOLE, {"std": (58.4, 57.1, 57.4), "channels": "bgr"}),
        (dataclasses.replace(WHOLE, cutmix=1.0), {}),
    ],
    ids=["plain", "std", "cutmix"],
)
def test_what_was_not_resized_is_the_same_to_the_last_bit(data, recipe, more):
    for pictures, handed_over, finished in both(data, recipe, **more):
        assert handed_over.dtype == tf.uint8
        assert finished.dtype == np.float32
        np.testing.assert_array_equal(finished, pictures)


@pytest.mark.parametrize(
    "fields",
    [
        {"crop": "random", "resize": 15},
        {"crop": "scale", "scale_range": (300, 500)},
        {"crop": "inception"},
        {"auto_augment": "trivial", "color_jitter": 0.4, "saturation": 0.2, "hue": 0.1},
        {"mixup": 0.5},
        {"crop": "pad", "random_erasing": 1.0},
    ],
    ids=lambda fields: "-".join(fields),
)
def test_what_is_rounded_differs_by_half_a_grey_level_at_most(data, fields):
    differing = 0
    for pictures, handed_over, finished in both(data, dataclasses.replace(WHOLE, **fields)):
        assert handed_over.dtype == tf.uint8
        np.testing.assert_allclose(finished, pictures, atol=0.501)
        differing += np.count_nonzero(finished != pictures)
    assert differing


def test_padding_and_erasing_round_the_mean_colour_alone(data):
    recipe = dataclasses.replace(WHOLE, crop="pad", random_erasing=1.0)
    for pictures, _, finished in both(data, recipe):
        np.testing.assert_array_equal(finished[pictures != 0], pictures[pictures != 0])
        filled = (pictures == 0).all(-1)
        assert filled.any()
        np.testing.assert_allclose(finished[filled] - (np.array([110, 121, 100]) - data.info.mean), 0, atol=1e-4)


@pytest.mark.parametrize("fields", [LIGHTS, *({name: value} for name, value in LIGHTS.items())], ids="-".join)
def test_contrast_brightness_and_lighting_are_done_afterwards(data, fields):
    """Values far outside of 0..255 are the same as where the pipeline makes them."""
    for pictures, handed_over, finished in both(data, dataclasses.replace(WHOLE, **fields)):
        assert [part.dtype for part in handed_over] == [tf.uint8, tf.float32]
        np.testing.assert_allclose(finished, pictures, atol=1e-3)
        assert np.ptp(finished + np.float32(data.info.mean)) > 255


def test_a_mean_image_is_subtracted_afterwards_too(data, tmp_path):
    mean = np.random.default_rng(1).uniform(0, 255, (SIZE, SIZE, 3)).astype(np.float32)
    np.save(tmp_path / "mean.npy", mean)
    recipe = dataclasses.replace(WHOLE, random_erasing=1.0)
    for pictures, _, finished in both(data, recipe, mean_image=str(tmp_path / "mean.npy")):
        np.testing.assert_array_equal(finished[pictures != 0], pictures[pictures != 0])
        np.testing.assert_allclose(finished, pictures, atol=0.501)


@pytest.mark.parametrize("interpolation", ["lab", "pil_bilinear"])
@pytest.mark.parametrize("resize", [12, 14])
def test_evaluation_hands_over_bytes(data, interpolation, resize):
    """Pillow's way of resizing gives whole numbers by itself."""
    prepared = pipeline.Preprocessing(SIZE, resize, data.info.mean, interpolation=interpolation)
    finish = device_part.finisher(prepared)
    plain, handed_over = (
        list(pipeline.evaluation(data.splits["validation"], prepared, batch_size=3, as_bytes=as_bytes))
        for as_bytes in (False, True)
    )
    rounded = resize != 12 and interpolation == "lab"
    for one, other in zip(plain, handed_over, strict=True):
        assert other[0].dtype == tf.uint8
        kept = one[2].numpy()
        np.testing.assert_allclose(finish(other[0])[kept], one[0][kept], atol=0.501 if rounded else 0)
        np.testing.assert_array_equal(other[3], one[3])


def test_what_bytes_cannot_say_is_named():
    plain = pipeline.Preprocessing(8, 8, (1.0, 2.0, 3.0))
    of_image = dataclasses.replace(plain, mean_image="mean.npy")
    padded = dataclasses.replace(WHOLE, crop="pad")
    assert device_part.obstacle(padded, plain) is None
    assert "mean image" in device_part.obstacle(padded, of_image)
    assert device_part.obstacle(dataclasses.replace(WHOLE, **LIGHTS), of_image) is None
    for fields in ({"crop": "pad"}, {"random_erasing": 0.1}, {"mixup": 0.2}, {"cutmix": 1.0}):
        assert device_part.obstacle(dataclasses.replace(WHOLE, **fields), plain) is None
        for light, amount in LIGHTS.items():
            both_of_them = dataclasses.replace(WHOLE, **fields, **{light: amount})
            assert "which bytes would reverse" in device_part.obstacle(both_of_them, plain)
