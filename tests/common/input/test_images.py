import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from common.input import images


def smooth(height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8 whose values change slowly, so that JPEG and bilinear resizing are nearly exact on it."""
    rows, columns = np.mgrid[:height, :width]
    channels = (rows * 200 / height, columns * 200 / width, (rows + columns) * 100 / (height + width))
    return np.stack([channel + 20 for channel in channels], -1).astype(np.uint8)


def encode(pixels: np.ndarray, form: str = "PNG", **settings) -> tf.Tensor:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **settings)
    return tf.constant(buffer.getvalue())


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3)).astype(np.uint8)


def fixed(top, left, height, width):
    return lambda shape: tf.constant([[top, left], [height, width]], tf.float32)


def bilinear(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear resizing written out: output pixel i lies at (i + 0.5) * old / new - 0.5, edges repeat."""

    def weights(new, old):
        matrix = np.zeros((new, old))
        for i in range(new):
            place = (i + 0.5) * old / new - 0.5
            low = int(np.floor(place))
            for j, share in ((low, 1 - (place - low)), (low + 1, place - low)):
                matrix[i, min(max(j, 0), old - 1)] += share
        return matrix

    along_rows = np.tensordot(weights(height, pixels.shape[0]), pixels.astype(np.float64), 1)
    return np.moveaxis(np.tensordot(weights(width, pixels.shape[1]), along_rows, (1, 1)), 0, 1)


@pytest.mark.parametrize("form", ["PNG", "BMP", "GIF"])
def test_what_is_lossless_is_decoded_to_its_pixels_whatever_it_is_called(form):
    grey = np.repeat(noise(5, 7)[..., :1], 3, -1)
    np.testing.assert_array_equal(images.decode(encode(grey, form)), grey)


def test_grey_alpha_and_16_bits_become_rgb():
    grey = noise(6, 5)[..., 0]
    np.testing.assert_array_equal(images.decode(encode(grey)), np.repeat(grey[..., None], 3, -1))
    colour = noise(6, 5)
    alpha = np.concatenate([colour, np.full((6, 5, 1), 128, np.uint8)], -1)
    np.testing.assert_array_equal(images.decode(encode(alpha)), colour)
    deep = grey.astype(np.uint16) * 256
    np.testing.assert_array_equal(images.decode(encode(deep)), np.repeat(grey[..., None], 3, -1))


def test_cmyk_jpeg_becomes_rgb():
    buffer = io.BytesIO()
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(buffer, "JPEG", quality=95)
    red, green, blue = images.decode(tf.constant(buffer.getvalue())).numpy()[8, 8]
    assert red > 200
    assert max(green, blue) < 60


@pytest.mark.parametrize("junk", [b"", b"hello", b"\xff\xd8\xff and no more"])
def test_what_is_no_image_is_an_error(junk):
    with pytest.raises(tf.errors.InvalidArgumentError):
        images.decode(tf.constant(junk))


def test_resizing_is_the_formula_on_both_axes():
    pixels = noise(6, 9)
    np.testing.assert_allclose(images.resize(pixels, tf.constant([8, 7])), bilinear(pixels, 8, 7), atol=1e-3)
    np.testing.assert_array_equal(images.resize(pixels, tf.constant([6, 9])), pixels)


def test_a_picture_much_too_large_is_averaged_not_skipped_over():
    pixels = noise(12, 16)
    blocks = pixels.reshape(3, 4, 4, 4, 3).mean((1, 3))
    np.testing.assert_allclose(images.resize(pixels, tf.constant([3, 4])), blocks, atol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(10, 10), (9, 14), (30, 11)])
def test_test_crop_is_the_centre_of_the_resized_picture(height, width):
    pixels = noise(height, width)
    short = min(height, width)
    resized = bilinear(pixels, round(height * 12 / short), round(width * 12 / short))
    top, left = (resized.shape[0] - 9) // 2, (resized.shape[1] - 9) // 2
    got = images.read_window(encode(pixels), images.centre_crop(12, 9), 9, exact=True)
    np.testing.assert_allclose(got, resized[top : top + 9, left : left + 9], atol=1e-2)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("exact", [True, False])
def test_a_window_of_the_outputs_size_is_cut_out_untouched(form, exact):
    encoded = encode(noise(40, 50), form)
    got = images.read_window(encoded, fixed(5, 13, 24, 24), 24, exact=exact)
    np.testing.assert_array_equal(got, images.decode(encoded)[5:29, 13:37])


@pytest.mark.parametrize("subsampling", [0, 1, 2], ids=["444", "422", "420"])
def test_every_place_of_a_cropped_jpeg_has_the_whole_pictures_pixels(subsampling):
    """Colours are stored at half the width and interpolated: at the edges of the crop and of libjpeg's blocks too."""
    encoded = encode(noise(56, 72), "JPEG", quality=90, subsampling=subsampling)
    whole = images.decode(encoded).numpy()
    corners = [(top, left) for top in (0, 3, 16) for left in range(0, 33)]
    windows = tf.constant([[corner, (40, 40)] for corner in corners], tf.float32)
    read = tf.data.Dataset.from_tensor_slices(windows).map(
        lambda window: images.read_window(encoded, lambda _: window, 40)
    )
    for pixels, (top, left) in zip(read.as_numpy_iterator(), corners, strict=True):
        np.testing.assert_array_equal(pixels, whole[top : top + 40, left : left + 40])


