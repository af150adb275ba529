"""Pictures as tensors: decode, cut a window out, resize, normalise. Nothing here is random.

One decoder serves training, test and prediction. A window is (top, left, height, width), float32, in pixels of the
stored picture; it may begin and end between pixels. Every crop of the project is such a window, brought to the
network's square input. Resizing a picture and then cropping is the same thing with the crop's corners mapped back to
the stored picture, only cheaper: what lies outside is neither decoded nor resized.
"""

from collections.abc import Callable

import tensorflow as tf

DCT = "INTEGER_ACCURATE"  # TF's own default is the fast, less exact one; the same picture must give the same pixels

Chooser = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def is_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    """Scalar bool: do the bytes (scalar string) begin as a JPEG file does? File names do not count."""
    return tf.equal(tf.strings.substr(encoded, 0, 2), b"\xff\xd8")


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """Bytes of a JPEG, PNG, GIF (first frame), BMP or WebP file -> (H, W, 3) uint8 RGB.

    Grey becomes RGB, CMYK is converted, alpha is dropped, 16 bits become 8. Orientation tags are not looked at.
    Raises tf.errors.InvalidArgumentError for anything else.
    """
    image = tf.cond(
        is_jpeg(encoded),
        lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method=DCT),
        lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
    )
    return tf.ensure_shape(image, (None, None, 3))


