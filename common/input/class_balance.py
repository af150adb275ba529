"""Unequal classes: how many images of each there are, and weights that make up for it."""

import numpy as np
import tensorflow as tf

from common import machine
from common.input.records import DatasetInfo
from common.input.splits import Split


def labels(split: Split) -> np.ndarray:
    """(examples,) int32: the label of every element in the stored order. Of records it reads all of them once."""

    @tf.autograph.experimental.do_not_convert
    def label(element):
        return split.parse(element)[1]

    found = machine.parallel_map(split.serialized(None), label).batch(4096)
    return np.concatenate([*found.as_numpy_iterator(), np.zeros(0, np.int32)])


def counts(split: Split, info: DatasetInfo, name: str = "train") -> np.ndarray:
    """(classes,) int64: images of each class in a split; dataset.json's where they are those of all its images."""
    known = np.asarray(info.splits[name].per_class if name in info.splits else (), np.int64)
    if len(known) == len(info.classes) and known.sum() == split.examples:
        return known
    return np.bincount(labels(split), minlength=len(info.classes))


def weights(images: np.ndarray) -> np.ndarray:
    """(classes,) float32: N / (K n_c) for the n_c of N images in class c, K classes having any; 0 where n_c is 0.

    The mean over all images is 1 (scikit-learn's "balanced"; King & Zeng 2001).
    """
    present = images > 0
    return np.where(present, images.sum() / (present.sum() * np.maximum(images, 1)), 0.0).astype(np.float32)