@pytest.mark.parametrize(("top", "left", "height", "width"), [(0, 0, 30, 30), (3, 7, 25, 31), (10, 20, 30, 30)])
def test_decoding_the_crop_alone_is_decode_crop_resize(top, left, height, width):
    encoded = encode(noise(40, 50), "JPEG", quality=90)
    crop = images.decode(encoded).numpy()[top : top + height, left : left + width]
    got = images.read_window(encoded, fixed(top, left, height, width), 24)
    np.testing.assert_allclose(got, bilinear(crop, 24, 24), atol=1e-2)


def averaged(pixels: np.ndarray, top: int, left: int, extent: int, size: int) -> np.ndarray:
    """Every output pixel is the mean over its share of the window, parts of pixels by their part."""

    def weights(begin, old):
        edges = begin + np.arange(size + 1) * extent / size
        cells = np.arange(old)
        return np.clip(np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells), 0, None)

    rows, columns = weights(top, pixels.shape[0]), weights(left, pixels.shape[1])
    return np.einsum("ih,jw,hwc->ijc", rows, columns, pixels.astype(np.float64)) / (extent / size) ** 2


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize(
    ("top", "left", "extent"), [(40, 52, 60), (41, 53, 100), (48, 56, 128), (11, 129, 213), (3, 9, 400), (0, 122, 411)]
)
def test_a_window_of_a_large_picture_is_averaged_at_whatever_size_it_is_decoded(form, top, left, extent):
    """To 16 pixels, from a window in full size (the first), or at 1/2 to 1/8, in a picture no multiple of them."""
    pixels = smooth(411, 533)
    encoded = encode(pixels, form, **({"quality": 98, "subsampling": 0} if form == "JPEG" else {}))
    got = images.read_window(encoded, fixed(top, left, extent, extent), 16).numpy()
    want = averaged(pixels, top, left, extent, 16)
    # The window moved to whole pixels of what was decoded, at least twice as many as here: by a quarter of a pixel.
    moved = sum(np.abs(np.diff(want, axis=axis)).mean((0, 1)) for axis in (0, 1)) / 4
    assert (np.abs((got - want).mean((0, 1))) < moved + 0.1).all()
    assert (np.abs(got - want).max((0, 1)) < 4 * moved + 2).all()


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("corner", [(0, 0), (11, 3), (31, 31)])
def test_a_crop_of_the_resized_picture_is_found_in_the_stored_one(form, corner):
    """256 and 224 of a 300 x 400 picture: at most half a stored pixel off, here less than one grey level."""
    pixels = smooth(300, 400)
    encoded = encode(pixels, form, **({"quality": 98, "subsampling": 0} if form == "JPEG" else {}))

    def choose(shape):
        return images.window_of_resized(shape, images.resized_shape(shape, 256), tf.constant(corner, tf.float32), 224)

    got = images.read_window(encoded, choose, 224).numpy()
    resized = bilinear(pixels, 256, 341)
    want = resized[corner[0] : corner[0] + 224, corner[1] : corner[1] + 224]
    assert np.abs(got - want).max() < 4
    assert np.abs((got - want).mean((0, 1))).max() < 1


def test_a_small_picture_is_not_moved_to_whole_pixels():
    """8 pixels to 64: crops one output pixel apart differ by one output pixel, not by none or eight."""
    pixels = noise(8, 8)
    resized = bilinear(pixels, 64, 64)
    for corner in range(1, 8):
        got = images.read_window(encode(pixels), fixed(corner / 8, 0.5, 7, 7), 56)
        np.testing.assert_allclose(got, resized[corner : corner + 56, 4:60], atol=1e-2)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize(("place", "size"), [((3, 7, 25, 31), 24), ((3, 7, 24, 24), 24), ((0.3, 5.6, 9.2, 8.8), 40)])
def test_a_mirrored_window_is_the_window_mirrored(form, place, size):
    """Shrunk, untouched, and much enlarged between pixels."""
    encoded = encode(noise(40, 50), form)
    plain, same, mirrored = (
        images.read_window(encoded, fixed(*place), size, mirror=mirror)
        for mirror in (None, tf.constant(False), tf.constant(True))
    )
    np.testing.assert_array_equal(same, plain)
    np.testing.assert_allclose(mirrored, plain.numpy()[:, ::-1], atol=1e-3)
    assert np.abs(mirrored - plain).max() > 50


def test_windows_reach_the_picture_s_last_pixel():
    encoded = encode(noise(37, 53), "JPEG")
    for size in (16, 24, 37, 50):
        got = images.read_window(encoded, fixed(0.6, 16.6, 36.4, 36.4), size)
        assert got.shape == (size, size, 3)
        assert np.isfinite(got).all()


