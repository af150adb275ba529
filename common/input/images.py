"""Pictures as tensors: decode, cut a window out, resize, normalise. Nothing here is random.

One decoder serves training, test and prediction. A window is [[top, left], [height, width]], (2, 2) float32, in pixels
of the stored picture; it may begin and end between pixels. Every crop of the project is such a window, brought to the
network's square input. Resizing a picture and then cropping is the same thing with the crop's corners mapped back to
the stored picture, only cheaper: what lies outside is neither decoded nor resized.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from common.input import orientation

DCT = "INTEGER_ACCURATE"  # TF's own default is the fast, less exact one; the same picture must give the same pixels
MOST_ENLARGED = 1.5  # a window enlarged more than this is not moved to whole pixels: they would be seen as steps
LARGE = (4, 8, 16)  # a window so many times the output is decoded at 1/2, 1/4, 1/8 of the picture's size
REDUCTIONS = (1, 2, 4, 8)  # of the decoder
NO_JPEG = 0  # in place of an orientation tag
ROUNDING = 1e-3  # of float32 arithmetic, in pixels: 10.00001 does not reach into the next one

Chooser = Callable[[tf.Tensor], tf.Tensor]


def is_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    """Scalar bool: do the bytes (scalar string) begin as a JPEG file does? File names do not count."""
    return tf.equal(tf.strings.substr(encoded, 0, 2), b"\xff\xd8")


def _is_special(encoded: tf.Tensor) -> tf.Tensor:
    """Scalar bool: anything but a JPEG that is upright, as far as the first bytes tell."""
    head = tf.strings.substr(encoded, 0, orientation.HEAD)
    # \C is any byte. A JPEG begins with FF, which no regular expression here can name: neither ASCII nor PNG's 89.
    return tf.strings.regex_full_match(head, rf"(?:[\x00-\x7f]|\CPNG|\C*?{orientation.EXIF})\C*|")


def _decode_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_jpeg(encoded, channels=3, dct_method=DCT)


def _decode_other(encoded: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    return tf.ensure_shape(image, (None, None, 3))


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """Bytes of a JPEG, PNG, GIF (first frame), BMP or WebP file -> (H, W, 3) uint8 RGB.

    Grey becomes RGB, CMYK is converted, alpha is dropped, 16 bits become 8, a JPEG that lies on its side is turned.
    Raises tf.errors.InvalidArgumentError for anything else.
    """
    return tf.cond(_is_special(encoded), lambda: _decode_special(encoded), lambda: _decode_jpeg(encoded))


@orientation.as_one_operation
def _decode_special(encoded: tf.Tensor) -> tf.Tensor:
    image = tf.cond(
        is_jpeg(encoded),
        lambda: orientation.turn(_decode_jpeg(encoded), orientation.read(encoded)),
        lambda: _decode_other(encoded),
    )
    return tf.ensure_shape(image, (None, None, 3))


def to_bytes(image: tf.Tensor) -> tf.Tensor:
    """Values 0..255, float32, to the nearest whole number, halves upwards: uint8. Bytes stay as they are."""
    return image if image.dtype == tf.uint8 else tf.cast(image + 0.5, tf.uint8)


def resize(image: tf.Tensor, shape: tf.Tensor, as_bytes: bool = False) -> tf.Tensor:
    """Picture (H, W, 3), any number type, to `shape` (2,) int32 -> float32; with `as_bytes` uint8 -> uint8, rounded.

    Bilinear, pixel centres at halves, no antialiasing: `tf.image.resize`'s default. A picture at least twice as large
    as wanted is averaged over areas instead, because bilinear resizing would skip most of its pixels. Nothing is
    computed where the shape is right already.
    """

    def values():
        return tf.cast(image, tf.float32)  # first: resizing uint8 takes twice as long

    finish = to_bytes if as_bytes else tf.identity
    now = tf.shape(image)[:2]
    same, large = tf.reduce_all(tf.equal(now, shape)), tf.reduce_all(now >= 2 * shape)
    return tf.switch_case(
        tf.where(same, 0, tf.where(large, 2, 1)),
        [
            lambda: tf.identity(image) if as_bytes else values(),
            lambda: finish(tf.raw_ops.ResizeBilinear(images=values()[None], size=shape, half_pixel_centers=True)[0]),
            lambda: finish(tf.raw_ops.ResizeArea(images=values()[None], size=shape)[0]),
        ],
    )


def cut(image: tf.Tensor, window: tf.Tensor, size: int, as_bytes: bool = False) -> tf.Tensor:
    """A window of a picture (H, W, 3), any number type: resized whole, then cropped to (size, size, 3).

    float32, or with `as_bytes` uint8 (`resize`).
    """
    scale = size / window[1]
    shape = tf.cast(tf.round(tf.cast(tf.shape(image)[:2], tf.float32) * scale), tf.int32)
    shape = tf.maximum(shape, size)
    corner = tf.clip_by_value(tf.cast(tf.round(window[0] * scale), tf.int32), 0, shape - size)
    return tf.slice(resize(image, shape, as_bytes), tf.pad(corner, [[0, 1]]), [size, size, 3])


def read_window(
    encoded: tf.Tensor,
    choose: Chooser,
    size: int,
    exact: bool = False,
    mirror: tf.Tensor | None = None,
    as_bytes: bool = False,
) -> tf.Tensor:
    """Decodes the part of a picture that a window needs and brings it to size x size.

    Only the window is decoded, and resized, after its edges moved to the nearest whole pixels; where it is much
    enlarged, they move outwards and the rest is cropped afterwards, to half a pixel of the output. Of a window many
    times as large as the output, as in a camera's photographs, the JPEG decoder makes a half, a quarter or an eighth
    of the size, and no less than twice the output's. With `exact` the whole picture is decoded, resized and cropped.
    All of these are the same where the window has the output's size. A picture that is turned lies, where it was
    decoded at a reduced size, by up to half a pixel of the output beside its place.

    Args:
        encoded: bytes, scalar string.
        choose: (height, width) of the picture, (2,) int32 -> window.
        size: of the output, in pixels.
        exact: see above; for tests and predictions.
        mirror: scalar bool, left and right exchanged; done before resizing, where a picture is bytes.
        as_bytes: round to whole numbers what was resized.

    Returns:
        (size, size, 3) float32, 0..255; with `as_bytes` uint8.
    """
    # Few operations, and little in the branches: at this speed each is felt, also those of the branches not taken.
    image, shape, tag = tf.cond(_is_special(encoded), lambda: _special(encoded), lambda: _plain(encoded))
    window, shape = choose(shape[:2]), shape[:2]
    halvings = tf.zeros([], tf.int32)
    if not exact:
        large = tf.reduce_min(window[1]) >= [float(times * size) for times in LARGE]
        halvings = tf.where(tag > NO_JPEG, tf.math.count_nonzero(large, dtype=tf.int32), 0)
        reduction = tf.bitwise.left_shift(1, halvings)
        window, shape = window / tf.cast(reduction, tf.float32), -(-shape // reduction)
    first, extent = tf.unstack(window)
    corners, crops = _corners(first, extent, shape, size, exact)
    corner = corners[0]
    # One column more on either side: the colours of a column are interpolated with those of the next, and libjpeg
    # decodes blocks of columns as if nothing lay beside them.
    first_decoded = tf.maximum(corner - [0, 1], 0)
    beyond = tf.minimum(corners[1] + [0, 1], shape)
    part = tf.concat([first_decoded, beyond - first_decoded], 0)
    decoded, origin = tf.switch_case(
        tf.where(tf.equal(tag, orientation.UPRIGHT), halvings, -1),
        [lambda r=r: (_decode_part(encoded, part, r), first_decoded) for r in REDUCTIONS],
        default=lambda: _part_of_special(encoded, image, part, shape, tag, halvings),
    )
    decoded = tf.slice(decoded, tf.pad(corner - origin, [[0, 1]]), tf.concat([corners[1] - corner, [3]], 0))
    begin = tf.cast(corner, tf.float32)
    brought = tf.cond(
        crops,
        lambda: _mirrored(cut(decoded, tf.stack([first - begin, extent]), size, as_bytes), mirror),
        lambda: resize(_mirrored(decoded, mirror), tf.constant([size, size]), as_bytes),
    )
    return tf.ensure_shape(brought, (size, size, 3))


def _corners(
    first: tf.Tensor, extent: tf.Tensor, shape: tf.Tensor, size: int, exact: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """Of `read_window`: first and last corner of the pixels to decode, (2, 2) int32, and whether to crop them after."""
    last = first + extent
    if exact:
        crops = tf.reduce_any(tf.not_equal(extent, float(size)))
        return tf.where(crops, [[0, 0], shape], tf.cast(tf.round([first, last]), tf.int32)), crops
    crops = tf.reduce_min(extent) * MOST_ENLARGED < size
    around = tf.stack([tf.floor(first + ROUNDING), tf.math.ceil(last - ROUNDING)])
    return tf.cast(tf.where(crops, around, tf.round([first, last])), tf.int32), crops


def _mirrored(image: tf.Tensor, mirror: tf.Tensor | None) -> tf.Tensor:
    return image if mirror is None else tf.raw_ops.Reverse(tensor=image, dims=tf.stack([False, mirror, False]))


def _decode_part(encoded: tf.Tensor, part: tf.Tensor, reduction: int) -> tf.Tensor:
    return tf.image.decode_and_crop_jpeg(encoded, part, channels=3, ratio=reduction, dct_method=DCT)


_Found = tuple[tf.Tensor, tf.Tensor, tf.Tensor]  # pixels if decoded; height, width and more, upright; orientation tag


def _plain(encoded: tf.Tensor) -> _Found:
    return tf.zeros([0, 0, 3], tf.uint8), tf.image.extract_jpeg_shape(encoded), tf.constant(orientation.UPRIGHT)


@orientation.as_one_operation
def _special(encoded: tf.Tensor) -> _Found:
    def tagged():
        tag, (nothing, shape, _) = orientation.read(encoded), _plain(encoded)
        return nothing, tf.concat([orientation.upright_shape(shape[:2], tag), shape[2:]], 0), tag

    def other():
        image = _decode_other(encoded)
        return image, tf.shape(image), tf.constant(NO_JPEG)

    return tf.cond(is_jpeg(encoded), tagged, other)


@orientation.as_one_operation
def _part_of_special(
    encoded: tf.Tensor, image: tf.Tensor, part: tf.Tensor, shape: tf.Tensor, tag: tf.Tensor, halvings: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Pixels that hold the part, and where they begin: the decoded image's, or of a JPEG that is not stored upright.

    `part` and `shape` (height, width) are those of the upright picture at the size at which it is decoded.
    """

    def turned():
        stored, sides = orientation.stored_part(part, shape, tag), orientation.upright_shape(shape, tag)
        before = tf.minimum(stored[1], 1)  # a column more on either side, as in `read_window`: of the stored picture
        after = tf.minimum(sides[1] - stored[1] - stored[3], 1)
        wider = stored + tf.stack([0, -before, 0, before + after])
        decoded = tf.switch_case(halvings, [lambda r=r: _decode_part(encoded, wider, r) for r in REDUCTIONS])
        return orientation.turn(decoded[:, before : before + stored[3]], tag), part[:2]

    return tf.cond(tag > NO_JPEG, turned, lambda: (image, tf.zeros_like(part[:2])))


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


def normalise(image: tf.Tensor, mean: Any, std: Any = None, channels: str = "rgb") -> tf.Tensor:
    """(image - mean) / std, then the channels in the order asked for.

    Args:
        image: (..., H, W, 3) RGB, 0..255, float32 or uint8.
        mean: a tensor or array that broadcasts to the image; 0..255, RGB.
        std: the same; None: 1.
        channels: "rgb", or "bgr" for weights that were trained on that order.
    """
    image = tf.cast(image, tf.float32) - mean
    if std is not None:
        image = image / std
    return tf.reverse(image, [-1]) if channels == "bgr" else image
