"""Weight standardisation (Qiao et al. 2019): each filter of a convolution gets mean 0 and standard deviation 1."""

import tensorflow as tf

EPSILON = 1e-5  # added to the standard deviation by the authors; here its square to the variance: a gradient at 0 too


def standardized(kernel: tf.Tensor) -> tf.Tensor:
    """(W - mean) / sqrt(variance + EPSILON^2), both over all weights of one filter; gradients flow through both.

    Args:
        kernel: (k, k, C, filters), float32 or float64.

    Returns:
        The same shape and dtype. A filter of a single weight becomes 0.
    """
    mean, variance = tf.nn.moments(kernel, [0, 1, 2])
    return (kernel - mean) * tf.math.rsqrt(variance + EPSILON**2)
