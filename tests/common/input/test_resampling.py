"""Pictures resized as torchvision and as the figures of keras.applications have them, against Pillow and a formula."""

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from common.input import images, pipeline, resampling
from common.input.splits import Split


def photograph(seed: int, height: int, width: int) -> bytes:
    """A JPEG with detail at every scale: noise of several sizes laid over one another."""
    rng = np.random.default_rng(seed)
    layers = []
    for step in (1, 3, 9, 40):
        rough = rng.integers(0, 256, (height // step + 2, width // step + 2, 3)).astype(np.uint8)
        layers.append(np.asarray(Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC), np.float32))
    buffer = io.BytesIO()
    Image.fromarray(np.mean(layers, 0).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def torchvision_crop(encoded: bytes, resize: int, size: int) -> np.ndarray:
    """Resize(resize) and CenterCrop(size) of torchvision's transforms on a Pillow image, written out."""
    image = Image.open(io.BytesIO(encoded)).convert("RGB")
    width, height = image.size
    upright = (resize, int(resize * height / width))
    image = image.resize(upright if width <= height else (int(resize * width / height), resize), Image.BILINEAR)
    top, left = round((image.height - size) / 2.0), round((image.width - size) / 2.0)
    return np.asarray(image.crop((left, top, left + size, top + size)), np.float32)


def shown(encoded: bytes, interpolation: str, resize: int, size: int) -> np.ndarray:
    """What evaluation shows a network of a file, not normalised."""
    preprocessing = pipeline.Preprocessing(size, resize, interpolation=interpolation)
    split = Split(
        1,
        lambda seed: tf.data.Dataset.from_tensors(tf.constant(encoded)),
        lambda element: (element, tf.constant(0), tf.constant("")),
        (),
    )
    return next(iter(pipeline.evaluation(split, preprocessing, batch_size=1)))[0][0].numpy()


def assert_alike(got: np.ndarray, want: np.ndarray) -> None:
    """To one grey level in 99.9 % of the values, and never more than two off."""
    assert got.shape == want.shape
    apart = np.abs(got - want)
    assert np.mean(apart <= 1) >= 0.999
    assert apart.max() <= 2


SHAPES = [(375, 500), (333, 500), (500, 401), (257, 390), (511, 700), (768, 1024), (256, 256), (300, 256), (90, 61)]


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_torchvisions_pictures(height, width):
    encoded = photograph(height, height, width)
    assert_alike(shown(encoded, "pil_bilinear", 256, 224), torchvision_crop(encoded, 256, 224))


@pytest.mark.parametrize("resize", [224, 232, 100])
def test_torchvisions_pictures_at_other_sizes(resize):
    encoded = photograph(1, 375, 500)
    size = min(resize, 224)
    assert_alike(shown(encoded, "pil_bilinear", resize, size), torchvision_crop(encoded, resize, size))


def bicubic(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """OpenCV's INTER_CUBIC in float64, a sum over all pixels of a kernel: centres at halves, edges repeated."""

    def kernel(x):
        x, a = np.abs(x), -0.75
        near, far = (a + 2) * x**3 - (a + 3) * x**2 + 1, a * (x**3 - 5 * x**2 + 8 * x - 4)
        return np.where(x <= 1, near, np.where(x < 2, far, 0))

    found = pixels.astype(np.float64)
    for axis in (0, 1):
        old, new = found.shape[axis], shape[axis]
        padded = np.pad(found, [(3, 3) if i == axis else (0, 0) for i in range(3)], "edge")
        place = (np.arange(new) + 0.5) * old / new - 0.5
        matrix = kernel(place[:, None] - np.arange(-3, old + 3))
        found = np.moveaxis(np.tensordot(matrix, padded, (1, axis)), 0, axis)
    return np.clip(np.floor(found + 0.5), 0, 255)


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_the_pictures_of_keras_applications(height, width):
    encoded = photograph(height, height, width)
    pixels = images.decode(tf.constant(encoded)).numpy()
    short = min(height, width)
    resized = bicubic(pixels, (height * 256 // short, width * 256 // short))
    top, left = (resized.shape[0] - 224) // 2, (resized.shape[1] - 224) // 2
    got = shown(encoded, "opencv_bicubic", 256, 224)
    np.testing.assert_allclose(got, resized[top : top + 224, left : left + 224], atol=1)
    assert np.mean(got == resized[top : top + 224, left : left + 224]) > 0.999


def test_the_labs_own_pictures_stay_as_they_are():
    encoded = tf.constant(photograph(3, 375, 500))
    want = images.read_window(encoded, images.centre_crop(256, 224), 224, exact=True)
    np.testing.assert_array_equal(resampling.central_crop(images.decode(encoded), 256, 224), want)
    np.testing.assert_array_equal(shown(encoded.numpy(), "lab", 256, 224), want)


@pytest.mark.skipif("REAL_DATA_DIR" not in os.environ, reason="REAL_DATA_DIR names no folder with imagenette-4k.tar")
@pytest.mark.parametrize("resize", [256, 160])
def test_ten_real_photographs_as_torchvision_shows_them(resize):
    with tarfile.open(Path(os.environ["REAL_DATA_DIR"]) / "imagenette-4k.tar") as tar:
        members = [member for member in tar.getmembers() if member.name.endswith(".JPEG")][::400]
        files = [tar.extractfile(member).read() for member in members]
    assert len(files) == 10
    size = 224 if resize == 256 else 140
    found = [shown(encoded, "pil_bilinear", resize, size) for encoded in files]
    assert_alike(np.stack(found), np.stack([torchvision_crop(encoded, resize, size) for encoded in files]))
