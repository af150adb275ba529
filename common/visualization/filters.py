"""Filters of the first convolution, which can be shown as pictures (Krizhevsky 2012, Figure 3)."""

import keras
import numpy as np

from common.nn.convolution import Conv


def first_convolution(model: keras.Model) -> Conv:
    """The convolution nearest the input."""
    return next(layer for layer in model.layers if isinstance(layer, Conv))


def first_filters(model: keras.Model, channels: str = "rgb") -> np.ndarray:
    """The filters of the first convolution as pictures, (N, k, k, 3) float32, 0..1; mid-grey is a weight of 0.

    Each is scaled by its own largest weight. One that looks at a single channel, the mean of the colours, is grey.

    Args:
        model: the network.
        channels: the order of the network's input, "rgb" or "bgr".
    """
    kernel = np.moveaxis(np.asarray(first_convolution(model).get_weights()[0], np.float32), -1, 0)
    if channels == "bgr" and kernel.shape[-1] == 3:
        kernel = kernel[..., ::-1]
    largest = np.abs(kernel).max(axis=(1, 2, 3), keepdims=True)
    return np.broadcast_to(0.5 + kernel / np.maximum(2 * largest, 1e-12), (*kernel.shape[:3], 3))
