"""Convolution in groups of channels: AlexNet's two towers, ResNeXt's cardinality, a window for each channel."""

import functools

import tensorflow as tf


def convolve(x, kernel, stride: int, padding: str):
    """Each group of filters sees its own slice of the channels: (N, H, W, C) -> (N, H', W', filters).

    Args:
        x: (N, H, W, C).
        kernel: (h, w, C / groups, filters).
        stride: of the window.
        padding: "SAME" or "VALID", as TensorFlow has them.
    """
    channels, within = x.shape[-1], kernel.shape[2]
    if within == channels or has_gradient():
        return tf.nn.conv2d(x, kernel, stride, padding)
    if within == 1:
        return _depthwise(x, kernel, stride, padding)
    return by_slices(x, kernel, stride, padding)


@functools.cache
def has_gradient() -> bool:
    """Whether TensorFlow has the gradient of a grouped convolution here: on GPUs, and on CPUs with oneDNN's kernels."""
    with tf.init_scope():
        try:
            image, filters = tf.ones((1, 1, 1, 2)), tf.ones((1, 1, 1, 2))
            tf.raw_ops.Conv2DBackpropInput(
                input_sizes=image.shape, filter=filters, out_backprop=image, strides=[1, 1, 1, 1], padding="VALID"
            )
        except (tf.errors.UnimplementedError, tf.errors.InvalidArgumentError):
            return False
        return True


def by_slices(x, kernel, stride: int, padding: str):
    """The groups one by one."""
    groups = x.shape[-1] // kernel.shape[2]
    parts = zip(tf.split(x, groups, axis=-1), tf.split(kernel, groups, axis=-1), strict=True)
    return tf.concat([tf.nn.conv2d(part, filters, stride, padding) for part, filters in parts], axis=-1)


def _depthwise(x, kernel, stride: int, padding: str):
    """As many groups as channels, each with one filter or several."""
    height, width, _, filters = kernel.shape
    kernel = tf.reshape(kernel, (height, width, x.shape[-1], filters // x.shape[-1]))
    return tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], padding)
