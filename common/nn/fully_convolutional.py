"""Fully connected layers turned into convolutions, so that a network takes pictures of any size.

"The fully-connected layers are first converted to convolutional layers (the first FC layer to a 7x7 conv. layer, the
last two FC layers to 1x1 conv. layers)" (Simonyan & Zisserman 2015, section 3.2). Where a picture is larger than the
network's input it sees every window of that size, a stride apart, in one pass, and gives a map of scores.
"""

import keras
import numpy as np

from common.nn.convolution import AveragePool, Conv
from common.nn.graph_rewrite import Change, main_path, rewrite


def convert(model: keras.Model) -> keras.Model:
    """The fully convolutional form: images (N, h, w, 3), mean subtracted -> logits (N, h', w', classes) float32.

    The first layer after `Flatten` becomes a convolution as wide as the map it was trained on, every other fully
    connected layer one of 1x1, and the average over the whole last map an average of each window of the size that map
    has at the network's own image size. On one picture of that size h' = w' = 1 and the logits are the same. Auxiliary
    classifiers are left out; the model itself stays as it is.
    """
    model = main_path(model)
    changes: dict[str, Change] = {}
    map_size = 1  # of what the next fully connected layer looks at
    for layer in model.layers:
        if isinstance(layer, keras.layers.Flatten):
            map_size = _side(layer)
            changes[layer.name] = None
        elif isinstance(layer, keras.layers.GlobalAveragePooling2D):
            pool = AveragePool(_side(layer), 1, name=layer.name, dtype=layer.dtype_policy)
            changes[layer.name] = (pool, [])
        elif isinstance(layer, keras.layers.Dense):
            changes[layer.name] = _convolution(layer, map_size)
            map_size = 1
    return rewrite(model, changes, keras.Input((None, None, 3), name="image"))


def _side(layer: keras.layers.Layer) -> int:
    """Width of the square map a layer takes in."""
    _, height, width, _ = layer.input.shape
    if height != width:
        raise ValueError(f"{layer.name}: its input is {height}x{width}, not square")
    return height


def _convolution(layer: keras.layers.Dense, size: int) -> tuple[Conv, list[np.ndarray]]:
    """The size x size convolution that a fully connected layer is, unbuilt, with its kernel and bias."""
    kernel, bias = layer.get_weights()
    made = Conv(layer.units, size, name=layer.name, dtype=layer.dtype_policy)
    return made, [kernel.reshape(size, size, -1, layer.units), bias]
