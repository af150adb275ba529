"""Affine maps and quarter turns of pictures (H, W, 3).

One rule of interpolation: the nearest pixel, torchvision's default for automatic augmentation, in PIL's own 16.16
fixed-point arithmetic. So the pixels are PIL's, on every processor.
"""

import math

import tensorflow as tf

_ONE = 65536.0  # in 16.16 fixed point


def affine(image: tf.Tensor, coefficients: list[tf.Tensor], fill: tf.Tensor) -> tf.Tensor:
    """PIL's `image.transform(image.size, AFFINE, coefficients, NEAREST, fillcolor=fill)`.

    Args:
        image: (H, W, 3), any type; sides below 16,384.
        coefficients: six scalars (a, b, c, d, e, f), float64: the pixel at (x, y) comes from (a x + b y + c,
            d x + e y + f), pixel centres at halves.
        fill: (3,) of the image's type, where nothing comes from within the picture.
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    a, b, c, d, e, f = (tf.cast(value, tf.float64) for value in coefficients)

    def fixed(value):
        return tf.cast(tf.floor(value * _ONE + 0.5), tf.int32)

    x, y = tf.range(width)[None, :], tf.range(height)[:, None]
    from_x = tf.bitwise.right_shift(fixed(c + 0.5 * (a + b)) + fixed(a) * x + fixed(b) * y, 16)
    from_y = tf.bitwise.right_shift(fixed(f + 0.5 * (d + e)) + fixed(d) * x + fixed(e) * y, 16)
    within = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
    place = tf.where(within, from_y * width + from_x, height * width)
    pixels = tf.concat([tf.reshape(image, [-1, 3]), fill[None]], 0)
    return tf.ensure_shape(tf.gather(pixels, place), image.shape)


def shear_x(image: tf.Tensor, amount: tf.Tensor, fill: tf.Tensor) -> tf.Tensor:
    """Each row moved left by `amount` times its distance from the top."""
    return affine(image, [1.0, amount, 0.0, 0.0, 1.0, 0.0], fill)


def shear_y(image: tf.Tensor, amount: tf.Tensor, fill: tf.Tensor) -> tf.Tensor:
    """Each column moved up by `amount` times its distance from the left."""
    return affine(image, [1.0, 0.0, 0.0, amount, 1.0, 0.0], fill)


def translate_x(image: tf.Tensor, pixels: tf.Tensor, fill: tf.Tensor) -> tf.Tensor:
    """Moved to the right by `pixels`, its fraction dropped."""
    return affine(image, [1.0, 0.0, -_whole(pixels), 0.0, 1.0, 0.0], fill)


def translate_y(image: tf.Tensor, pixels: tf.Tensor, fill: tf.Tensor) -> tf.Tensor:
    """Moved down by `pixels`, its fraction dropped."""
    return affine(image, [1.0, 0.0, 0.0, 0.0, 1.0, -_whole(pixels)], fill)


def _whole(pixels: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.cast(pixels, tf.int32), tf.float64)


def rotate(image: tf.Tensor, degrees: tf.Tensor, fill: tf.Tensor) -> tf.Tensor:
    """Turned about its centre, counter-clockwise, as PIL's `image.rotate`."""
    angle = -tf.cast(degrees, tf.float64) * (math.pi / 180.0)
    cosine, sine = (tf.round(value * 1e15) / 1e15 for value in (tf.cos(angle), tf.sin(angle)))
    shape = tf.cast(tf.shape(image)[:2], tf.float64)
    y, x = tf.unstack(shape / 2.0)
    return affine(image, [cosine, sine, x - cosine * x - sine * y, -sine, cosine, y + sine * x - cosine * y], fill)


def turn(image: tf.Tensor, quarters: tf.Tensor, upside_down: tf.Tensor) -> tf.Tensor:
    """A square picture turned by quarters of a circle, and top and bottom exchanged after that.

    Args:
        image: (S, S, 3), any type.
        quarters: scalar int32, 0..3, counter-clockwise, as `np.rot90` counts.
        upside_down: scalar bool.
    """
    # A transposition is a turn and a reflection: a quarter turn reverses the rows after it, three quarters the columns.
    turned = tf.cond(tf.equal(quarters % 2, 1), lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    rows = tf.logical_or(tf.equal(quarters, 1), tf.equal(quarters, 2))
    columns = quarters >= 2
    dims = tf.stack([tf.not_equal(rows, upside_down), columns, False])
    return tf.ensure_shape(tf.raw_ops.Reverse(tensor=turned, dims=dims), image.shape)