def test_normalise_against_numpy():
    pixels = noise(4, 5).astype(np.float32)
    mean, std = np.float32([120, 110, 100]), np.float32([58, 57, 56])
    np.testing.assert_allclose(images.normalise(pixels, mean), pixels - mean)
    got = images.normalise(pixels, mean, std, "bgr")
    np.testing.assert_allclose(got, ((pixels - mean) / std)[..., ::-1], rtol=1e-6)


def tagged(pixels: np.ndarray, tag: int, big_endian: bool = True, **settings) -> tf.Tensor:
    """A JPEG with an EXIF orientation tag behind some other entries."""
    exif = Image.Exif()
    exif.endian = ">" if big_endian else "<"
    exif[0x010F], exif[0x0110], exif[0x0112], exif[0x0132] = "maker", "model", tag, "2020:01:01 00:00:00"
    return encode(pixels, "JPEG", exif=exif, **settings)


def upright(pixels: np.ndarray, tag: int) -> np.ndarray:
    """By the words of the EXIF standard: where the stored first row and the stored first column are to be seen."""
    rows, columns = {
        1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"), 4: ("bottom", "left"),
        5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom"),
    }[tag]  # fmt: skip
    pixels = pixels[::-1] if rows in ("bottom", "right") else pixels
    pixels = pixels[:, ::-1] if columns in ("right", "bottom") else pixels
    return pixels if rows in ("top", "bottom") else pixels.transpose(1, 0, 2)


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("big_endian", [True, False])
def test_a_jpeg_is_turned_as_its_tag_says(tag, big_endian):
    pixels = noise(24, 40)
    stored = images.decode(encode(pixels, "JPEG")).numpy()
    np.testing.assert_array_equal(images.decode(tagged(pixels, tag, big_endian)), upright(stored, tag))


@pytest.mark.parametrize("tag", [0, 9, 60000])
def test_a_tag_of_no_meaning_turns_nothing(tag):
    pixels = noise(24, 40)
    np.testing.assert_array_equal(images.decode(tagged(pixels, tag)), images.decode(encode(pixels, "JPEG")))


def test_damaged_exif_data_turn_nothing():
    pixels = noise(24, 40)
    whole, plain = tagged(pixels, 6).numpy(), images.decode(encode(pixels, "JPEG")).numpy()
    begin = whole.index(b"Exif\0\0") + 6
    for place, values in ((begin + 4, b"\xff\xff\xff\xff"), (begin + 4, b"\0\0\x40\0"), (begin + 8, b"\0\0")):
        broken = whole[:place] + values + whole[place + len(values) :]
        np.testing.assert_array_equal(images.decode(tf.constant(broken)), plain)
    more = whole[: begin + 8] + b"\xff\xff" + whole[begin + 10 :]  # says it has 65,535 entries: it is still found
    np.testing.assert_array_equal(images.decode(tf.constant(more)), upright(plain, 6))


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("exact", [True, False])
def test_a_window_is_one_of_the_upright_picture(tag, exact):
    """Cut out untouched, at places where the decoder interpolates the colours of neighbouring columns."""
    encoded = tagged(noise(56, 72), tag, quality=90)
    whole = images.decode(encoded).numpy()
    for top, left in ((0, 0), (3, 7), (16, 9), (16, 16)):
        got = images.read_window(encoded, fixed(top, left, 40, 40), 40, exact=exact)
        np.testing.assert_array_equal(got, whole[top : top + 40, left : left + 40])


@pytest.mark.parametrize("tag", [1, 3, 6, 7])
@pytest.mark.parametrize("extent", [60, 100, 213, 400])
def test_a_window_of_a_large_picture_that_is_not_stored_upright(tag, extent):
    """Decoded at full size, 1/2, 1/4 and 1/8, mirrored or not: the same as of the picture stored upright."""
    pixels, settings = smooth(408, 536), {"quality": 98, "subsampling": 0}
    turned = upright(pixels, tag)
    assert images.read_window(tagged(pixels, tag), lambda shape: checked(shape, turned.shape), 16).shape == (16, 16, 3)
    place = fixed(5, 9, extent, extent)
    for mirror in (None, tf.constant(True)):
        got = images.read_window(tagged(pixels, tag, **settings), place, 16, mirror=mirror)
        want = images.read_window(encode(turned, "JPEG", **settings), place, 16, mirror=mirror)
        assert np.abs(got - want).max() < 4
        assert np.abs(got - want).mean() < 0.5


def checked(shape: tf.Tensor, expected: tuple[int, ...]) -> tf.Tensor:
    """A window of the whole picture's upper left; the picture's shape is asserted."""
    tf.debugging.assert_equal(shape, expected[:2])
    return tf.constant([[0, 0], [16, 16]], tf.float32)


def test_turning_survives_in_a_saved_model(tmp_path):
    module = tf.Module()
    module.decode = tf.function(images.decode, input_signature=[tf.TensorSpec((), tf.string)])
    tf.saved_model.save(module, str(tmp_path))
    pixels = noise(24, 40)
    turned = upright(images.decode(encode(pixels, "JPEG")).numpy(), 6)
    np.testing.assert_array_equal(tf.saved_model.load(str(tmp_path)).decode(tagged(pixels, 6)), turned)
