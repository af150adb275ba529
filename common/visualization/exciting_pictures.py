"""Which pictures excite a unit most, and what of them it sees.

M. Zeiler, R. Fergus, "Visualizing and Understanding Convolutional Networks", 2013, https://arxiv.org/abs/1311.2901,
section 4 and Figure 2: the top nine.
"""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from common.nn import layers
from common.visualization import scores
from common.visualization.receptive_field import fields

MOST = 9


@dataclass(frozen=True)
class Peaks:
    """The largest value of each unit of a layer over all places of each picture.

    Attributes:
        values: (N, C) float32.
        places: (N, C, 2) int32, row and column of the map where it is; (0, 0) in a layer without maps.
    """

    values: np.ndarray
    places: np.ndarray

    def strongest(self, unit: int, most: int = MOST) -> np.ndarray:
        """The numbers of the pictures that excite a unit most, the first first; of equals the lower."""
        return np.argsort(-self.values[:, unit], kind="stable")[:most]


def highest(values: np.ndarray, most: int) -> list[int]:
    """The units with the highest of values (N, C) in any of the N pictures, the highest first."""
    return np.argsort(-values.max(0), kind="stable")[:most].tolist()


def peaks_of(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Maps (N, h, w, C), or values (N, C) -> the two parts of `Peaks`."""
    values = tf.cast(values, tf.float32)
    if len(values.shape) == 2:
        return values, tf.zeros([*tf.unstack(tf.shape(values)), 2], tf.int32)
    width = values.shape[2]
    flat = tf.reshape(values, [-1, values.shape[1] * width, values.shape[3]])
    best = tf.argmax(flat, 1, tf.int32)
    return tf.reduce_max(flat, 1), tf.stack([best // width, best % width], -1)


def peaks(model: keras.Model, layer: keras.layers.Layer, inputs: np.ndarray, at_once: int = 32) -> Peaks:
    """The peaks of a layer for inputs (N, S, S, 3), normalised."""
    cut = layers.network(model.inputs[0], layer.output, "peaks")
    compute = scores.compiled(lambda some: peaks_of(cut(some, training=False)), model)
    return Peaks(*scores.in_batches(compute, at_once, inputs))


def seen(picture: np.ndarray, layer: keras.layers.Layer, place: tuple[int, int], beyond: int = 128) -> np.ndarray:
    """The part of a picture that a place of a layer's map sees.

    Args:
        picture: (S, S, 3) uint8, the network's input before it is normalised.
        layer: with a map, or without: then it sees the whole picture.
        place: row and column.
        beyond: what stands for pixels outside the picture, which are padding.

    Returns:
        (height, width, 3) uint8, cut down to the picture's own size where the field is larger.
    """
    if len(layer.output.shape) != 4:
        return picture
    spans = []
    for field, number, side in zip(fields(layer), place, picture.shape, strict=False):
        begin, end = field.pixels(number)
        if end - begin >= side:
            begin, end = 0, side
        spans.append((begin, end))
    border = max(0, *(max(-begin, end - side) for (begin, end), side in zip(spans, picture.shape, strict=False)))
    wide = np.pad(picture, ((border, border), (border, border), (0, 0)), constant_values=beyond)
    (top, bottom), (left, right) = spans
    return wide[top + border : bottom + border, left + border : right + border]
