"""What the layers of a network put out for a picture."""

import keras
import numpy as np
import tensorflow as tf

from common.nn import layers
from common.nn.convolution import AveragePool, MaxPool
from common.nn.cost import ordered
from common.nn.dropout import Dropout
from common.nn.normalization import LocalResponseNormalization
from common.nn.padded_identity import PaddedIdentity
from common.nn.stochastic_depth import Survival
from common.visualization import scores
from common.visualization.scores import Report, silent

_IN_BETWEEN = (
    *(MaxPool, AveragePool, keras.layers.ZeroPadding2D, keras.layers.InputLayer),
    *(Dropout, Survival, PaddedIdentity, LocalResponseNormalization),
)


def activations(
    model: keras.Model, layer: keras.layers.Layer, inputs: np.ndarray, at_once: int = 32, report: Report = silent
) -> np.ndarray:
    """What a layer gives for inputs (N, S, S, 3), normalised: (N, h, w, C), or (N, D), float32."""
    cut = layers.network(model.inputs[0], layer.output, "activations")
    compute = scores.compiled(lambda some: tf.cast(cut(some, training=False), tf.float32), model)
    return scores.in_batches(compute, at_once, inputs, report=report)


def last_of_each_size(model: keras.Model) -> list[keras.layers.Layer]:
    """The last layer with maps of each size larger than 1x1, from large maps to small; pools and the like apart."""
    found: dict[int, keras.layers.Layer] = {}
    for layer in ordered(model.outputs[:1]):
        shape = layer.output.shape
        if len(shape) == 4 and shape[1] > 1 and not isinstance(layer, _IN_BETWEEN):
            found[shape[1]] = layer
    return [found[side] for side in sorted(found, reverse=True)]
