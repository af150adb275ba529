"""The score of a picture from many views of it: probabilities averaged over crops, places and scales.

The arithmetic is done on log p (log-mean-exp), so that a loss of more than 100 nats is still a number.
"""

from collections.abc import Sequence
from functools import partial

import tensorflow as tf

from common.nn.metrics import main_logits


def average(log_probabilities: tf.Tensor, axis: int) -> tf.Tensor:
    """The logarithm of the mean probability along an axis of log probabilities, float32."""
    count = tf.cast(tf.shape(log_probabilities)[axis], tf.float32)
    return tf.reduce_logsumexp(log_probabilities, axis) - tf.math.log(count)


def _log_softmax(model, pictures: tf.Tensor) -> tf.Tensor:
    """(..., classes) float32, over the classes."""
    return tf.nn.log_softmax(tf.cast(main_logits(model(pictures, training=False)), tf.float32))


def of_crops(model, views: tf.Tensor, at_once: int) -> tf.Tensor:
    """log p (B, classes) of pictures given by their crops (B, V, S, S, 3), `at_once` of which fill the memory.

    `at_once` divides B V.
    """
    count, views_each, *shape = views.shape
    parts = tf.reshape(views, [-1, at_once, *shape])
    if parts.shape[0] == 1:
        each = _log_softmax(model, parts[0])
    else:
        each = tf.map_fn(partial(_log_softmax, model), parts, fn_output_signature=tf.float32)
    return average(tf.reshape(each, [count, views_each, each.shape[-1]]), 1)


def of_pictures(model, scales: Sequence[tf.Tensor]) -> tf.Tensor:
    """log p (B, classes) of whole pictures, (B, h, w, 3) for each scale, by a network in its dense form.

    The class maps of a picture and of its mirror image are averaged over all places, then over the scales.
    """
    found = []
    for pictures in scales:
        maps = [_log_softmax(model, pictures), _log_softmax(model, tf.reverse(pictures, [2]))]
        classes = maps[0].shape[-1]
        found.append(average(tf.concat([tf.reshape(m, [tf.shape(m)[0], -1, classes]) for m in maps], 1), 1))
    return average(tf.stack(found), 0)
