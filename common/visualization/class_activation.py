"""Where in a picture the evidence for a class lies: class activation maps.

B. Zhou, A. Khosla, A. Lapedriza, A. Oliva, A. Torralba, "Learning Deep Features for Discriminative Localization", 2016,
https://arxiv.org/abs/1512.04150 (CAM).
R. Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", 2017,
https://arxiv.org/abs/1610.02391.
"""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from common.nn import layers
from common.nn.convolution import AveragePool, MaxPool
from common.nn.dropout import Dropout
from common.visualization import scores
from common.visualization.scores import Report, silent

_PASSED_OVER = (MaxPool, AveragePool, Dropout)


def _source(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The layer whose output a layer of one input takes in."""
    return layer.input._keras_history.operation


def last_map(model: keras.Model) -> keras.layers.Layer:
    """The last layer with a map, before any pool behind it: what Grad-CAM looks at by default.

    Of a network that ends in 1x1 maps it is the last with larger ones. Where class maps are averaged it is these.
    """
    layer, found = model.outputs[0]._keras_history.operation, []
    while not isinstance(layer, keras.layers.InputLayer):
        if len(layer.output.shape) == 4 and not isinstance(layer, _PASSED_OVER):
            found.append(layer)
        if isinstance(layer.input, list) or (found and found[-1].output.shape[1] > 1):
            break
        layer = _source(layer)
    if not found:
        raise ValueError(f"{model.name} has no map")
    return found[-1] if found[-1].output.shape[1] > 1 else found[0]


@dataclass(frozen=True)
class Ending:
    """A network's end behind its last map A: score of class c = mean over places of sum_k weights[k, c] A_k + bias[c].

    Attributes:
        layer: which gives A, (N, h, w, K).
        weights: (K, classes) float32; None: A holds a map of each class already.
    """

    layer: keras.layers.Layer
    weights: np.ndarray | None


def ending(model: keras.Model) -> Ending | None:
    """The end of a network for which CAM is exact: global average pooling, behind it at most one linear layer.

    None for any other, such as one with fully connected layers.
    """
    layer, weights = model.outputs[0]._keras_history.operation, None
    if isinstance(layer, keras.layers.Dense):
        weights = layer.get_weights()[0]
        layer = _source(layer)
        while isinstance(layer, Dropout):
            layer = _source(layer)
    if not isinstance(layer, keras.layers.GlobalAveragePooling2D):
        return None
    return Ending(_source(layer), weights)


def class_activation_map(
    model: keras.Model, inputs: np.ndarray, classes: np.ndarray, at_once: int = 32, report: Report = silent
) -> np.ndarray:
    """CAM: (N, h, w) float32, the evidence for each input's class at each place (Zhou et al. 2016, equation 2).

    The mean over places, plus the class's bias, is the class's score. Raises ValueError for a network whose `ending`
    is another.
    """
    found = ending(model)
    if found is None:
        raise ValueError(f"{model.name} does not end in global average pooling and one linear layer")
    cut = layers.network(model.inputs[0], found.layer.output, "maps")

    def of_classes(some, labels):
        maps = tf.cast(cut(some, training=False), tf.float32)
        if found.weights is None:
            return tf.gather(maps, labels, axis=3, batch_dims=1)
        return tf.einsum("nhwk,nk->nhw", maps, tf.gather(found.weights.T, labels))

    compute = scores.compiled(of_classes, model, tf.TensorSpec((None,), tf.int32))
    return scores.in_batches(compute, at_once, inputs, classes.astype(np.int32), report=report)


def grad_cam(
    model: keras.Model,
    inputs: np.ndarray,
    classes: np.ndarray,
    layer: keras.layers.Layer | None = None,
    at_once: int = 32,
    report: Report = silent,
) -> np.ndarray:
    """Grad-CAM: (N, h, w) float32, not negative (Selvaraju et al. 2017, equations 1 and 2).

    max(0, sum_k a_k A_k), a_k being the gradient of the score with respect to the map A_k, averaged over its places.
    For a network with an `ending` it is max(0, CAM) / (h w).

    Args:
        model, inputs, classes: (N, S, S, 3) normalised, and (N,).
        layer: whose maps A are (N, h, w, K); None: `last_map`.
        at_once: inputs in a batch.
        report: is told of inputs.
    """
    layer = layer or last_map(model)
    cut = layers.network(model.inputs[0], [layer.output, model.outputs[0]], "maps_and_scores")

    def of_classes(some, labels):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(some)
            maps, outputs = cut(some, training=False)
            score = tf.reduce_sum(scores.of_class(tf.cast(outputs, tf.float32), labels))
        slopes = tf.cast(tape.gradient(score, maps), tf.float32)
        weighted = tf.reduce_mean(slopes, [1, 2], keepdims=True) * tf.cast(maps, tf.float32)
        return tf.nn.relu(tf.reduce_sum(weighted, -1))

    compute = scores.compiled(of_classes, model, tf.TensorSpec((None,), tf.int32))
    return scores.in_batches(compute, at_once, inputs, classes.astype(np.int32), report=report)


def enlarge(maps: np.ndarray, size: int) -> np.ndarray:
    """Maps (N, h, w) to the picture's size, (N, S, S) float32: bilinear, centres of places at halves."""
    return tf.image.resize(tf.constant(maps)[..., None], (size, size)).numpy()[..., 0]
