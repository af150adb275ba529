"""A network's inputs and pictures that can be shown: each made of the other."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from common.input import pipeline
from common.input.pipeline import Preprocessing


def shower(preprocessing: Preprocessing) -> Callable[[np.ndarray], np.ndarray]:
    """(..., S, S, 3) float32 as the network takes it -> uint8 RGB: what `pipeline.normaliser` did, undone."""
    mean = pipeline.mean_picture(preprocessing)
    std = np.asarray(preprocessing.std, np.float32)

    def show(inputs):
        pictures = rgb(inputs, preprocessing) * std + mean
        return np.rint(np.clip(pictures, 0, 255)).astype(np.uint8)

    return show


def rgb(values: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Values (..., 3) in the order of the network's input, such as its gradient -> in the order RGB."""
    return values[..., ::-1] if preprocessing.channels == "bgr" else values


def extremes(preprocessing: Preprocessing) -> tuple[np.ndarray, np.ndarray]:
    """A black and a white picture, (S, S, 3) float32, as the network takes them."""
    normalise = pipeline.normaliser(preprocessing)
    shape = (preprocessing.image_size, preprocessing.image_size, 3)
    black, white = (normalise(tf.fill(shape, value)).numpy() for value in (0.0, 255.0))
    return black, white
