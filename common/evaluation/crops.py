"""The views of one picture that a test protocol asks for.

A corner is (top, left) in whole pixels of the resized picture. Pictures are resized as everywhere (`images.resize`), so
that the one central crop here is the crop that validation sees.
"""

import tensorflow as tf

from common.evaluation.protocol import Protocol
from common.input import images


def centre(shape: tf.Tensor, size: int) -> tf.Tensor:
    """(1, 2) int32: corner of the central size x size square of a picture of `shape` (2,) int32."""
    return (shape - size)[None] // 2


def corners_and_centre(shape: tf.Tensor, size: int) -> tf.Tensor:
    """(5, 2) int32: the squares at top left, top right, bottom left, bottom right and in the centre."""
    corners = (shape - size) * tf.constant([[0, 0], [0, 1], [1, 0], [1, 1]])
    return tf.concat([corners, centre(shape, size)], 0)


def three_squares(shape: tf.Tensor) -> tf.Tensor:
    """(3, 2) int32: the squares of the short side's width at left, centre and right (top, centre, bottom)."""
    free = shape - tf.reduce_min(shape)
    return tf.stack([tf.zeros_like(free), free // 2, free])


def _at(image: tf.Tensor, short_side: int) -> tf.Tensor:
    """The picture with its short side resized: (h, w, 3) float32."""
    shape = images.resized_shape(tf.shape(image)[:2], short_side)
    return images.resize(image, tf.cast(shape, tf.int32))


def _cut_all(image: tf.Tensor, corners: tf.Tensor, size: int) -> tf.Tensor:
    """(K, size, size, 3): the squares at `corners` (K, 2)."""
    sliced = [
        tf.slice(image, tf.pad(corner, [[0, 1]]), [size, size, 3]) for corner in tf.unstack(corners, corners.shape[0])
    ]
    return tf.stack(sliced)


def _one_scale(image: tf.Tensor, crops: str, size: int, short_side: int) -> tf.Tensor:
    """The views at one scale, (K, size, size, 3), without their mirror images."""
    resized = _at(image, short_side)
    shape = tf.shape(resized)[:2]
    if crops == "1":
        return _cut_all(resized, centre(shape, size), size)
    if crops == "10":
        return _cut_all(resized, corners_and_centre(shape, size), size)
    inside = corners_and_centre(tf.fill([2], short_side), size)  # of a square
    squares = tf.unstack(three_squares(shape), 3)
    found = _cut_all(resized, tf.concat([square + inside for square in squares], 0), size)
    small = _at(image, size)  # its squares are the squares resized to the input
    return tf.concat([found, _cut_all(small, three_squares(tf.shape(small)[:2]), size)], 0)


def views(image: tf.Tensor, protocol: Protocol, size: int, short_sides: tuple[int, ...]) -> tf.Tensor:
    """A picture's crops, (V, size, size, 3) float32, 0..255.

    Args:
        image: (H, W, 3), any number type.
        protocol: not dense.
        size: of the network's input.
        short_sides: `protocol.short_sides(...)`.

    Returns:
        The views of the first scale, of the second ...; then the mirror images of all of them in the same order. Of one
        scale: 10 as in `corners_and_centre`; 144 the same within the first square, the second and the third, then the
        three squares themselves.
    """
    found = tf.concat([_one_scale(image, protocol.crops, size, side) for side in short_sides], 0)
    if protocol.mirrored:
        found = tf.concat([found, tf.reverse(found, [2])], 0)
    return tf.ensure_shape(found, (protocol.views(len(short_sides)), size, size, 3))


def pictures(image: tf.Tensor, short_sides: tuple[int, ...]) -> tuple[tf.Tensor, ...]:
    """For the dense protocol: the whole picture at every scale, each (h, w, 3) float32; mirrored by the caller."""
    return tuple(_at(image, side) for side in short_sides)
