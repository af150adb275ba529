"""The views of one picture that a test protocol asks for.

A corner is (top, left) in whole pixels of the resized picture. Pictures are resized as the network's preprocessing says
(`resampling`), so that the one central crop here is the crop that validation sees.
"""

import tensorflow as tf

from common.evaluation.protocol import Protocol
from common.input import resampling


def corners_and_centre(shape: tf.Tensor, size: int, interpolation: str = resampling.LAB) -> tf.Tensor:
    """(5, 2) int32: the squares at top left, top right, bottom left, bottom right and in the centre."""
    corners = (shape - size) * tf.constant([[0, 0], [0, 1], [1, 0], [1, 1]])
    return tf.concat([corners, resampling.centre(shape, size, interpolation)[None]], 0)


def three_squares(shape: tf.Tensor) -> tf.Tensor:
    """(3, 2) int32: the squares of the short side's width at left, centre and right (top, centre, bottom)."""
    free = shape - tf.reduce_min(shape)
    return tf.stack([tf.zeros_like(free), free // 2, free])


def _cut_all(image: tf.Tensor, corners: tf.Tensor, size: int) -> tf.Tensor:
    """(K, size, size, 3): the squares at `corners` (K, 2)."""
    sliced = [
        tf.slice(image, tf.pad(corner, [[0, 1]]), [size, size, 3]) for corner in tf.unstack(corners, corners.shape[0])
    ]
    return tf.stack(sliced)


def _one_scale(image: tf.Tensor, crops: str, size: int, short_side: int, interpolation: str) -> tf.Tensor:
    """The views at one scale, (K, size, size, 3), without their mirror images."""
    if crops == "1":
        return resampling.central_crop(image, short_side, size, interpolation)[None]
    resized = resampling.resize(image, short_side, interpolation)
    shape = tf.shape(resized)[:2]
    if crops == "10":
        return _cut_all(resized, corners_and_centre(shape, size, interpolation), size)
    inside = corners_and_centre(tf.fill([2], short_side), size)  # of a square
    squares = tf.unstack(three_squares(shape), 3)
    found = _cut_all(resized, tf.concat([square + inside for square in squares], 0), size)
    small = resampling.resize(image, size, interpolation)  # its squares are the squares resized to the input
    return tf.concat([found, _cut_all(small, three_squares(tf.shape(small)[:2]), size)], 0)


def views(
    image: tf.Tensor,
    protocol: Protocol,
    size: int,
    short_sides: tuple[int, ...],
    interpolation: str = resampling.LAB,
) -> tf.Tensor:
    """A picture's crops, (V, size, size, 3) float32, 0..255.

    Args:
        image: (H, W, 3), any number type.
        protocol: not dense.
        size: of the network's input.
        short_sides: `protocol.short_sides(...)`.
        interpolation: how the picture is resized.

    Returns:
        The views of the first scale, of the second ...; then the mirror images of all of them in the same order. Of one
        scale: 10 as in `corners_and_centre`; 144 the same within the first square, the second and the third, then the
        three squares themselves.
    """
    found = tf.concat([_one_scale(image, protocol.crops, size, side, interpolation) for side in short_sides], 0)
    if protocol.mirrored:
        found = tf.concat([found, tf.reverse(found, [2])], 0)
    return tf.ensure_shape(found, (protocol.views(len(short_sides)), size, size, 3))


def pictures(
    image: tf.Tensor, short_sides: tuple[int, ...], interpolation: str = resampling.LAB
) -> tuple[tf.Tensor, ...]:
    """For the dense protocol: the whole picture at every scale, each (h, w, 3) float32; mirrored by the caller."""
    return tuple(resampling.resize(image, side, interpolation) for side in short_sides)
