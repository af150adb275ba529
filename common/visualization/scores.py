"""Scores of classes and their gradients, in float32 whatever the precision of the network.

Inputs are what the network takes: (N, S, S, 3) float32, normalised. A score is a logit, before the softmax: the
gradient of a probability also shows what speaks for the other classes (Simonyan et al. 2013, section 3).
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common.nn.metrics import main_logits

Report = Callable[[int, int], None]  # (parts done, parts in all)


def silent(done: int, total: int) -> None:
    """A report to nobody."""


def logits(model: keras.Model, inputs: tf.Tensor) -> tf.Tensor:
    """(N, classes) float32 of a network as it is tested."""
    return tf.cast(main_logits(model(inputs, training=False)), tf.float32)


def of_class(scores: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    """(N,): of each row of `scores` (N, classes) the entry that `classes` (N,) names."""
    return tf.gather(scores, classes, axis=1, batch_dims=1)


def compiled(function: Callable, model: keras.Model, *further: tf.TensorSpec) -> Callable:
    """`function(inputs, ...)` as one graph for any number of inputs of the model's size.

    `further` are the specifications of its other arguments.
    """
    inputs = tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.float32)
    return tf.function(function, input_signature=[inputs, *further], autograph=False).get_concrete_function()


def in_batches(function: Callable, at_once: int, *arrays: np.ndarray, report: Report = silent) -> Any:
    """`function` of arrays (N, ...), `at_once` rows at a time: an array (N, ...), or a tuple where it gives one."""
    total = len(arrays[0])
    parts = []
    for begin in range(0, total, at_once):
        given = function(*(tf.constant(array[begin : begin + at_once]) for array in arrays))
        parts.append(tf.nest.map_structure(lambda tensor: tensor.numpy(), given))
        report(min(begin + at_once, total), total)
    return tf.nest.map_structure(lambda *each: np.concatenate(each), *parts)


def predict(model: keras.Model, inputs: np.ndarray, at_once: int = 32) -> np.ndarray:
    """Logits (N, classes) float32."""
    return in_batches(compiled(lambda some: logits(model, some), model), at_once, inputs)


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities (N, classes) of logits."""
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def gradient_function(model: keras.Model) -> Callable:
    """(inputs, classes (N,) int32) -> gradient of each input's score of its class, (N, S, S, 3) float32."""

    def gradient(inputs, classes):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            score = tf.reduce_sum(of_class(logits(model, inputs), classes))
        return tape.gradient(score, inputs)

    return compiled(gradient, model, tf.TensorSpec((None,), tf.int32))
