import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from common.evaluation import crops
from common.evaluation.protocol import Protocol
from common.input import images, pipeline
from common.input.pipeline import Preprocessing
from common.weights import export, plain_preprocessing


def photo(path, height, width, mode="RGB"):
    rough = np.random.default_rng(height).integers(0, 256, (height // 7 + 2, width // 7 + 2, 3), np.uint8)
    Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC).convert(mode).save(path, quality=90)
    return path


@pytest.mark.parametrize(
    ("height", "width", "mode"),
    [
        (256, 300, "RGB"),  # as large as wanted
        (257, 391, "RGB"),  # a little larger
        (333, 500, "L"),
        (511, 1200, "RGB"),  # just below twice as large
        (700, 512, "RGB"),  # twice as large: by areas
        (801, 1030, "RGB"),
        (90, 61, "RGB"),  # enlarged
    ],
)
def test_a_crop_is_the_crop_of_testing(tmp_path, height, width, mode):
    path = photo(tmp_path / "photo.jpg", height, width, mode)
    found = plain_preprocessing.crop(path, {"resize": 256, "image_size": 224})
    encoded = tf.io.read_file(str(path))
    wanted = crops.views(images.decode(encoded), Protocol(), 224, (256,))[0].numpy()
    assert (found.dtype, found.shape) == (np.float32, (224, 224, 3))
    np.testing.assert_allclose(found, wanted, atol=0.02)


@pytest.mark.parametrize("interpolation", ["pil_bilinear", "opencv_bicubic"])
@pytest.mark.parametrize(("height", "width"), [(257, 391), (333, 500), (801, 1030), (90, 61)])
def test_a_crop_for_weights_from_elsewhere_is_the_crop_of_testing(tmp_path, height, width, interpolation):
    path = photo(tmp_path / "photo.jpg", height, width)
    found = plain_preprocessing.crop(path, {"resize": 256, "image_size": 224, "interpolation": interpolation})
    image = images.decode(tf.io.read_file(str(path)))
    wanted = crops.views(image, Protocol(), 224, (256,), interpolation)[0].numpy()
    assert (found.dtype, found.shape) == (np.float32, (224, 224, 3))
    np.testing.assert_allclose(found, wanted, atol=1)
    assert np.mean(found == wanted) > 0.99


def test_a_turned_photograph_is_upright(tmp_path):
    upright = Image.open(photo(tmp_path / "photo.png", 60, 80))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    how = {"resize": 40, "image_size": 32}
    np.testing.assert_array_equal(
        plain_preprocessing.crop(tmp_path / "turned.png", how), plain_preprocessing.crop(tmp_path / "photo.png", how)
    )


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize("mean_image", [False, True])
def test_a_crop_is_normalised_as_model_json_says(tmp_path, channels, mean_image):
    rng = np.random.default_rng(0)
    path = None
    if mean_image:
        path = str(tmp_path / "mean.npy")
        np.save(path, rng.uniform(90, 130, (20, 24, 3)).astype("float32"))
    preprocessing = Preprocessing(16, 18, (120.0, 110.0, 100.0), (60.0, 61.0, 62.0), path, channels)
    (tmp_path / "out").mkdir()
    how = export.write_preprocessing(tmp_path / "out", preprocessing)["preprocessing"]
    crop = rng.uniform(0, 255, (16, 16, 3)).astype("float32")
    found = plain_preprocessing.normalise(crop, how, tmp_path / "out")
    np.testing.assert_allclose(found, pipeline.normaliser(preprocessing)(crop), atol=1e-5)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["mean_image.npy"] * mean_image
