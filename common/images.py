"""Pictures as tensors: decode, cut a window out, resize, normalise. Nothing here is random.

One decoder serves training, test and prediction. A window is [[top, left], [height, width]], (2, 2) float32, in pixels
of the stored picture; it may begin and end between pixels. Every crop of the project is such a window, brought to the
network's square input. Resizing a picture and then cropping is the same thing with the crop's corners mapped back to
the stored picture, only cheaper: what lies outside is neither decoded nor resized.
"""

from collections.abc import Callable

import tensorflow as tf

DCT = "INTEGER_ACCURATE"  # TF's own default is the fast, less exact one; the same picture must give the same pixels
HALVINGS = 3
MOST_ENLARGED = 1.5  # a window enlarged more than this is not moved to whole pixels: they would be seen as steps

Chooser = Callable[[tf.Tensor], tf.Tensor]


def is_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    """Scalar bool: do the bytes (scalar string) begin as a JPEG file does? File names do not count."""
    return tf.equal(tf.strings.substr(encoded, 0, 2), b"\xff\xd8")


def _decode_other(encoded: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    return tf.ensure_shape(image, (None, None, 3))


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """Bytes of a JPEG, PNG, GIF (first frame), BMP or WebP file -> (H, W, 3) uint8 RGB.

    Grey becomes RGB, CMYK is converted, alpha is dropped, 16 bits become 8. Orientation tags are not looked at.
    Raises tf.errors.InvalidArgumentError for anything else.
    """
    return tf.cond(
        is_jpeg(encoded),
        lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method=DCT),
        lambda: _decode_other(encoded),
    )


