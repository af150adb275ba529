"""Pictures that maximise a class's score or a unit: gradient ascent from noise.

K. Simonyan, A. Vedaldi, A. Zisserman, "Deep Inside Convolutional Networks", 2013, https://arxiv.org/abs/1312.6034,
section 2. Total variation: A. Mahendran, A. Vedaldi, "Understanding Deep Image Representations by Inverting Them",
2015, https://arxiv.org/abs/1412.0035, equation 5 with beta = 2. Jitter, a random shift before every step: A.
Mordvintsev, C. Olah, M. Tyka, "Inceptionism", 2015.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from common.nn import layers
from common.visualization import scores
from common.visualization.guided import ACTIVATIONS, Maxout
from common.visualization.scores import Report, silent


@dataclass(frozen=True)
class Ascent:
    """How a picture is found. Pixels are counted from 0, black, to 1, white.

    Attributes:
        steps: of gradient ascent.
        rate: size of a step: the root mean square by which it moves the pixels, before the penalty.
        jitter: largest shift in pixels, either way.
        total_variation: weight of the penalty, beside a gradient scaled to a root mean square of 1.
        contrast: standard deviation of the noise at the start, about mid-grey.
        seed: of the noise and of the shifts.
    """

    steps: int = 128
    rate: float = 0.02
    jitter: int = 4
    total_variation: float = 2.0
    contrast: float = 0.05
    seed: int = 0


def before_activation(layer: keras.layers.Layer) -> keras.KerasTensor:
    """What a layer puts out, or of an activation what it takes in: there even a silent unit has a gradient."""
    if isinstance(layer, ACTIVATIONS) and not isinstance(layer, Maxout):
        return layer.input
    return layer.output


def total_variation(pictures: tf.Tensor) -> tf.Tensor:
    """(N,): half the sum of squared differences of neighbouring pixels of (N, S, S, 3)."""
    rows, columns = pictures[:, 1:] - pictures[:, :-1], pictures[:, :, 1:] - pictures[:, :, :-1]
    return (tf.reduce_sum(rows * rows, [1, 2, 3]) + tf.reduce_sum(columns * columns, [1, 2, 3])) / 2


def maximise(
    model: keras.Model,
    units: Sequence[int],
    black: np.ndarray,
    white: np.ndarray,
    layer: keras.layers.Layer | None = None,
    ascent: Ascent = Ascent(),
    report: Report = silent,
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures with a high score.

    Args:
        model: the network.
        units: numbers of classes, or of the layer's units; a unit of a map is a channel, its mean over all places.
        black, white: (S, S, 3), a black and a white picture as the network takes them.
        layer: whose units; None: the classes' scores.
        ascent: how they are found.
        report: is told of steps.

    Returns:
        Pictures (len(units), S, S, 3) float32, 0..1, channels in the network's order, and their scores (len(units),).
    """
    tensor = model.outputs[0] if layer is None else before_activation(layer)
    cut = layers.network(model.inputs[0], tensor, "maximised")
    shape = (len(units), *black.shape)
    numbers, span = tf.constant(units, tf.int32), tf.constant(white - black, tf.float32)

    def of_units(pictures):
        values = tf.cast(cut(black + pictures * span, training=False), tf.float32)
        values = tf.reduce_mean(values, [1, 2]) if len(values.shape) == 4 else values
        return scores.of_class(values, numbers)

    def step(pictures, shift):
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(pictures)
            score = tf.reduce_sum(of_units(tf.roll(pictures, shift, [1, 2])))
            variation = tf.reduce_sum(total_variation(pictures))
        up, rough = tape.gradient(score, pictures), tape.gradient(variation, pictures)
        size = tf.sqrt(tf.reduce_mean(up * up, [1, 2, 3], keepdims=True))
        moved = pictures + ascent.rate * (tf.math.divide_no_nan(up, size) - ascent.total_variation * rough)
        return tf.clip_by_value(moved, 0.0, 1.0)

    whole = tf.TensorSpec(shape, tf.float32)
    step = tf.function(
        step, input_signature=[whole, tf.TensorSpec((2,), tf.int32)], autograph=False
    ).get_concrete_function()
    draw = np.random.default_rng(ascent.seed)
    # One noise for all units: what differs between their pictures is the network's doing.
    noise = 0.5 + ascent.contrast * draw.standard_normal(black.shape, np.float32)
    pictures = tf.constant(np.broadcast_to(np.clip(noise, 0, 1), shape))
    for number in range(ascent.steps):
        shift = draw.integers(-ascent.jitter, ascent.jitter, 2, endpoint=True).astype(np.int32)
        pictures = step(pictures, tf.constant(shift))
        report(number + 1, ascent.steps)
    return pictures.numpy(), of_units(pictures).numpy()
