"""Bringing a picture's short side to a length in testing: as the network's weights were trained or tested on.

lab             `images.resize`: bilinear, not antialiased, averaged over areas from one half downwards; the long
                side rounded. The only one in training.
pil_bilinear    Pillow's bilinear, antialiased, as torchvision's transforms have it (Resize, CenterCrop); the long
                side rounded down, whole grey levels after each axis.
opencv_bicubic  OpenCV's bicubic, not antialiased; the long side rounded down. The figures in the documentation of
                keras.applications were measured so (keras-team/keras-applications, issue 99).
"""

import tensorflow as tf

from common.input import images

LAB, PIL_BILINEAR, OPENCV_BICUBIC = "lab", "pil_bilinear", "opencv_bicubic"
INTERPOLATIONS = (LAB, PIL_BILINEAR, OPENCV_BICUBIC)
_SHARPNESS = -0.75  # OpenCV's a of the cubic kernel


def resized_shape(shape: tf.Tensor, short_side: int, interpolation: str = LAB) -> tf.Tensor:
    """(2,) int32: height and width of a picture of `shape` (2,) int32 once the shorter is `short_side`."""
    if interpolation == LAB:
        return tf.cast(images.resized_shape(shape, short_side), tf.int32)
    return shape * short_side // tf.reduce_min(shape)


def _rounded(image: tf.Tensor) -> tf.Tensor:
    """To whole grey levels in 0..255, halves upwards."""
    return tf.clip_by_value(tf.floor(image + 0.5), 0.0, 255.0)


def _pil_bilinear(image: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Columns, then rows: each output pixel a mean under a triangle as wide as the reduction."""

    def pass_over(image, shape):
        scale = tf.cast(shape, tf.float32) / tf.cast(tf.shape(image)[:2], tf.float32)
        resized = tf.raw_ops.ScaleAndTranslate(
            images=image[None], size=shape, scale=scale, translation=[0.0, 0.0], kernel_type="triangle", antialias=True
        )
        return _rounded(resized[0])

    image = pass_over(image, tf.stack([tf.shape(image)[0], shape[1]]))
    return pass_over(image, shape)


def _cubic_weights(part: tf.Tensor) -> tf.Tensor:
    """(n, 4): weights of the four nearest pixels for places `part` (n,), 0..1, between the second and the third."""

    def near(x):
        return ((_SHARPNESS + 2) * x - (_SHARPNESS + 3)) * x * x + 1

    def far(x):
        return ((_SHARPNESS * x - 5 * _SHARPNESS) * x + 8 * _SHARPNESS) * x - 4 * _SHARPNESS

    return tf.stack([far(part + 1), near(part), near(1 - part), far(2 - part)], 1)


def _opencv_bicubic(image: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    for axis in (0, 1):
        old, new = tf.shape(image)[axis], shape[axis]
        place = (tf.range(new, dtype=tf.float32) + 0.5) * tf.cast(old, tf.float32) / tf.cast(new, tf.float32) - 0.5
        first = tf.floor(place)
        pixels = tf.cast(first, tf.int32)[:, None] + [-1, 0, 1, 2]
        taken = tf.gather(image, tf.clip_by_value(pixels, 0, old - 1), axis=axis)  # the edge repeats
        weights = _cubic_weights(place - first)
        image = tf.einsum("nkwc,nk->nwc" if axis == 0 else "hnkc,nk->hnc", taken, weights)
    return _rounded(image)


def resize(image: tf.Tensor, short_side: int, interpolation: str = LAB) -> tf.Tensor:
    """A picture (H, W, 3), any number type, 0..255, with its short side resized: (h, w, 3) float32."""
    shape = resized_shape(tf.shape(image)[:2], short_side, interpolation)
    if interpolation == LAB:
        return images.resize(image, shape)
    method = {PIL_BILINEAR: _pil_bilinear, OPENCV_BICUBIC: _opencv_bicubic}[interpolation]
    values = tf.cast(image, tf.float32)
    same = tf.reduce_all(tf.equal(tf.shape(image)[:2], shape))
    return tf.cond(same, lambda: values, lambda: method(values, shape))


def centre(shape: tf.Tensor, size: int, interpolation: str = LAB) -> tf.Tensor:
    """(2,) int32: top and left of the central size x size square of a picture of `shape` (2,) int32.

    An odd remainder goes to the bottom and right; with torchvision its half is rounded to an even number.
    """
    if interpolation == PIL_BILINEAR:
        return tf.cast(tf.round(tf.cast(shape - size, tf.float32) / 2), tf.int32)
    return (shape - size) // 2


def central_crop(image: tf.Tensor, short_side: int, size: int, interpolation: str = LAB) -> tf.Tensor:
    """The one crop of testing: short side to `short_side`, the central (size, size, 3) float32, 0..255."""
    resized = resize(image, short_side, interpolation)
    corner = centre(tf.shape(resized)[:2], size, interpolation)
    return tf.ensure_shape(tf.slice(resized, tf.pad(corner, [[0, 1]]), [size, size, 3]), (size, size, 3))
