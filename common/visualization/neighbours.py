"""Pictures that a network holds for alike: nearest neighbours in the space of its features.

A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", 2012, section
6.1: pictures whose last hidden layers have a small Euclidean distance.
"""

import numpy as np


def nearest(features: np.ndarray, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest other pictures by Euclidean distance.

    Args:
        features: (N, D) float32.
        queries: (Q,) which of the N are asked for.
        count: how many neighbours; at most N - 1 are found.

    Returns:
        Their numbers (Q, count) int64, the nearest first, of equals the lower first; their distances (Q, count).
    """
    features = features.astype(np.float64)
    squares = (features * features).sum(1)
    squared = squares[queries, None] + squares - 2.0 * features[queries] @ features.T
    squared[np.arange(len(queries)), queries] = np.inf
    order = np.argsort(squared, axis=1, kind="stable")[:, : min(count, len(features) - 1)]
    return order, np.sqrt(np.maximum(np.take_along_axis(squared, order, 1), 0.0))
