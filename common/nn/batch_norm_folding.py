"""Batch normalisation folded into the convolution before it.

With fixed statistics batch norm is linear: gamma (x - mean) / sqrt(variance + epsilon) + beta. After a convolution
x = W * a + b that is another convolution, with W' = W s and b' = (b - mean) s + beta, s = gamma / sqrt(variance +
epsilon), one number a filter. So testing, predicting and exporting need not compute it.
"""

import keras
import numpy as np

from common.nn.convolution import Conv
from common.nn.graph_rewrite import Change, rewrite
from common.nn.normalization import BatchNorm


def fold(model: keras.Model) -> keras.Model:
    """A copy of a network for inference in which every batch norm that follows a convolution is part of it.

    The convolutions get a bias. A batch norm whose convolution feeds other layers too stays. A model without batch norm
    is returned as it is. Works on what `layers.network` makes; the model itself is left alone.
    """
    changes: dict[str, Change] = {}
    readers = _readers(model)
    for layer in model.layers:
        if not isinstance(layer, BatchNorm):
            continue
        source = layer.input._keras_history.operation
        if isinstance(source, Conv) and readers[source.name] == 1:
            changes[source.name] = folded(source, layer)
            changes[layer.name] = None
    return rewrite(model, changes) if changes else model


def folded(conv: Conv, norm: BatchNorm) -> tuple[Conv, list[np.ndarray]]:
    """The convolution that does the work of both, unbuilt, and its kernel and bias (float32)."""
    gamma, beta, mean, variance = (np.asarray(values, np.float64) for values in norm.get_weights())
    kernel, *bias = conv.get_weights()
    scale = gamma / np.sqrt(variance + norm.epsilon)
    moved = ((bias[0] if bias else 0.0) - mean) * scale + beta
    made = Conv.from_config(conv.get_config() | {"use_bias": True})
    return made, [(kernel * scale).astype(np.float32), moved.astype(np.float32)]


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
