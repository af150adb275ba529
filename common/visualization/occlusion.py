"""Which parts of a picture a class's probability needs: a grey square is moved over it.

M. Zeiler, R. Fergus, "Visualizing and Understanding Convolutional Networks", 2013, https://arxiv.org/abs/1311.2901,
section 4.2.
"""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from common.visualization import scores
from common.visualization.scores import Report, silent


@dataclass(frozen=True)
class Occlusion:
    """The class's probability with a part of the picture covered.

    Attributes:
        corners: (R,) pixels, top (and left) of the squares, the last flush with the picture's edge.
        size: of the squares in pixels.
        whole: (N,) probability of the class, nothing covered.
        covered: (N, R, R) with the square at (corners[i], corners[j]) covered.
    """

    corners: np.ndarray
    size: int
    whole: np.ndarray
    covered: np.ndarray

    def drop(self, image_size: int) -> np.ndarray:
        """(N, S, S): by how much the probability falls, averaged over the squares that cover each pixel."""
        inside = (np.arange(image_size) >= self.corners[:, None]) & (
            np.arange(image_size) < self.corners[:, None] + self.size
        )
        shares = inside / inside.sum(0)
        return np.einsum("nij,iy,jx->nyx", self.whole[:, None, None] - self.covered, shares, shares)


def default_size(image_size: int) -> tuple[int, int]:
    """Side of the square and steps between two of them, in pixels: a fifth and a twentieth of the picture."""
    return max(1, image_size // 5), max(1, image_size // 20)


def corners(image_size: int, size: int, stride: int) -> np.ndarray:
    """0, stride, ... and, where that is not among them, the last that fits."""
    last = image_size - size
    return np.unique([*range(0, last + 1, stride), last])


def occlusion(
    model: keras.Model,
    inputs: np.ndarray,
    classes: np.ndarray,
    size: int,
    stride: int,
    fill: np.ndarray | float = 0.0,
    at_once: int = 32,
    report: Report = silent,
) -> Occlusion:
    """Covers a square of each input, wherever a step leads, and notes the probability of its class.

    Args:
        model: the network.
        inputs, classes: (N, S, S, 3) normalised, and (N,).
        size, stride: of the square, in pixels.
        fill: what covers, as the network takes it; broadcasts to (S, S, 3). 0 is the data set's mean colour.
        at_once: covered pictures in a batch.
        report: is told of covered pictures.
    """
    image_size = inputs.shape[1]
    begins = corners(image_size, size, stride)
    probabilities = scores.compiled(lambda some: tf.nn.softmax(scores.logits(model, some)), model)
    grey = np.broadcast_to(np.asarray(fill, np.float32), inputs.shape[1:])
    whole = scores.in_batches(probabilities, at_once, inputs)[np.arange(len(inputs)), classes]
    places = [(top, left) for top in begins for left in begins]
    covered, done = [], 0
    for picture, label in zip(inputs, classes, strict=True):
        for start in range(0, len(places), at_once):
            some = np.repeat(picture[None], len(places[start : start + at_once]), 0)
            for one, (top, left) in zip(some, places[start : start + at_once], strict=True):
                part = slice(top, top + size), slice(left, left + size)
                one[part] = grey[part]
            covered.append(probabilities(tf.constant(some)).numpy()[:, label])
            done += len(some)
            report(done, len(inputs) * len(places))
    shape = len(inputs), len(begins), len(begins)
    return Occlusion(begins, size, whole, np.concatenate(covered).reshape(shape))