def resize(image: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Picture (H, W, 3), any number type, bilinearly to `shape` (2,) int32 -> float32; `tf.image.resize`'s convention.

    No antialiasing: `read_window` has halved what is more than twice too large. Nothing is computed where the shape is
    right already.
    """
    values = tf.cast(image, tf.float32)  # first: the resizing of uint8 takes twice as long
    return tf.cond(
        tf.reduce_all(tf.equal(tf.shape(image)[:2], shape)),
        lambda: values,
        lambda: tf.raw_ops.ResizeBilinear(images=values[None], size=shape, half_pixel_centers=True)[0],
    )


def _part(window: tf.Tensor, shape: tf.Tensor, size: int, whole: bool) -> tf.Tensor:
    """The whole pixels to decode for a window: (top, left, height, width) int32 inside a picture of `shape`."""
    first = tf.cast(tf.floor(window[:2] + 1e-3), tf.int32)
    last = tf.minimum(tf.cast(tf.math.ceil(window[:2] + window[2:] - 1e-3), tf.int32), shape)
    first = tf.clip_by_value(first, 0, last - 1)
    if whole:
        stored = tf.reduce_all(tf.equal(window[2:], tf.cast(size, tf.float32)))
        first, last = tf.where(stored, first, 0), tf.where(stored, last, shape)
    return tf.concat([first, last - first], 0)


def _bring(image: tf.Tensor, part: tf.Tensor, window: tf.Tensor, size: int) -> tf.Tensor:
    """Resizes the decoded part of a picture to the window's scale and cuts the window out of it."""
    scale = tf.cast(size, tf.float32) / window[2:]
    shape = tf.maximum(tf.cast(tf.round(tf.cast(part[2:], tf.float32) * scale), tf.int32), size)
    corner = tf.cast(tf.round((window[:2] - tf.cast(part[:2], tf.float32)) * scale), tf.int32)
    corner = tf.clip_by_value(corner, 0, shape - size)
    cut = tf.slice(resize(image, shape), tf.concat([corner, [0]], 0), [size, size, 3])
    return tf.ensure_shape(cut, (size, size, 3))


def cut(image: tf.Tensor, window: tf.Tensor, size: int) -> tf.Tensor:
    """A window of a picture (H, W, 3), any number type -> (size, size, 3) float32: all of it resized, then cropped."""
    part = tf.concat([[0, 0], tf.shape(image)[:2]], 0)
    return _bring(image, part, window, size)


HALVINGS = 3


def read_window(encoded: tf.Tensor, choose: Chooser, size: int, whole: bool = False) -> tf.Tensor:
    """Decodes the part of a picture that a window needs and brings it to size x size.

    A picture more than twice (four, eight times) as large as needed is made 2 (4, 8) times smaller by averaging, in a
    JPEG while decoding. Bilinear resizing alone would skip most of its pixels.

    Args:
        encoded: bytes, scalar string.
        choose: (height, width) of the picture, int32 scalars -> window.
        size: of the output, in pixels.
        whole: False: of a JPEG only the whole pixels around the window are decoded and resized; the result lies within
            half an output pixel of the exact one. True: exact, the whole picture resized and then cropped. Both are
            the same, and only the window is decoded, where the window has the output's size already.

    Returns:
        (size, size, 3) float32, 0..255.
    """

    def halvings(window):
        times = tf.math.log(tf.reduce_min(window[2:]) / size + 1e-6) / tf.math.log(2.0)
        return tf.clip_by_value(tf.cast(tf.floor(times), tf.int32), 0, HALVINGS)

    def smaller(window, shape, ratio):
        shrunk = (shape + ratio - 1) // ratio
        factor = tf.cast(shrunk, tf.float32) / tf.cast(shape, tf.float32)
        return window * tf.tile(factor, [2]), shrunk

    def jpeg():
        shape = tf.image.extract_jpeg_shape(encoded)[:2]
        stored = choose(shape[0], shape[1])

        def decoded(ratio):
            window, shrunk = smaller(stored, shape, ratio)
            part = _part(window, shrunk, size, whole)
            image = tf.image.decode_and_crop_jpeg(encoded, part, channels=3, ratio=ratio, dct_method=DCT)
            return _bring(image, part, window, size)

        branches = [lambda ratio=2**power: decoded(ratio) for power in range(HALVINGS + 1)]
        return tf.switch_case(halvings(stored), branches)

    def other():
        image = tf.ensure_shape(tf.io.decode_image(encoded, channels=3, expand_animations=False), (None, None, 3))
        shape = tf.shape(image)[:2]
        stored = choose(shape[0], shape[1])

        def averaged(ratio):
            window, _ = smaller(stored, shape, ratio)
            values = tf.cast(image, tf.float32)
            return cut(tf.nn.avg_pool2d(values[None], ratio, ratio, "SAME")[0] if ratio > 1 else values, window, size)

        branches = [lambda ratio=2**power: averaged(ratio) for power in range(HALVINGS + 1)]
        return tf.switch_case(halvings(stored), branches)

    return tf.cond(is_jpeg(encoded), jpeg, other)


def resized_shape(height: tf.Tensor, width: tf.Tensor, short_side: tf.Tensor) -> tf.Tensor:
    """(2,) int32: height and width once the shorter is `short_side`, the other rounded to whole pixels."""
    shape = tf.cast(tf.stack([height, width]), tf.float32)
    scale = tf.cast(short_side, tf.float32) / tf.reduce_min(shape)
    return tf.cast(tf.round(shape * scale), tf.int32)


def window_of_resized(
    height: tf.Tensor, width: tf.Tensor, resized: tf.Tensor, corner: tf.Tensor, size: tf.Tensor
) -> tf.Tensor:
    """The window that a crop of a resized picture covers in the picture itself.

    Args:
        height, width: of the picture, int32 scalars.
        resized: (2,) int32, height and width after resizing.
        corner: (2,) int32, top and left of the crop in the resized picture.
        size: height and width of the crop, int32.
    """
    ratio = tf.cast(tf.stack([height, width]), tf.float32) / tf.cast(resized, tf.float32)
    return tf.concat([tf.cast(corner, tf.float32) * ratio, tf.cast(size, tf.float32) * ratio], 0)


def centre_crop(short_side: int, size: int) -> Chooser:
    """Short side to `short_side`, then the central size x size crop (odd remainders go to the bottom and right)."""

    def choose(height, width):
        resized = resized_shape(height, width, short_side)
        return window_of_resized(height, width, resized, (resized - size) // 2, size)

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
