"""Batch normalisation and weight standardisation folded into the convolution.

With fixed statistics batch norm is linear: gamma (x - mean) / sqrt(variance + epsilon) + beta. After a convolution
x = W * a + b that is another convolution, with W' = W s and b' = (b - mean) s + beta, s = gamma / sqrt(variance +
epsilon), one number a filter. A standardised kernel is fixed too once it is trained. So testing, predicting and
exporting need not compute either. Layer, instance and group normalisation depend on the image: they stay.
"""

import keras
import numpy as np
import tensorflow as tf

from common.nn.convolution import Conv
from common.nn.graph_rewrite import Change, rewrite
from common.nn.normalization import BatchNorm
from common.nn.weight_standardization import standardized


def fold(model: keras.Model) -> keras.Model:
    """A copy of a network for inference: kernels standardised, each batch norm that follows a convolution part of it.

    Those convolutions get a bias. A batch norm whose convolution feeds other layers too stays. A model with nothing to
    fold is returned as it is. Works on what `layers.network` makes; the model itself is left alone.
    """
    changes: dict[str, Change] = {}
    readers = _readers(model)
    for layer in model.layers:
        if isinstance(layer, Conv) and layer.standardize:
            changes[layer.name] = plain(layer)
        source = layer.input._keras_history.operation if isinstance(layer, BatchNorm) else None
        if isinstance(source, Conv) and readers[source.name] == 1:
            changes[source.name] = folded(source, layer)
            changes[layer.name] = None
    return rewrite(model, changes) if changes else model


def folded(conv: Conv, norm: BatchNorm) -> tuple[Conv, list[np.ndarray]]:
    """The convolution that does the work of both, unbuilt, and its kernel and bias (float32)."""
    gamma, beta, mean, variance = (np.asarray(values, np.float64) for values in norm.get_weights())
    made, (kernel, *bias) = plain(conv)
    scale = gamma / np.sqrt(variance + norm.epsilon)
    moved = ((bias[0] if bias else 0.0) - mean) * scale + beta
    made = Conv.from_config(made.get_config() | {"use_bias": True})
    return made, [(kernel * scale).astype(np.float32), moved.astype(np.float32)]


def plain(conv: Conv) -> tuple[Conv, list[np.ndarray]]:
    """A convolution without weight standardisation that does the same, unbuilt, and its weights (float32)."""
    kernel, *bias = conv.get_weights()
    if conv.standardize:
        kernel = standardized(tf.constant(kernel, tf.float64)).numpy().astype(np.float32)
    return Conv.from_config(conv.get_config() | {"standardize": False}), [kernel, *bias]


def _readers(model: keras.Model) -> dict[str, int]:
    """How many layers take in each layer's output; an output of the model counts too."""
    sources = [tensor for layer in model.layers for tensor in _inputs(layer)] + list(model.outputs)
    found = dict.fromkeys((layer.name for layer in model.layers), 0)
    for tensor in sources:
        found[tensor._keras_history.operation.name] += 1
    return found


def _inputs(layer: keras.layers.Layer) -> list:
    if isinstance(layer, keras.layers.InputLayer):
        return []
    return layer.input if isinstance(layer.input, list) else [layer.input]