def resize(image: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Picture (H, W, 3), any number type, bilinearly to `shape` (2,) int32 -> float32; `tf.image.resize`'s convention.

    No antialiasing: `read_window` has halved what is more than twice too large. Nothing is computed where the shape is
    right already.
    """
    values = tf.cast(image, tf.float32)  # first: resizing uint8 takes twice as long
    return tf.cond(
        tf.reduce_all(tf.equal(tf.shape(image)[:2], shape)),
        lambda: values,
        lambda: tf.raw_ops.ResizeBilinear(images=values[None], size=shape, half_pixel_centers=True)[0],
    )


def cut(part: tf.Tensor, window: tf.Tensor, size: int) -> tf.Tensor:
    """Resizes a picture (H, W, 3), any number type, to the window's scale and cuts the window out: (size, size, 3)."""
    scale = size / window[1]
    shape = tf.maximum(tf.cast(tf.round(tf.cast(tf.shape(part)[:2], tf.float32) * scale), tf.int32), size)
    corner = tf.clip_by_value(tf.cast(tf.round(window[0] * scale), tf.int32), 0, shape - size)
    found = tf.slice(resize(part, shape), tf.pad(corner, [[0, 1]]), [size, size, 3])
    return tf.ensure_shape(found, (size, size, 3))


def read_window(encoded: tf.Tensor, choose: Chooser, size: int, whole: bool = False) -> tf.Tensor:
    """Decodes the part of a picture that a window needs and brings it to size x size.

    A picture more than twice (four, eight times) as large as needed is made 2 (4, 8) times smaller by averaging, in a
    JPEG while decoding. Bilinear resizing alone would skip most of its pixels.

    Args:
        encoded: bytes, scalar string.
        choose: (height, width) of the picture, (2,) int32 -> window.
        size: of the output, in pixels.
        whole: True: exact, the whole picture is resized and then cropped. False: of a JPEG only the window is decoded
            and resized, after its edges moved to the nearest whole pixels; where it is much enlarged, with the pixels
            around it instead. Both are the same, and only the window decoded, where it has the output's size already.

    Returns:
        (size, size, 3) float32, 0..255.
    """
    if whole:
        return _read_any(encoded, choose, size, whole=True)
    shape = tf.cond(is_jpeg(encoded), lambda: tf.image.extract_jpeg_shape(encoded), lambda: tf.zeros([3], tf.int32))
    window = choose(shape[:2])  # not a number where the shape is not known, and then not plain
    shortest = tf.reduce_min(window[1])
    plain = (shortest * MOST_ENLARGED >= size) & (shortest < 2 * size)
    return tf.cond(plain, lambda: _read_plain(encoded, window, size), lambda: _read_any(encoded, choose, size))


def _read_plain(encoded: tf.Tensor, window: tf.Tensor, size: int) -> tf.Tensor:
    """`read_window` for the usual window of the usual JPEG, in few operations: their number is felt at this speed."""
    first, extent = tf.unstack(window)
    corner = tf.round(first)
    part = tf.cast(tf.concat([corner, tf.round(first + extent) - corner], 0), tf.int32)
    decoded = tf.image.decode_and_crop_jpeg(encoded, part, channels=3, dct_method=DCT)
    return tf.ensure_shape(resize(decoded, tf.constant([size, size])), (size, size, 3))


def _read_any(encoded: tf.Tensor, choose: Chooser, size: int, whole: bool = False) -> tf.Tensor:
    """`read_window` for every kind of file and window."""
    jpeg = is_jpeg(encoded)

    def open_other():
        image = _decode_other(encoded)
        return image, tf.shape(image)

    nothing = tf.zeros([0, 0, 3], tf.uint8)
    image, shape = tf.cond(jpeg, lambda: (nothing, tf.image.extract_jpeg_shape(encoded)), open_other)
    shape = shape[:2]
    window = choose(shape)
    halvings = tf.math.log(tf.reduce_min(window[1]) / size + 1e-6) / tf.math.log(2.0)
    halvings = tf.clip_by_value(tf.cast(tf.floor(halvings), tf.int32), 0, HALVINGS)
    ratio = tf.bitwise.left_shift(1, halvings)
    smaller = (shape + ratio - 1) // ratio
    window *= tf.cast(smaller, tf.float32) / tf.cast(shape, tf.float32)
    part = _part(window, smaller, size, whole)

    def cropped(power):
        return lambda: tf.image.decode_and_crop_jpeg(encoded, part, channels=3, ratio=2**power, dct_method=DCT)

    def sliced():
        averaged = tf.cond(
            halvings > 0,
            lambda: tf.cast(tf.round(tf.raw_ops.ResizeArea(images=image[None], size=smaller)[0]), tf.uint8),
            lambda: image,
        )
        return tf.slice(averaged, tf.pad(part[:2], [[0, 1]]), tf.concat([part[2:], [3]], 0))

    branches = [*map(cropped, range(HALVINGS + 1)), sliced]
    decoded = tf.switch_case(tf.where(jpeg, halvings, HALVINGS + 1), branches)
    offset = tf.cast(part[:2], tf.float32)
    return cut(decoded, tf.stack([window[0] - offset, window[1]]), size)


def _part(window: tf.Tensor, shape: tf.Tensor, size: int, whole: bool) -> tf.Tensor:
    """The whole pixels to decode for a window: (top, left, height, width) int32 inside a picture of `shape`."""
    tolerance = 1e-3  # of float32's rounding, so that 10.00001 is not taken to reach into the next pixel
    first = tf.cast(tf.floor(window[0] + tolerance), tf.int32)
    last = tf.cast(tf.math.ceil(window[0] + window[1] - tolerance), tf.int32)
    if whole:
        stored = tf.reduce_all(tf.equal(window[1], float(size)))
        first, last = tf.where(stored, first, 0), tf.where(stored, last, shape)
    last = tf.minimum(last, shape)
    first = tf.clip_by_value(first, 0, last - 1)
    return tf.concat([first, last - first], 0)


def resized_shape(shape: tf.Tensor, short_side: tf.Tensor) -> tf.Tensor:
    """(2,) float32, whole numbers: height and width once the shorter is `short_side`, the other rounded."""
    sides = tf.cast(shape, tf.float32)
    return tf.round(sides * (tf.cast(short_side, tf.float32) / tf.reduce_min(sides)))


def window_of_resized(shape: tf.Tensor, resized: tf.Tensor, corner: tf.Tensor, size: int) -> tf.Tensor:
    """The window that a crop of a resized picture covers in the picture itself.

    Args:
        shape: (2,) int32, height and width of the picture.
        resized: (2,) float32, height and width after resizing.
        corner: (2,) float32, top and left of the crop in the resized picture.
        size: height and width of the crop.
    """
    return tf.stack([corner, [float(size)] * 2]) * (tf.cast(shape, tf.float32) / resized)


def centre_crop(short_side: int, size: int) -> Chooser:
    """Short side to `short_side`, then the central size x size crop (an odd remainder goes to the bottom and right)."""

    def choose(shape):
        resized = resized_shape(shape, short_side)
        return window_of_resized(shape, resized, tf.floor((resized - size) / 2), size)

    return choose


def normalise(image: tf.Tensor, mean: tf.Tensor, std: tf.Tensor | None = None, channels: str = "rgb") -> tf.Tensor:
    """(image - mean) / std, then the channels in the order asked for.

    Args:
        image: (..., H, W, 3) float32 RGB, 0..255.
        mean: broadcasts to the image; 0..255, RGB.
        std: broadcasts to the image; None: 1.
        channels: "rgb", or "bgr" for weights that were trained on that order.
    """
    image = image - mean
    if std is not None:
        image = image / std
    return tf.reverse(image, [-1]) if channels == "bgr" else image
